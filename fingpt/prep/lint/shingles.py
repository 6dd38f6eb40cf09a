"""Texts as sets of hashed runs of words, and which of them share many: sorting and MinHash, linear in rows.

A shingle is the 64-bit hash of a few consecutive words. Dates are taken out first, so that a copy under other dates is
still a copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from fingpt.prep.lint.spill import Hashes, Ints, Lines, Sketch, Spill, contained, frequent

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")
_BANDS, _WIDTH = (
    24,
    2,
)  # a pair of Jaccard similarity s meets in a band with probability 1 − (1 − s²)²⁴: 99 % at 0.42
_PAIRS_PER_ROW = 8  # of one band: a large group of alike texts needs no more to be seen
_SEED = 20261126
_AT_ONCE = 256  # texts whose words are in memory
_MOST_WORDS = 200_000  # whose hashes are
_JOINED = 1 << 18  # shingles of two lots of texts that are held against each other at once
_FILTER_BITS = 24


class Among:
    """Which shingles other texts may have: no for most of those that they lack, in 16 MiB (Bloom 1970)."""

    def __init__(self, lots: Iterable[Shingles]) -> None:
        self._seen = np.zeros(1 << _FILTER_BITS, np.bool_)
        for lot in lots:
            for _, hashes, _ in lot.blocks():
                self._seen[hashes >> np.uint64(64 - _FILTER_BITS)] = True

    def may_hold(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of `hashes` the texts may have; true for all that they have."""
        seen: NDArray[np.bool_] = self._seen[hashes >> np.uint64(64 - _FILTER_BITS)]
        return seen


class Shingles:
    """The distinct shingles of some texts, sorted text by text, in a temporary file: 8 bytes each."""

    def __init__(self) -> None:
        self._spill = Spill()
        self.sketch = Sketch()

    def add(self, hashes: Hashes, sizes: Ints) -> None:
        """Those of some more texts, `sizes` of them each."""
        self._spill.append(hashes, sizes)
        self.sketch.see(hashes)

    @property
    def sizes(self) -> Ints:
        """Number of shingles of each text."""
        return self._spill.sizes

    @property
    def total(self) -> int:
        """Shingles of all texts together."""
        return self._spill.total

    def of(self, text: int) -> Hashes:
        """The shingles of one text, sorted."""
        return self._spill.of(text)

    def blocks(self) -> Iterator[tuple[range, Hashes, Ints]]:
        """(texts, their shingles, the text of each) in order, so many at a time as memory should hold."""
        return self._spill.blocks()

    def rare(self, most: int) -> Shingles:
        """Without the shingles that stand in more than `most` texts: what a template repeats tells nothing."""
        common, _, _ = frequent(self._spill, self.sketch, most + 1)
        kept = Shingles()
        for some, hashes, owner in self.blocks():
            stays = ~contained(hashes, common)
            kept.add(hashes[stays], np.bincount(owner[stays] - some.start, minlength=len(some)))
        return kept


def shingles(texts: Iterable[str], width: int, among: Among | None = None) -> Shingles:
    """The shingles of `width` words of each text, numbers and words alike, without regard to case.

    `among`: what most others are left out by.
    """
    values = _Words()
    kept, stream = Shingles(), iter(texts)
    while block := list(islice(stream, _AT_ONCE)):
        found, owner = _runs(block, width, values)
        if among is not None:
            stays = among.may_hold(found)
            found, owner = found[stays], owner[stays]
        order = np.lexsort((found, owner))
        found, owner = found[order], owner[order]
        new = np.r_[True, (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])][: len(found)]
        kept.add(found[new], np.bincount(owner[new], minlength=len(block)))
        if len(values) > _MOST_WORDS:
            values.clear()
    return kept


def _runs(texts: Sequence[str], width: int, values: _Words) -> tuple[Hashes, Ints]:
    """(hash, text) of each run of `width` words; `values` are the words' own hashes."""
    words: list[int] = []
    lengths = []
    for text in texts:
        found = _WORD.findall(_DATE.sub(" ", text).casefold())
        words += map(values.__getitem__, found)
        lengths.append(len(found))
    span = max(0, len(words) - width + 1)
    mixed, owner = _mix(np.array(words, np.uint64)), np.repeat(np.arange(len(texts)), lengths)
    hashes = np.zeros(span, np.uint64)
    for shift in range(width):
        hashes = _mix(hashes ^ mixed[shift : shift + span])
    whole = owner[:span] == owner[width - 1 :]
    return hashes[whole], owner[:span][whole]


def shared(texts: Shingles, others: Shingles, most: int) -> Iterator[tuple[Ints, Ints, Hashes]]:
    """(text, other text, shingle) for every shingle that both have and that at most `most` other texts hold.

    They come in parts, all of one shingle in one.
    """
    parts = 1 + (texts.total + others.total) // _JOINED
    for part in range(parts):
        wanted, owner = _part(texts, part, parts)
        held, holder = _part(others, part, parts)
        order = np.argsort(held, kind="stable")
        keys, owners = held[order], holder[order]
        first = np.searchsorted(keys, wanted, "left")
        counts = np.searchsorted(keys, wanted, "right") - first
        counts[counts > most] = 0
        repeat = np.repeat(np.arange(len(counts)), counts)
        offset = np.arange(len(repeat)) - np.repeat(np.cumsum(counts) - counts, counts)
        yield owner[repeat], owners[first[repeat] + offset], wanted[repeat]


def _part(texts: Shingles, part: int, parts: int) -> tuple[Hashes, Ints]:
    """(shingle, its text) of every shingle of one part of their range."""
    hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for _, found, owner in texts.blocks():
        here = (found >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32) == part
        hashes.append(found[here])
        owners.append(owner[here])
    return np.concatenate(hashes), np.concatenate(owners)


def alike(texts: Shingles, least: float, least_size: int) -> Iterator[tuple[int, int, float]]:
    """(text, later text, Jaccard similarity) of pairs of at least `least`, among texts with `least_size` shingles.

    Candidates meet in a band of MinHash signatures (Broder 1997); their similarity is then computed exactly.
    """
    big = np.flatnonzero(texts.sizes >= least_size)
    if not len(big):
        return
    rng = np.random.default_rng(_SEED)
    salts = [rng.integers(1, 2**63, dtype=np.uint64) for _ in range(_BANDS * _WIDTH)]
    bands = _signatures(texts, salts)
    pairs = np.zeros(0, np.int64)
    for band in range(_BANDS):
        met = _meeting(bands[big, band], big)
        codes = np.array([one * len(bands) + other for one, other in met], np.int64)
        pairs = np.union1d(pairs, codes)
    for code in pairs.tolist():
        one, other = divmod(code, len(bands))
        similarity = jaccard(texts.of(one), texts.of(other))
        if similarity >= least:
            yield one, other, similarity


def _signatures(texts: Shingles, salts: Sequence[np.uint64]) -> Hashes:
    """(texts, bands): what the least of each text's salted shingles are, _WIDTH of them hashed into one."""
    lines = Lines(_BANDS, np.uint64)
    for some, hashes, owner in texts.blocks():
        bands = np.zeros((len(some), _BANDS), np.uint64)
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        rows = owner[starts] - some.start
        for number, salt in enumerate(salts if len(starts) else ()):
            band = number // _WIDTH
            least = np.minimum.reduceat(_mix(hashes ^ salt), starts)
            bands[rows, band] = _mix(bands[rows, band] ^ least)
        lines.append(bands)
    return lines.table()


def jaccard(one: Hashes, other: Hashes) -> float:
    """Shingles that both texts have, as a share of those that either has; 0 for two empty texts."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(1, len(one) + len(other) - common)


def _meeting(keys: Hashes, texts: Ints) -> Iterator[tuple[int, int]]:
    """Pairs of texts with one key, the earlier text first; in a large group each meets the next few."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.r_[keys[order][1:] != keys[order][:-1], True]) + 1
    starts = np.r_[0, ends[:-1]]
    several = ends - starts > 1
    for start, end in zip(starts[several].tolist(), ends[several].tolist(), strict=True):
        group = texts[order[start:end]].tolist()
        if len(group) <= _PAIRS_PER_ROW:
            yield from combinations(group, 2)
        else:
            for place, text in enumerate(group):
                yield from ((text, other) for other in group[place + 1 : place + _PAIRS_PER_ROW])


class _Words(dict[str, int]):
    """Words and their hashes, each computed once."""

    def __missing__(self, word: str) -> int:
        self[word] = value = _text_hash(word)
        return value


def _text_hash(word: str) -> int:
    value = 0xCBF29CE484222325  # FNV-1a: the same in every process, unlike hash()
    for byte in word.encode("utf-8", "surrogatepass"):
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def _mix(values: Hashes) -> Hashes:
    """The finalizer of splitmix64: spreads every bit over all 64."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
