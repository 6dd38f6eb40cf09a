"""Packs: the rows of one optimizer step laid end to end, without padding, in few sequences of about the same length.

Rows of a pack do not see one another: attention ends at a row's borders (attention.py) and positions start again with
each. Packing decides only what is computed at once: the rows of a step, their order over steps and their weights in
the loss are batching.py's. Deterministic and without random state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

FILLER = -1
"""Index of a row that is not there: it keeps ranks in step and weighs nothing."""

Pack = dict[str, Any]
IntArray = npt.NDArray[np.int64]


def balanced_packs(
    lengths: Sequence[int], rows: Sequence[int], ranks: int, pack_tokens: int
) -> list[list[list[int]]]:
    """Rows of one step as `[turn][rank][row]`, in as few turns as keep every pack within `pack_tokens`.

    `lengths` are those of all rows, `rows` the indices of the step's. A row longer than `pack_tokens` is a pack of its
    own; a rank without a row in a turn gets one FILLER. Packs of about the same length are computed in the same turn,
    the longest first, and ranks take turns at the longer one.
    """
    ranked = sorted(rows, key=lambda index: (-lengths[index], index))
    alone = [[index] for index in ranked if lengths[index] > pack_tokens]
    shared = ranked[len(alone) :]
    halves = sum(
        2 * lengths[index] > pack_tokens for index in shared
    )  # no two of them fit together
    count = max(-(-_tokens(lengths, shared) // pack_tokens), halves)
    count += -(len(alone) + count) % ranks
    while True:
        packs = _spread(lengths, shared, count)
        if all(_tokens(lengths, pack) <= pack_tokens for pack in packs):
            break
        count += ranks * max(count // (16 * ranks), 1)
    packs = sorted([*alone, *packs], key=lambda pack: (-_tokens(lengths, pack), pack))
    turns = [packs[start : start + ranks] for start in range(0, len(packs), ranks)]
    return [
        [pack or [FILLER] for pack in (turn if number % 2 == 0 else turn[::-1])]
        for number, turn in enumerate(turns)
    ]


def filled_packs(lengths: Sequence[int], pack_tokens: int) -> list[list[int]]:
    """All rows, longest first, in packs that are filled one after the other; for what needs no balance."""
    packs: list[list[int]] = []
    free = 0
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if not packs or lengths[index] > free:
            packs.append([])
            free = pack_tokens
        packs[-1].append(index)
        free -= lengths[index]
    return packs


def _spread(lengths: Sequence[int], ranked: Sequence[int], count: int) -> list[list[int]]:
    """Rows, longest first, over `count` packs: each to the shortest so far (LPT, Graham 1969); then the longest pack
    exchanges rows with others as long as that makes it shorter.
    """
    packs: list[list[int]] = [[] for _ in range(count)]
    shortest = [(0, number) for number in range(count)]
    for index in ranked:
        load, number = shortest[0]
        packs[number].append(index)
        heapreplace(shortest, (load + lengths[index], number))
    rows = _Rows.of(lengths, packs)
    while swap := rows.best_swap(lengths, packs):
        top, give, other, take = swap
        packs[top].remove(give)
        packs[other].append(give)
        rows.move(give, lengths[give], other)
        if take != FILLER:
            packs[other].remove(take)
            packs[top].append(take)
            rows.move(take, lengths[take], top)
    return packs


@dataclass(frozen=True)
class _Rows:
    """Rows of packs, and a FILLER of each pack, as arrays: a step may have thousands, and every one is looked at for
    every exchange. `owners`: the pack of each; `loads`: tokens of each pack; `places`: where a row is.
    """

    names: IntArray
    tokens: IntArray
    owners: IntArray
    loads: IntArray
    places: dict[int, int]

    @classmethod
    def of(cls, lengths: Sequence[int], packs: Sequence[Sequence[int]]) -> _Rows:
        """The rows of `packs`."""
        found = [(index, number) for number, pack in enumerate(packs) for index in (*pack, FILLER)]
        names, owners = np.array(found, np.int64).reshape(-1, 2).T
        return cls(
            names,
            np.array([_tokens(lengths, [index]) for index, _ in found], np.int64),
            owners.copy(),
            np.array([_tokens(lengths, pack) for pack in packs], np.int64),
            {index: place for place, (index, _) in enumerate(found) if index != FILLER},
        )

    def best_swap(
        self, lengths: Sequence[int], packs: Sequence[Sequence[int]]
    ) -> tuple[int, int, int, int] | None:
        """The longest pack, its row and another pack with its row, or FILLER for none, whose exchange evens both out
        best; None where every exchange would leave one of both as long as the longest is.
        """
        if not packs:
            return None
        top = int(self.loads.argmax())
        longest = int(self.loads[top])
        best = (longest, 0, 0, 0)
        others = self.loads[self.owners] - self.tokens
        # Of rows of one length the first is given.
        for size, give in {
            lengths[each]: each for each in sorted(packs[top], reverse=True)
        }.items():
            longer = np.maximum(self.tokens + (longest - size), others + size)
            least = int(longer.min())
            if least < longest and least <= best[0]:
                equal = longer == least
                other = int(self.owners[equal].min())
                take = int(self.names[equal & (self.owners == other)].min())
                best = min(best, (least, other, give, take))
        least, other, give, take = best
        return (top, give, other, take) if least < longest else None

    def move(self, index: int, tokens: int, pack: int) -> None:
        """Put the row `index` of so many tokens into another pack."""
        place = self.places[index]
        self.loads[self.owners[place]] -= tokens
        self.loads[pack] += tokens
        self.owners[place] = pack


def _tokens(lengths: Sequence[int], pack: Sequence[int]) -> int:
    return sum(lengths[index] for index in pack if index != FILLER)


def fill(lengths: Sequence[int], packs: Sequence[Sequence[int]]) -> float:
    """Mean length of packs as a share of the longest one's, 0 to 1: how evenly the work is spread."""
    sizes = [_tokens(lengths, pack) for pack in packs]
    return sum(sizes) / (len(sizes) * max(sizes)) if any(sizes) else 0.0


def make_pack(documents: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Pack:
    """What a model and its loss need of a pack of `documents`, (prompt ids, answer ids) each.

    `input_ids`, `position_ids`: int64 (1, tokens). `targets`: int64 (answer tokens), `predictors`: the positions that
    predict them, each the one before. `borders`: int32 (documents + 1), where documents begin and the last one ends.
    `longest`: length of the longest document. `tail`: int64 indices of all tokens from each document's first predictor
    on, between `tail_borders`, `longest_tail` at most; `wanted`: where among these the predictors are.
    """
    sizes = [len(prompt) + len(answer) for prompt, answer in documents]
    borders = [0, *accumulate(sizes)]
    ids = [token for prompt, answer in documents for token in (*prompt, *answer)]
    predictors = [
        position - 1
        for (prompt, answer), start in zip(documents, borders[:-1], strict=True)
        for position in range(start + len(prompt), start + len(prompt) + len(answer))
    ]
    targets = [token for _, answer in documents for token in answer]
    tails = [len(answer) + 1 for _, answer in documents]
    tail = [
        position
        for size, stop in zip(tails, borders[1:], strict=True)
        for position in range(stop - size, stop)
    ]
    predicting = set(predictors)
    return {
        "input_ids": torch.tensor([ids], dtype=torch.int64),
        "position_ids": torch.cat([torch.arange(size) for size in sizes])[None],
        "targets": torch.tensor(targets, dtype=torch.int64),
        "predictors": torch.tensor(predictors, dtype=torch.int64),
        "borders": torch.tensor(borders, dtype=torch.int32),
        "longest": max(sizes),
        "tail": torch.tensor(tail, dtype=torch.int64),
        "tail_borders": torch.tensor([0, *accumulate(tails)], dtype=torch.int32),
        "longest_tail": max(tails),
        "wanted": torch.tensor(
            [place for place, position in enumerate(tail) if position in predicting],
            dtype=torch.int64,
        ),
    }
