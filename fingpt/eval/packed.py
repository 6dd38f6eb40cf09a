"""Rows that are scored, laid end to end without padding, and what of them has to be known: the input of one pass. Pure.

A document is a row up to the last token that predicts something. What several documents begin with (all of them with
the system text, those of a company with what introduces it) stands in a pack once, before their rests, as the stems of
a tree whose leaves they are. Label trees stand behind all documents, one tree each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from fingpt.eval.labels import LabelTree
from fingpt.eval.prompts import Prompt

PACK_TOKENS = 32768
"""Tokens of a pack: more rows share what they begin with in a larger one; an 8B model's states of them take 5 GiB."""


STEM = 16
"""Tokens from which on it is worth to compute what documents begin with once."""

Path = tuple[tuple[int, int], ...]
"""Ranges of places: (first, behind the last)."""


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

    `ids`, `positions`: int64: the tokens of stems, then those that each document alone has, then the nodes of each
    one's tree. `paths`: for each stem and then each document, where in `ids` the tokens lie that it consists of, as
    ranges, its own last; `stems`: how many of these are stems. `scored`, `seen`: of the documents. `nodes`: of a tree,
    0 for none; `sees`: (nodes × nodes), see `LabelTree.sees`.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    paths: tuple[Path, ...]
    stems: int
    scored: tuple[int, ...]
    seen: tuple[int, ...]
    nodes: int
    sees: torch.Tensor

    @property
    def sizes(self) -> list[int]:
        """Own tokens of each stem and each document."""
        return [stop - start for *_, (start, stop) in self.paths]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each stem and each document with all that they begin with."""
        return [sum(stop - start for start, stop in path) for path in self.paths]

    def wanted(self) -> torch.Tensor:
        """Places in `ids` whose states are scored: each document's last ones, then all nodes."""
        ends = [path[-1][1] for path in self.paths[self.stems :]]
        places = [
            torch.arange(end - last, end) for end, last in zip(ends, self.scored, strict=True)
        ]
        return torch.cat([*places, torch.arange(ends[-1], self.ids.numel())])

    def keys(self) -> torch.Tensor:
        """Places in `ids` of the tokens of each stem and then each document, one after the other."""
        return torch.cat([torch.arange(*part) for path in self.paths for part in path])


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
    """The pass over `documents`, with `tree` on the end of each; those that begin alike should be neighbours."""
    stems, leaves = _grown(documents)
    ids: list[int] = []
    positions: list[torch.Tensor] = []
    paths: list[Path] = []
    for stem, tokens in (*stems, *leaves):
        path = () if stem is None else paths[stem]
        begins = sum(stop - start for start, stop in path)
        positions.append(torch.arange(begins, begins + len(tokens)))
        paths.append((*path, (len(ids), len(ids) + len(tokens))))
        ids += tokens
    seen = tuple(document.seen for document in documents)
    depths = torch.tensor(tree.depths() if tree else [], dtype=torch.int64)
    nodes = torch.tensor(tree.tokens if tree else [], dtype=torch.int64).repeat(len(documents))
    return Pack(
        ids=torch.cat([torch.tensor(ids), nodes]),
        positions=torch.cat([*positions, *(length + depths for length in seen)]),
        paths=tuple(paths),
        stems=len(stems),
        scored=tuple(document.scored for document in documents),
        seen=seen,
        nodes=len(depths),
        sees=tree.sees() if tree else torch.empty(0, 0, dtype=torch.bool),
    )


_Part = tuple[int | None, tuple[int, ...]]  # the stem it hangs on, by number, and its tokens


def _grown(documents: Sequence[Document]) -> tuple[list[_Part], list[_Part]]:
    """What several documents begin with, before any token that is scored, and what is left of each document."""
    heads = [document.ids[: -document.scored] for document in documents]
    alike = [_alike(one, two) for one, two in pairwise(heads)]  # of each with the next
    stems: list[_Part] = []
    leaves: list[_Part] = []
    # Runs of documents that begin with `depth` tokens which stand in stem `above` and those that it hangs on.
    todo: list[tuple[int, int, int, int | None]] = [(0, len(documents), 0, None)]
    while todo:
        first, last, depth, above = todo.pop()
        if last - first == 1:
            leaves.append((above, documents[first].ids[depth:]))
            continue
        common = min(alike[first : last - 1])
        if common >= depth + STEM:
            stems.append((above, heads[first][depth:common]))
            depth, above = common, len(stems) - 1
        runs = _runs(alike, first, last, depth)
        todo += [(start, stop, depth, above) for start, stop in reversed(runs)]
    return stems, leaves


def _runs(alike: Sequence[int], first: int, last: int, depth: int) -> list[tuple[int, int]]:
    """Neighbours among documents `first` to `last` that have a stem's tokens in common after the first `depth`."""
    edges = [index + 1 for index in range(first, last - 1) if alike[index] < depth + STEM]
    return list(pairwise([first, *edges, last]))


def _alike(one: Sequence[int], two: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, two, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(two)))
