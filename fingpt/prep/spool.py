"""Rows whose texts lie in a temporary file, so that a set of any size is split, linted and written in little memory.

A row keeps what it is counted by: symbol, period, label, notes, id and the facts of its prompt. Whoever reads one of
its texts reads the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fingpt.prep.facts import facts
from fingpt.prep.tape import Tape
from fingpt.prompts.examples import Example

_TEXTS = ("system", "user", "answer", "prompt", "raw_answer")


class Spool:
    """The texts of rows, in a temporary file of `folder` or where such files lie."""

    def __init__(self, folder: Path | None = None) -> None:
        self._tape = Tape(folder)
        self._last: tuple[int, bytes] = (-1, b"")

    def keep(self, example: Example) -> Example:
        """The same row, its texts in the file."""
        texts = [str(getattr(example, name)).encode() for name in _TEXTS]
        place = self._tape.size
        self._tape.append(b"".join(texts))
        return _Spooled(self, place, tuple(map(len, texts)), example)

    def text(self, place: int, sizes: tuple[int, ...], number: int) -> str:
        """One text of the row at `place`; the bytes of the row last read are kept, since rules ask row by row."""
        if self._last[0] != place:
            self._last = place, self._tape.read(place, sum(sizes))
        start = sum(sizes[:number])
        return self._last[1][start : start + sizes[number]].decode()


class _Spooled(Example):
    """An Example that reads its texts; equal rows of one class are equal, as those in memory are."""

    def __init__(self, spool: Spool, place: int, sizes: tuple[int, ...], example: Example) -> None:
        vars(self).update(
            spool=spool,
            place=place,
            sizes=sizes,
            symbol=sys.intern(example.symbol),
            period=sys.intern(example.period),
            label=sys.intern(example.label),
            notes=example.notes,
            id=example.id,
        )
        vars(self)["stated"] = facts(example)

    def _text(self, number: int) -> str:
        own = vars(self)
        spool: Spool = own["spool"]
        return spool.text(own["place"], own["sizes"], number)

    @property
    def system(self) -> str:
        return self._text(0)

    @property
    def user(self) -> str:
        return self._text(1)

    @property
    def answer(self) -> str:
        return self._text(2)

    @property
    def prompt(self) -> str:
        return self._text(3)

    @property
    def raw_answer(self) -> str:
        return self._text(4)
