"""The ids of texts by their pieces, each of which is encoded once, however many texts it stands in.

A byte-level BPE encodes what its pattern cuts piece by piece, so the ids of a text are those of its pieces one after
the other. The library cuts, copies and looks up every word of every text anew, which is nine tenths of its time. Here
all texts of a call are cut at once where Llama's pattern cuts whatever stands around, which two bytes tell; what lies
between is looked up at once, too, and only pieces that were never seen are left to the library, pattern and all.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

_ID_BYTES = 4
_BLANKS = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000"
)
"""White space beyond ASCII."""

_LETTER, _DIGIT, _MARK, _BLANK, _LINE_END, _LEAD, _TAIL = (1 << bit for bit in range(7))
"""Kinds of bytes. A lead begins a character beyond ASCII that is no white space, a tail ends one; of bytes that white
space has, too, nothing is known.
"""
_CUT_BEFORE = {
    _LETTER: _DIGIT | _MARK | _BLANK | _LINE_END,
    _DIGIT: _LETTER | _MARK | _BLANK | _LINE_END,
    _MARK: _DIGIT | _BLANK,
    _LINE_END: _LETTER | _DIGIT | _MARK | _LEAD,
    _TAIL: _BLANK,
}
"""After a byte of each kind, the kinds that always begin a word: letters and digits end with their kind, marks go on
with what is neither letter, digit nor white space; a blank is the first of a word unless it follows white space, and a
line's end the last of one unless more follows.
"""


def _kind(byte: int) -> int:
    char = chr(byte)
    if byte < 0x80:
        if char.isalnum():
            return _DIGIT if char.isdigit() else _LETTER
        return {" ": _BLANK, "\n": _LINE_END}.get(char, _MARK if char.isprintable() else 0)
    white = {place for blank in _BLANKS for place in (blank.encode()[0], blank.encode()[-1])}
    return 0 if byte in white else _TAIL if byte < 0xC0 else _LEAD


_KINDS = bytes(map(_kind, range(256)))
_CUTS = bytes(_CUT_BEFORE.get(kind, 0) for kind in _KINDS)

_LONGEST = 15  # bytes of a piece that two numbers hold, with its length
_SIZES = range(_LONGEST + 1)
_LOW = np.array([(1 << 8 * min(size, 8)) - 1 for size in _SIZES], np.uint64)
_HIGH = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in _SIZES], np.uint64)
_SIZE = np.array([size << 56 for size in _SIZES], np.uint64)
_LONGER = np.uint64((1 << 64) - 1)  # for a piece that two numbers do not hold
_SPREAD = np.uint64(0x9E37_79B9_7F4A_7C15)  # odd: 2^64 over the golden ratio
_PLACE_BITS = 17
_MOST_BYTES = 64 << 20  # of pieces and ids, of which a large data set has a tenth
_PIECE_BYTES = 256  # that a piece takes beside its text and ids
_AT_ONCE = 128  # pieces that one of the library's threads encodes


class Pieces:
    """The pieces that `tokenizer` has encoded: it cuts as Llama's and has no added tokens. They and their ids take at
    most 80 MiB, beside what a call brings.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._forget()

    def _forget(self) -> None:
        self._numbers: dict[bytes, int] = {}
        """Every piece that was seen, numbered."""
        self._ids, self._stops = array("i"), array("q", [0])
        """The ids of all pieces by their numbers, and where those of each one end."""
        self._places = np.zeros((1 << _PLACE_BITS, 4), np.uint64)
        """Of most short pieces the key (two numbers), where the ids begin, and how many they are: found without Python.
        A piece may lie at two places; where others came first, it is looked up by its number.
        """
        self._bytes = 0

    def packed(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of each text, those that the tokenizer itself gives, packed."""
        if self._bytes > _MOST_BYTES:
            self._forget()
        parts = [text.encode() for text in texts]
        ends = np.cumsum([0, *map(len, parts)])
        data = b"".join((*parts, bytes(16)))  # the key of the last piece is read beyond its end
        borders = _borders(data, ends)
        begins, counts = self._look_up(data, borders)
        stops = np.cumsum(np.append(0, counts))
        every = np.repeat(begins - stops[:-1], counts) + np.arange(stops[-1])
        ids = np.frombuffer(self._ids, np.int32)[every].tobytes()
        cuts = (_ID_BYTES * stops[np.searchsorted(borders, ends)]).tolist()
        return [ids[start:stop] for start, stop in pairwise(cuts)]

    def _look_up(
        self, data: bytes, borders: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in `_ids` the ids of each piece begin, and how many they are."""
        low, high = _keys(data, borders)
        places = _place(low, high)
        rows = self._places.take(places, axis=0)
        others = np.flatnonzero((rows[:, 0] != low) | (rows[:, 1] != high))
        rows[others] = seconds = self._places.take(places[others] ^ 1, axis=0)
        others = others[(seconds[:, 0] != low[others]) | (seconds[:, 1] != high[others])]
        begins, counts = rows[:, 2].astype(np.int64), rows[:, 3].astype(np.int64)
        starts, stops = borders[others].tolist(), borders[others + 1].tolist()
        pieces = [data[start:stop] for start, stop in zip(starts, stops, strict=True)]
        self._learn([piece for piece in dict.fromkeys(pieces) if piece not in self._numbers])
        numbers = np.fromiter(map(self._numbers.__getitem__, pieces), np.int64, len(pieces))
        ends = np.frombuffer(self._stops, np.int64)
        begins[others], counts[others] = ends[numbers], np.diff(ends)[numbers]
        short = others[high[others] != _LONGER]
        values = (low, high, begins.view(np.uint64), counts.view(np.uint64))
        self._keep(places[short], np.stack([each[short] for each in values], axis=1))
        return begins, counts

    def _keep(self, places: NDArray[np.int64], rows: NDArray[np.uint64]) -> None:
        """Each of `rows` at its place, or at the one beside it, where one of these is free."""
        places = places ^ (self._places[places, 1] != 0)
        free = self._places[places, 1] == 0
        self._places[places[free]] = rows[free]

    def _learn(self, pieces: Sequence[bytes]) -> None:
        texts = [piece.decode() for piece in pieces]
        some = [texts[start : start + _AT_ONCE] for start in range(0, len(texts), _AT_ONCE)]
        encoded = self._tokenizer.encode_batch(some, is_pretokenized=True, add_special_tokens=False)
        for part, each in zip(some, encoded, strict=True):
            counts = np.bincount(np.array(each.word_ids, np.int64), minlength=len(part))
            self._stops.extend((len(self._ids) + np.cumsum(counts)).tolist())
            self._ids.extend(each.ids)
        known = len(self._numbers)
        self._numbers.update(zip(pieces, range(known, known + len(pieces)), strict=True))
        self._bytes += sum(_PIECE_BYTES + (1 + _ID_BYTES) * len(piece) for piece in pieces)


def _borders(data: bytes, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where pieces of texts begin that are laid end to end and end at `ends`, and where the last one ends."""
    size = int(ends[-1])
    kinds, cuts = (
        np.frombuffer(data.translate(table), np.uint8, size) for table in (_KINDS, _CUTS)
    )
    cut = np.zeros(size + 1, np.bool_)
    np.not_equal(cuts[:-1] & kinds[1:], 0, out=cut[1:size])
    cut[ends] = True
    return np.flatnonzero(cut)


def _keys(data: bytes, borders: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Two numbers for each piece: all of its bytes and their count, so that equal ones are equal pieces, or _LONGER."""
    starts, sizes = borders[:-1], np.diff(borders)
    eight = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # from each byte on
    short = np.minimum(sizes, _LONGEST)
    low, high = eight[starts] & _LOW[short], _SIZE[short]
    long = np.flatnonzero(sizes > 8)
    high[long] |= eight[starts[long] + 8] & _HIGH[short[long]]
    high[sizes > _LONGEST] = _LONGER
    return low, high


def _place(low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A place for each key: the upper bits of products, which all of its bits change."""
    mixed: NDArray[np.uint64] = low ^ high * _SPREAD
    mixed = (mixed ^ mixed >> np.uint64(29)) * _SPREAD
    return (mixed >> np.uint64(64 - _PLACE_BITS)).astype(np.int64)
