"""Greedy answers by transformers: one fixed batch at a time, left-padded, with every decoding setting spelled out here.

Settings that a model ships with (sampling, temperature, length, stop ids) are ignored. Answers are stored by
`fingpt.eval.chunks`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast

from fingpt.eval.prompts import Prompt
from fingpt.record import Frozen

_KEPT_MARKS = ("<think>", "</think>")  # the parsers need to see where reasoning ends


class Answer(Frozen):
    """What a model wrote for one example: raw text, tokens with the stop id counted, `truncated` without one."""

    example: str
    prediction: str
    prompt_tokens: int
    new_tokens: int
    truncated: bool


@dataclass(frozen=True)
class Decoding:
    """How answers are made: greedy, at most `max_new_tokens`, ended by any of `stop_ids`."""

    stop_ids: tuple[int, ...]
    pad_id: int
    max_new_tokens: int

    def config(self) -> GenerationConfig:
        """The complete setting for transformers."""
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            eos_token_id=list(self.stop_ids),
            pad_token_id=self.pad_id,
        )


@torch.inference_mode()
def generate_batch(
    model: Any, tokenizer: PreTrainedTokenizerFast, batch: Sequence[Prompt], decoding: Decoding
) -> tuple[list[Answer], float]:
    """Answers of one batch and the seconds it took, the transfer to the host included."""
    width = max(len(prompt.prompt_ids) for prompt in batch)
    ids = torch.full((len(batch), width), decoding.pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, prompt in enumerate(batch):
        ids[index, width - len(prompt.prompt_ids) :] = torch.tensor(prompt.prompt_ids)
        mask[index, width - len(prompt.prompt_ids) :] = 1
    # Whatever a given configuration leaves at its default, transformers takes from the model's own: replace that too.
    model.generation_config = decoding.config()
    start = time.perf_counter()
    output = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        generation_config=decoding.config(),
    )
    lines = output[:, width:].tolist()
    seconds = time.perf_counter() - start
    hidden = _hidden_ids(tokenizer)
    return [
        _answer(tokenizer, prompt, line, decoding, hidden)
        for prompt, line in zip(batch, lines, strict=True)
    ], seconds


def _answer(
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    line: list[int],
    decoding: Decoding,
    hidden: frozenset[int],
) -> Answer:
    stop = next((index for index, token in enumerate(line) if token in decoding.stop_ids), None)
    written = line if stop is None else line[:stop]
    text = tokenizer.decode(
        [token for token in written if token not in hidden],
        skip_special_tokens=False,
        clean_up_tokenization_spaces=False,
    )
    return Answer(
        example=prompt.example.id,
        prediction=str(text),
        prompt_tokens=len(prompt.prompt_ids),
        new_tokens=len(written) + (stop is not None),
        truncated=stop is None,
    )


def _hidden_ids(tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Special tokens, as the published code skips them, but for the marks of reasoning."""
    added = tokenizer.added_tokens_decoder
    return frozenset(
        number
        for number, token in added.items()
        if token.special and token.content not in _KEPT_MARKS
    )


def answers_of(
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Prompt],
    lines: Sequence[list[int]],
    decoding: Decoding,
) -> list[Answer]:
    """The answers that `lines` of token ids are, one to each prompt, by whatever engine they were made."""
    hidden = _hidden_ids(tokenizer)
    return [
        _answer(tokenizer, prompt, line, decoding, hidden)
        for prompt, line in zip(prompts, lines, strict=True)
    ]
