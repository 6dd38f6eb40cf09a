"""Rows whose texts lie in a temporary file, so that a set of any size is split, linted and written in little memory.

A row keeps what it is counted by: symbol, period, label, notes and id. Whoever reads one of its texts, or the facts of
its prompt, reads the file.
"""

from __future__ import annotations

import struct
import sys
from array import array
from pathlib import Path

from fingpt.prep.facts import Facts, facts, packed, unpacked
from fingpt.prompts.examples import Example
from fingpt.storage.tape import Tape

_TEXTS = ("system", "user", "answer", "prompt", "raw_answer")
_SIZES = struct.Struct(
    f"<{len(_TEXTS)}I"
)  # of the texts, which lie behind them; then come the facts
_ID_BYTES = 32
_FACTS_IN_MEMORY = 8192  # rows whose facts are at hand, in 3 MiB; they are asked for fifteen times


class Spool:
    """The texts of rows, in a temporary file of `folder` or where such files lie."""

    def __init__(self, folder: Path | None = None) -> None:
        self._tape = Tape(folder)
        self._starts = array("q")
        self._ids = bytearray()
        self._last: tuple[int, bytes] = (-1, b"")
        self._facts: list[Facts] = []

    def keep(self, example: Example) -> Example:
        """The same row, its texts in the file."""
        texts = [str(getattr(example, name)).encode() for name in _TEXTS]
        self._starts.append(self._tape.size)
        self._ids += bytes.fromhex(example.id)
        stated = facts(example)
        if len(self._facts) < _FACTS_IN_MEMORY:
            self._facts.append(stated)
        self._tape.append(_SIZES.pack(*map(len, texts)) + b"".join(texts) + packed(stated))
        return _Spooled(self, len(self._starts) - 1, example)

    def text(self, row: int, number: int) -> str:
        """One text of a row."""
        record = self._record(row)
        sizes = _SIZES.unpack_from(record)
        start = _SIZES.size + sum(sizes[:number])
        return record[start : start + sizes[number]].decode()

    def stated(self, row: int) -> Facts:
        """The facts of a row's prompt."""
        if row < len(self._facts):
            return self._facts[row]
        record = self._record(row)
        return unpacked(record[_SIZES.size + sum(_SIZES.unpack_from(record)) :])

    def _record(self, row: int) -> bytes:
        """The bytes of a row; those of the row last read are kept, since rules ask row by row."""
        if self._last[0] != row:
            start = self._starts[row]
            stop = self._starts[row + 1] if row + 1 < len(self._starts) else self._tape.size
            self._last = row, self._tape.read(start, stop - start)
        return self._last[1]

    def id(self, row: int) -> str:
        """The id of a row."""
        return self._ids[_ID_BYTES * row : _ID_BYTES * (row + 1)].hex()


class _Spooled(Example):
    """An Example that reads its texts; equal rows of one class are equal, as those in memory are."""

    __slots__ = ("_row", "_spool", "label", "notes", "period", "symbol")

    _row: int
    _spool: Spool

    def __init__(self, spool: Spool, row: int, example: Example) -> None:
        own = {
            "_row": row,
            "_spool": spool,
            "label": sys.intern(example.label),
            "notes": example.notes,
            "period": sys.intern(example.period),
            "symbol": sys.intern(example.symbol),
        }
        for name, value in own.items():
            object.__setattr__(self, name, value)  # an Example is frozen

    def _text(self, number: int) -> str:
        return self._spool.text(self._row, number)

    @property
    def id(self) -> str:
        return self._spool.id(self._row)

    @property
    def stated(self) -> Facts:
        return self._spool.stated(self._row)

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
