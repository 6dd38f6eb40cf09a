"""A sparse table of rows and names, one pass over the rows to fill it, a few columns at a time to read it.

Prompts have too many words and figures to hold every one with its rows. Cells lie in temporary files, row by row;
names are kept for those alone that so many rows have as a column needs.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fingpt.prep.lint.spill import Hashes, Ints, Sketch, Spill, contained, frequent

Name = TypeVar("Name", bound=Hashable)
Numbers = NDArray[Any]

_ROWS = 128  # of which cells are in memory
_CELLS = 1 << 19  # of the columns that are read together


@dataclass(frozen=True, slots=True)
class Head(Generic[Name]):
    """A column: its name, in how many rows it has a cell, its place among all columns by their first cells."""

    name: Name
    count: int
    place: int


class Columns(Generic[Name]):
    """Cells (row, name, number of that `kind`, if any); columns of fewer than `least` cells are left out.

    A name is told from others by `hash`, which one process computes alike for equal ones.
    """

    def __init__(
        self, least: int, kind: type[np.float64] | type[np.int64] | None = np.float64
    ) -> None:
        self._least, self._kind = least, kind
        self._keys, self._values = Spill(), Spill()
        self._sketch = Sketch()
        self._names: dict[int, Name] = {}
        self._waiting: list[Collection[Name]] = []

    def add(self, row: Mapping[Name, float] | Collection[Name]) -> None:
        """The cells of one more row: names with numbers, or names alone where there is no kind of number."""
        self._waiting.append(row)
        if len(self._waiting) == _ROWS:
            self._flush()

    def heads(self) -> list[Head[Name]]:
        """The columns, in the order of their first cells."""
        self._flush()
        keys, counts, first = frequent(self._keys, self._sketch, self._least)
        order = np.argsort(first)
        found = zip(keys[order].tolist(), counts[order].tolist(), strict=True)
        return [Head(self._names[key], count, place) for place, (key, count) in enumerate(found)]

    def read(self, heads: Sequence[Head[Name]]) -> Iterator[tuple[Ints, Numbers]]:
        """(rows, numbers) of each of these columns, in this order."""
        start, cells = 0, 0
        for stop, head in enumerate(heads):
            if cells and cells + head.count > _CELLS:
                yield from self._read(heads[start:stop])
                start, cells = stop, 0
            cells += head.count
        if start < len(heads):
            yield from self._read(heads[start:])

    def _read(self, heads: Sequence[Head[Name]]) -> Iterator[tuple[Ints, Numbers]]:
        keys = _keys_of([head.name for head in heads])
        by_key = np.argsort(keys)
        among = keys[by_key]
        ends = np.cumsum([head.count for head in heads])
        filled = np.r_[0, ends[:-1]]
        plain = self._kind is None
        rows = np.empty(ends[-1], np.int32)
        numbers = np.empty(0 if plain else ends[-1], np.uint64)
        stored = self._keys.blocks() if plain else self._values.blocks()
        for (_, hashes, owner), (_, values, _) in zip(self._keys.blocks(), stored, strict=True):
            here = np.flatnonzero(contained(hashes, among))
            column = by_key[np.searchsorted(among, hashes[here])]
            order = np.argsort(column, kind="stable")
            column, here = column[order], here[order]
            counts = np.bincount(column, minlength=len(heads))
            within = np.arange(len(here)) - np.repeat(np.cumsum(counts) - counts, counts)
            place = filled[column] + within
            rows[place] = owner[here]
            if not plain:
                numbers[place] = values[here]
            filled += counts
        for end, head in zip(ends.tolist(), heads, strict=True):
            cells = slice(end - head.count, end)
            number = np.zeros(0) if self._kind is None else numbers[cells].view(self._kind)
            yield rows[cells].astype(np.int64), number

    def _flush(self) -> None:
        names = [name for row in self._waiting for name in row]
        sizes = np.array([len(row) for row in self._waiting], np.int64)
        keys = _keys_of(names)
        self._keys.append(keys, sizes)
        if self._kind is not None:
            told = (row for row in self._waiting if isinstance(row, Mapping))
            values = np.array([number for row in told for number in row.values()], self._kind)
            self._values.append(values.view(np.uint64), sizes)
        self._waiting = []
        self._sketch.see(keys)
        # Whatever has enough cells has them when its last one comes, and is named then at the latest.
        places = np.flatnonzero(self._sketch.bounds(keys) >= self._least)
        found, first = np.unique(keys[places], return_index=True)
        for key, place in zip(found.tolist(), places[first].tolist(), strict=True):
            self._names.setdefault(key, names[place])


def _keys_of(names: Sequence[Hashable]) -> Hashes:
    return np.fromiter(map(hash, names), np.int64, len(names)).view(np.uint64)
