"""Answers as long as real ones from a model that means nothing: it says one token until a row's own end.

A tiny or random model never ends, so all rows of a batch would end together, which flatters a fixed batch. All of its
arithmetic is done; only which token is likeliest is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from fingpt.prompts.chat import Rendered

_FIRST = 300  # of the tokens that rows are known by: words in every vocabulary here
_TAIL = 60  # the last tokens of a prompt: its template's end, and words of its own before it
_CERTAIN = 1e9


@contextmanager
def real_lengths(model: Any, rows: Sequence[Rendered], stop: int, most: int) -> Iterator[None]:
    """While the block lasts, `model` answers each of `rows` with as many tokens as its answer has, `most` at most.

    Row n says token 300 + n, and knows its end by the position; a prompt is recognised by its last tokens.
    """
    tokens = {one.prompt_ids[-_TAIL:]: _FIRST + number for number, one in enumerate(rows)}
    assert len(tokens) == len(rows), "two prompts end alike"
    ends = torch.zeros(_FIRST + len(rows), dtype=torch.long, device=model.device)
    for number, one in enumerate(rows):
        length = min(len(one.answer_ids), most + 1)  # of a cut answer there is no stop id
        ends[_FIRST + number] = len(one.prompt_ids) + length - 2

    def tell(_: Any, __: Any, given: dict[str, Any], output: Any) -> Any:
        ids = given["input_ids"]
        if ids.shape[1] > 1:
            said = [[tokens[tuple(line)]] for line in ids[:, -_TAIL:].tolist()]
            wanted = torch.tensor(said, device=ids.device)
        else:
            over = given["position_ids"] >= ends[ids.clamp(max=len(ends) - 1)]
            wanted = torch.where(over, stop, ids)
        output.logits[:, -1].scatter_(1, wanted, _CERTAIN)
        return output

    hook = model.register_forward_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
