"""Long arrays of 64-bit numbers in a temporary file, and how often each stands there when memory cannot hold all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fingpt.storage.tape import Tape

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]
Number = TypeVar("Number", bound=np.generic)

AT_ONCE = 1 << 17
"""Numbers of a file that are looked at together: 1 MiB."""

_SKETCH_BITS = 20


class Lines(Generic[Number]):
    """A table that is written line by line and then read as one array, mapped from a temporary file."""

    def __init__(self, width: int, kind: type[Number]) -> None:
        self._width, self._kind = width, kind
        self._tape = Tape()

    def append(self, lines: NDArray[Any]) -> None:
        """One more line, or several."""
        self._tape.append(lines.astype(self._kind, copy=False).tobytes())

    def table(self) -> NDArray[Number]:
        """(lines, width), not to be written to."""
        return np.frombuffer(self._tape.whole(), self._kind).reshape(-1, self._width)


class Spill:
    """Numbers that are appended block by block, each row's after another's, and read by their places."""

    def __init__(self) -> None:
        self._tape = Tape()
        self._sizes: list[Ints] = []
        self._ends: Ints | None = None
        self.total = 0

    def append(self, numbers: Hashes, sizes: Ints) -> None:
        """The numbers of some more rows, `sizes` of them each."""
        self._tape.append(numbers.tobytes())
        self._sizes.append(sizes.astype(np.int32))
        self._ends = None
        self.total += len(numbers)

    @property
    def sizes(self) -> Ints:
        """How many numbers each row has."""
        if len(self._sizes) != 1:
            self._sizes = [np.concatenate([np.zeros(0, np.int32), *self._sizes])]
        return self._sizes[0]

    def of(self, row: int) -> Hashes:
        """The numbers of one row."""
        ends = self._all_ends()
        start = int(ends[row - 1]) if row else 0
        return self._read(start, int(ends[row]))

    def blocks(self) -> Iterator[tuple[range, Hashes, Ints]]:
        """(rows, their numbers, the row of each) in order, about AT_ONCE numbers at a time."""
        ends = self._all_ends()
        first = 0
        while first < len(ends):
            start = int(ends[first - 1]) if first else 0
            stop = max(first + 1, int(np.searchsorted(ends, start + AT_ONCE, "right")))
            owner = np.repeat(np.arange(first, stop), self.sizes[first:stop])
            yield range(first, stop), self._read(start, int(ends[stop - 1])), owner
            first = stop

    def _all_ends(self) -> Ints:
        if self._ends is None:
            self._ends = np.cumsum(self.sizes, dtype=np.int64)
        return self._ends

    def _read(self, start: int, stop: int) -> Hashes:
        return np.frombuffer(self._tape.read(8 * start, 8 * (stop - start)), np.uint64)


class Sketch:
    """Upper bounds of how often hashes were seen, in 4 MiB whatever their number (Cormode and Muthukrishnan 2005)."""

    def __init__(self) -> None:
        self._counts = np.zeros(1 << _SKETCH_BITS, np.int32)

    def see(self, hashes: Hashes) -> None:
        """Count these."""
        places = (hashes >> np.uint64(64 - _SKETCH_BITS)).astype(np.intp)
        np.add.at(
            self._counts, places, np.int32(1)
        )  # a number of another kind takes 16 times as long

    def bounds(self, hashes: Hashes) -> NDArray[np.int32]:
        """For each, a number that it was seen at most so often."""
        counts: NDArray[np.int32] = self._counts[hashes >> np.uint64(64 - _SKETCH_BITS)]
        return counts


def frequent(spill: Spill, sketch: Sketch, least: int) -> tuple[Hashes, Ints, Ints]:
    """(hash, its count, the place of its first) of those that stand `least` times or more in `spill`, by hash.

    `sketch` has seen all of them. There are at most `spill.total / least`, so that memory holds them.
    """
    names, counts, first = np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)
    start = 0
    for _, hashes, _ in spill.blocks():
        places = np.flatnonzero(sketch.bounds(hashes) >= least)
        found, place, count = np.unique(hashes[places], return_index=True, return_counts=True)
        joined = np.concatenate([names, found])
        names, inverse = np.unique(joined, return_inverse=True)
        total = np.zeros(len(names), np.int64)
        np.add.at(total, inverse, np.concatenate([counts, count]))
        earliest = np.full(len(names), np.iinfo(np.int64).max)
        np.minimum.at(earliest, inverse, np.concatenate([first, start + places[place]]))
        counts, first = total, earliest
        start += len(hashes)
    kept = counts >= least
    return names[kept], counts[kept], first[kept]


def contained(hashes: Hashes, among: Hashes) -> NDArray[np.bool_]:
    """Which of `hashes` stand in the sorted `among`."""
    if not len(among):
        return np.zeros(len(hashes), np.bool_)
    place = np.searchsorted(among, hashes)
    found: NDArray[np.bool_] = among[np.minimum(place, len(among) - 1)] == hashes
    return found
