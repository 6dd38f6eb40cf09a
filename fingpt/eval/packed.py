"""Rows that are scored, laid end to end without padding, and what of them has to be known: the input of one pass. Pure.

A document is a row up to the last token that predicts something. Label trees stand behind all documents of a pack, one
tree each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch

from fingpt.eval.labels import LabelTree
from fingpt.eval.prompts import Prompt

PACK_TOKENS = 16384
"""Tokens of a pack: products of this many rows run at a GPU's rate, and an 8B model's states of them take 3 GiB."""


@dataclass(frozen=True)
class Document:
    """Token ids of a row, and how many of its last positions predict what is scored."""

    ids: tuple[int, ...]
    scored: int


@dataclass(frozen=True)
class Pack:
    """One pass over documents and the trees on them.

    `ids`, `positions`: int64, documents first, then the nodes of each one's tree. `lengths`, `scored`: of the
    documents. `nodes`: of a tree, 0 for none; `sees`: (nodes × nodes), see `LabelTree.sees`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    lengths: tuple[int, ...]
    scored: tuple[int, ...]
    nodes: int
    sees: torch.Tensor

    def wanted(self) -> torch.Tensor:
        """Places in `ids` whose states are scored: each document's last ones, then all nodes."""
        total = sum(self.lengths)
        ends = [
            torch.arange(end - last, end)
            for end, last in zip(accumulate(self.lengths), self.scored, strict=True)
        ]
        return torch.cat([*ends, torch.arange(total, self.ids.numel())])


def answered(prompt: Prompt) -> Document:
    """The document that the loss of an answer is read off: its last token predicts nothing."""
    return Document((*prompt.prompt_ids, *prompt.answer_ids)[:-1], len(prompt.answer_ids))


def headed(prompt: Prompt, tree: LabelTree) -> Document:
    """The document that label trees hang on: prompt and header, whose end is node 0."""
    return Document((*prompt.prompt_ids, *tree.header), 1)


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
    depths = torch.tensor(tree.depths() if tree else [], dtype=torch.int64)
    nodes = torch.tensor(tree.tokens if tree else [], dtype=torch.int64).repeat(len(documents))
    ids = torch.tensor([token for document in documents for token in document.ids])
    positions = [torch.arange(length) for length in lengths]
    return Pack(
        ids=torch.cat([ids, nodes]),
        positions=torch.cat([*positions, *(length + depths for length in lengths)]),
        lengths=lengths,
        scored=tuple(document.scored for document in documents),
        nodes=len(depths),
        sees=tree.sees() if tree else torch.empty(0, 0, dtype=torch.bool),
    )
