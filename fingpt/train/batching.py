"""Rows, their order, and batches: which rows make an optimizer step, and how it is cut into packs or micro-batches.

The order is a pure function of (seed, epoch), so a resumed run sees what the uninterrupted one would have seen; no
random state is involved. Sorting by length happens only inside one optimizer step, where it cannot change the sum of
gradients. (Trainer's own group_by_length draws from the global random state, and a resume differs.) Trainer gets one
batch per optimizer step, of all packs of a rank; under DeepSpeed, which counts micro-batches itself, one for each.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from fingpt.prompts.chat import IGNORED
from fingpt.train.packs import FILLER, balanced_packs, make_pack

Batch = dict[str, Any]

_FILLER_TOKENS = 16  # more than one, for which compilers make code of its own


@dataclass(frozen=True, slots=True)
class Row:
    """One tokenised example: `prompt` ids carry no loss, `answer` ids (with the stop id) all do."""

    example: str
    prompt: Sequence[int]
    answer: Sequence[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@lru_cache(maxsize=4)
def epoch_order(rows: int, seed: int, epoch: int) -> tuple[int, ...]:
    """A permutation of `rows` indices: by sha256 of (seed, epoch, index), so no library's generator can change it."""
    return tuple(
        sorted(
            range(rows),
            key=lambda index: hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest(),
        )
    )


@dataclass(frozen=True)
class Batching:
    """How rows of lengths `lengths` become steps, and these packs of all ranks; micro-batches without `pack_tokens`.

    A step has batch_size × accumulation × processes rows, which `nodes` of `processes` ranks each share.
    """

    lengths: tuple[int, ...]
    seed: int
    batch_size: int
    accumulation: int
    processes: int
    pack_tokens: int | None = None
    nodes: int = 1

    @property
    def ranks(self) -> int:
        """Training processes of all nodes."""
        return self.nodes * self.processes

    def steps(self, epoch: int) -> list[list[int]]:
        """Row indices of each optimizer step of an epoch; only the last step may be smaller."""
        order = epoch_order(len(self.lengths), self.seed, epoch)
        size = self._step_size
        return [list(order[start : start + size]) for start in range(0, len(order), size)]

    def step(self, number: int) -> list[int]:
        """Row indices of optimizer step `number`, counted from 0 over all epochs."""
        epoch, start = self._place(number)
        order = epoch_order(len(self.lengths), self.seed, epoch)
        return list(order[start : start + self._step_size])

    def tokens_after(self, steps: int) -> int:
        """Tokens of all rows of the first `steps` optimizer steps."""
        epoch, stop = self._place(steps)
        order = epoch_order(len(self.lengths), self.seed, epoch)
        return epoch * sum(self.lengths) + sum(self.lengths[index] for index in order[:stop])

    def _place(self, number: int) -> tuple[int, int]:
        """The epoch in which optimizer step `number` lies, and how many of its rows come before."""
        epoch, place = divmod(number, -(-len(self.lengths) // self._step_size))
        return epoch, place * self._step_size

    @property
    def _step_size(self) -> int:
        return self.batch_size * self.accumulation * self.processes

    def micro_batches(self, step_rows: Sequence[int]) -> list[list[list[int]]]:
        """Micro-batches of one step, `[turn][rank][row]`: sorted by length, every turn of similar length on all ranks.

        A step that is not full takes as few turns as possible; where rows run out, a rank gets one FILLER.
        """
        ranked = sorted(step_rows, key=lambda index: (-self.lengths[index], index))
        per_turn = self.batch_size * self.ranks
        turns = []
        for start in range(0, len(ranked), per_turn):
            part = ranked[start : start + per_turn]
            share = -(-len(part) // self.ranks)
            turns.append(
                [part[rank * share : (rank + 1) * share] or [FILLER] for rank in range(self.ranks)]
            )
        return turns

    def packs(self, step_rows: Sequence[int]) -> list[list[list[int]]]:
        """Packs of one step, `[turn][rank][row]`."""
        assert self.pack_tokens is not None
        return balanced_packs(self.lengths, step_rows, self.ranks, self.pack_tokens)

    def rank_batches(self, epoch: int, rank: int) -> list[list[int]]:
        """All micro-batches of one rank in an epoch, in order."""
        return [turn[rank] for rows in self.steps(epoch) for turn in self.micro_batches(rows)]

    def rank_steps(self, epoch: int, rank: int) -> list[list[list[int]]]:
        """The packs of one rank for each step of an epoch, in order."""
        return [[turn[rank] for turn in self.packs(rows)] for rows in self.steps(epoch)]

    def heaviest_pack(self, epochs: int) -> list[int]:
        """The pack of most tokens of the first `epochs` epochs, on whatever rank."""
        every = (
            pack
            for epoch in range(epochs)
            for rows in self.steps(epoch)
            for turn in self.packs(rows)
            for pack in turn
            if pack != [FILLER]
        )
        return max(every, key=lambda pack: sum(self.lengths[index] for index in pack))

    def padding_share(self, epochs: int) -> float:
        """Share of padding among all positions of the first `epochs` epochs, 0 to 1; packs have none."""
        if self.pack_tokens is not None:
            return 0.0
        real = slots = 0
        for epoch in range(epochs):
            for rank in range(self.ranks):
                for batch in self.rank_batches(epoch, rank):
                    sizes = [1 if index == FILLER else self.lengths[index] for index in batch]
                    real += sum(
                        size for size, index in zip(sizes, batch, strict=True) if index >= 0
                    )
                    slots += len(sizes) * max(sizes)
        return 1 - real / slots if slots else 0.0


def evaluation_batches(lengths: Sequence[int], budget_tokens: int) -> list[list[int]]:
    """All rows, longest first, in batches of at most `budget_tokens` padded positions (at least one row each)."""
    ranked = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in ranked:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


class EpochSampler(Sampler[list[Any]]):
    """Batches of one rank, epoch by epoch: all packs of a step, or one micro-batch."""

    def __init__(self, batching: Batching, rank: int) -> None:
        self._batching, self._rank, self._epoch = batching, rank, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[Any]]:
        if self._batching.pack_tokens is not None:
            return iter(self._batching.rank_steps(self._epoch, self._rank))
        return iter(self._batching.rank_batches(self._epoch, self._rank))

    def __len__(self) -> int:
        if self._batching.pack_tokens is not None:
            return len(self._batching.steps(0))
        return len(self._batching.rank_batches(0, self._rank))


class RowDataset(Dataset[Any]):
    """A row by its index, or the rows of a pack by theirs; FILLER is a row without an answer."""

    def __init__(self, rows: Sequence[Row], pad_id: int) -> None:
        self._rows = rows
        self._filler = Row("", (pad_id,) * _FILLER_TOKENS, ())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return [self[each] for each in index]
        return self._filler if index == FILLER else self._rows[index]


def collate_step(packs: Sequence[Sequence[Row]]) -> Batch:
    """`packs`: what `make_pack` makes of each, and `examples` (ids of its rows)."""
    made = [
        {
            **make_pack([(row.prompt, row.answer) for row in rows]),
            "examples": tuple(row.example for row in rows if row.answer),
        }
        for rows in packs
    ]
    return {"packs": made}


def collate(rows: Sequence[Row], pad_id: int) -> Batch:
    """`input_ids` and `labels` (both int64, rows × longest), padded on the right, and `examples` (ids of the rows).

    Labels are IGNORED on prompts and padding, by position. There is no attention mask: under causal attention no real
    position sees the padding to its right, and without a mask the fast attention kernels stay available.
    """
    longest = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), longest), pad_id, dtype=torch.int64)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.int64)
    for place, row in enumerate(rows):
        input_ids[place, : len(row)] = torch.tensor([*row.prompt, *row.answer], dtype=torch.int64)
        if row.answer:
            labels[place, len(row.prompt) : len(row)] = torch.tensor(row.answer, dtype=torch.int64)
    return {
        "input_ids": input_ids,
        "labels": labels,
        "examples": tuple(row.example for row in rows if row.answer),
    }


class EpochLoader(DataLoader[Row]):
    """A DataLoader whose batch sampler is told the epoch; its own random state touches nobody else's."""

    def __init__(
        self, rows: Sequence[Row], sampler: EpochSampler, pad_id: int, *, pin: bool
    ) -> None:
        super().__init__(
            RowDataset(rows, pad_id),
            batch_sampler=sampler,
            collate_fn=lambda batch: (
                collate_step(batch) if isinstance(batch[0], list) else collate(batch, pad_id)
            ),
            pin_memory=pin,
            generator=torch.Generator(),
        )
        self._epochs = sampler
        self._source: Iterator[Batch] = iter(())
        self._ahead: deque[Batch | None] = deque()

    def __iter__(self) -> Any:
        """Batches of the epoch, each made when it is asked for or, by `look_ahead`, before."""
        self._source, self._ahead = super().__iter__(), deque()
        while (batch := self._next()) is not None:
            yield batch

    def look_ahead(self) -> None:
        """Make the next batch now: a GPU has been given the work of this one and need not wait for it later."""
        if not self._ahead:
            self._ahead.append(next(self._source, None))

    def _next(self) -> Batch | None:
        self.look_ahead()
        return self._ahead.popleft()

    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer at the beginning of every epoch."""
        self._epochs.set_epoch(epoch)
