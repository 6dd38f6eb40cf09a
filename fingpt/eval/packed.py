"""Rows that are scored, laid end to end without padding, and what of them has to be known: the input of one pass. Pure.

A document is a row up to the last token that predicts something. What all documents of a pack begin with, such as the
system text, stands in it once, before the rest of each. Label trees stand behind all documents, one tree each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch

from fingpt.eval.labels import LabelTree
from fingpt.eval.prompts import Prompt

PACK_TOKENS = 16384
"""Tokens of a pack: products of this many rows run at a GPU's rate, and an 8B model's states of them take 3 GiB."""


@dataclass(frozen=True)
class Document:
    """Token ids of a row, and how many of its last positions predict what is scored.

    `prompt`: how many of the first tokens a tree on it sees, None for all.
    """

    ids: tuple[int, ...]
    scored: int
    prompt: int | None = None

    @property
    def seen(self) -> int:
        """Tokens that a tree hangs on the end of."""
        return len(self.ids) if self.prompt is None else self.prompt


@dataclass(frozen=True)
class Pack:
    """One pass over documents and the trees on them.

    `ids`, `positions`: int64: `shared` tokens that all documents begin with, the rest of each, the nodes of each one's
    tree. `lengths`, `scored`, `seen`: of whole documents. `nodes`: of a tree, 0 for none; `sees`: (nodes × nodes), see
    `LabelTree.sees`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    shared: int
    lengths: tuple[int, ...]
    scored: tuple[int, ...]
    seen: tuple[int, ...]
    nodes: int
    sees: torch.Tensor

    def wanted(self) -> torch.Tensor:
        """Places in `ids` whose states are scored: each document's last ones, then all nodes."""
        ends = [
            torch.arange(end - last, end)
            for (_, end), last in zip(self.own(), self.scored, strict=True)
        ]
        return torch.cat([*ends, torch.arange(self.own()[-1][1], self.ids.numel())])

    def own(self) -> list[tuple[int, int]]:
        """Where each document's own tokens begin and end in `ids`."""
        borders = accumulate((length - self.shared for length in self.lengths), initial=self.shared)
        return list(pairwise(borders))

    def keys(self) -> torch.Tensor:
        """Places in `ids` of what is shared, then of each whole document's tokens, one after the other."""
        shared = torch.arange(self.shared)
        return torch.cat(
            [shared, *(torch.cat([shared, torch.arange(*edges)]) for edges in self.own())]
        )


def answered(prompt: Prompt) -> Document:
    """The document that the loss of an answer is read off: its last token predicts nothing."""
    return Document((*prompt.prompt_ids, *prompt.answer_ids)[:-1], len(prompt.answer_ids))


def headed(prompt: Prompt, tree: LabelTree) -> Document:
    """The document that label trees hang on: prompt and header, whose end is node 0."""
    return Document((*prompt.prompt_ids, *tree.header), 1)


def both(prompt: Prompt) -> Document:
    """The document that the loss is read off and that a planted tree hangs on, which does not see the answer."""
    return replace(answered(prompt), prompt=len(prompt.prompt_ids))


def filled(documents: Sequence[Document], more: int = 0) -> list[slice]:
    """Runs of `documents` that are read at once: at most PACK_TOKENS tokens, `more` for each beside its own, or one."""
    found, start, used = [], 0, 0
    for index, document in enumerate(documents):
        size = len(document.ids) + more
        if index > start and used + size > PACK_TOKENS:
            found.append(slice(start, index))
            start, used = index, 0
        used += size
    return [*found, slice(start, len(documents))] if documents else []


def make_pack(documents: Sequence[Document], tree: LabelTree | None = None) -> Pack:
    """The pass over `documents`, with `tree` on the end of each."""
    lengths = tuple(len(document.ids) for document in documents)
    seen = tuple(document.seen for document in documents)
    shared = _shared(documents)
    depths = torch.tensor(tree.depths() if tree else [], dtype=torch.int64)
    nodes = torch.tensor(tree.tokens if tree else [], dtype=torch.int64).repeat(len(documents))
    ids = [*documents[0].ids[:shared]]
    ids += [token for document in documents for token in document.ids[shared:]]
    positions = [torch.arange(shared), *(torch.arange(shared, length) for length in lengths)]
    return Pack(
        ids=torch.cat([torch.tensor(ids), nodes]),
        positions=torch.cat([*positions, *(length + depths for length in seen)]),
        shared=shared,
        lengths=lengths,
        scored=tuple(document.scored for document in documents),
        seen=seen,
        nodes=len(depths),
        sees=tree.sees() if tree else torch.empty(0, 0, dtype=torch.bool),
    )


def _shared(documents: Sequence[Document]) -> int:
    """How many tokens all documents begin with, before any that are scored; 0 for one alone."""
    if len(documents) == 1:
        return 0
    heads = [document.ids[: -document.scored] for document in documents]
    first, last = min(heads), max(heads)  # what these two begin with, all that lie between them do
    pairs = zip(first, last, strict=False)
    return next(
        (place for place, (one, two) in enumerate(pairs) if one != two),
        min(len(first), len(last)),
    )
