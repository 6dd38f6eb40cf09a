"""Texts as sets of hashed runs of words, and which of them share many: sorting and MinHash, linear in rows.

A shingle is the 64-bit hash of a few consecutive words. Dates are taken out first, so that a copy under other dates is
still a copy.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")
_BANDS, _WIDTH = (
    24,
    2,
)  # a pair of Jaccard similarity s meets in a band with probability 1 − (1 − s²)²⁴: 99 % at 0.42
_PAIRS_PER_ROW = 8  # of one band: a large group of alike texts needs no more to be seen
_SEED = 20261126
_AT_ONCE = 256  # texts whose words are in memory


@dataclass(frozen=True)
class Shingles:
    """The distinct shingles of some texts: `hashes` sorted by text, `owner` the text of each, `count` of texts."""

    hashes: Hashes
    owner: Ints
    count: int

    @property
    def sizes(self) -> Ints:
        """Number of shingles of each text."""
        return np.bincount(self.owner, minlength=self.count)

    def sets(self) -> list[Hashes]:
        """The shingles of each text, sorted."""
        return np.split(self.hashes, np.cumsum(self.sizes)[:-1]) if self.count else []

    def rare(self, most: int) -> Shingles:
        """Without the shingles that stand in more than `most` texts: what a template repeats tells nothing."""
        _, place, counts = np.unique(self.hashes, return_inverse=True, return_counts=True)
        kept = counts[place] <= most
        return Shingles(self.hashes[kept], self.owner[kept], self.count)


def shingles(texts: Sequence[str], width: int, among: Hashes | None = None) -> Shingles:
    """The shingles of `width` words of each text, numbers and words alike, without regard to case.

    `among`: sorted shingles, all others of which are left out, and never held for more than a few texts.
    """
    values: dict[str, int] = {}
    hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for start in range(0, len(texts), _AT_ONCE):
        found, owner = _runs(texts[start : start + _AT_ONCE], width, values)
        if among is not None:
            kept = _contained(found, among)
            found, owner = found[kept], owner[kept]
        order = np.lexsort((found, owner))
        found, owner = found[order], owner[order]
        new = np.r_[True, (found[1:] != found[:-1]) | (owner[1:] != owner[:-1])][: len(found)]
        hashes.append(found[new])
        owners.append(owner[new] + start)
    return Shingles(np.concatenate(hashes), np.concatenate(owners), len(texts))


def _runs(texts: Sequence[str], width: int, values: dict[str, int]) -> tuple[Hashes, Ints]:
    """(hash, text) of each run of `width` words; `values` are the words' own hashes, and are added to."""
    words: list[int] = []
    lengths = []
    for text in texts:
        found = _WORD.findall(_DATE.sub(" ", text).casefold())
        for word in found:
            if word not in values:
                values[word] = _text_hash(word)
        words += [values[word] for word in found]
        lengths.append(len(found))
    span = max(0, len(words) - width + 1)
    mixed, owner = _mix(np.array(words, np.uint64)), np.repeat(np.arange(len(texts)), lengths)
    hashes = np.zeros(span, np.uint64)
    for shift in range(width):
        hashes = _mix(hashes ^ mixed[shift : shift + span])
    whole = owner[:span] == owner[width - 1 :]
    return hashes[whole], owner[:span][whole]


def _contained(hashes: Hashes, among: Hashes) -> NDArray[np.bool_]:
    """Which of `hashes` stand in the sorted `among`."""
    if not len(among):
        return np.zeros(len(hashes), np.bool_)
    place = np.searchsorted(among, hashes)
    found: NDArray[np.bool_] = among[np.minimum(place, len(among) - 1)] == hashes
    return found


def shared(texts: Shingles, others: Shingles, most: int) -> tuple[Ints, Ints, Hashes]:
    """(text, other text, shingle) for every shingle that both have and that at most `most` other texts hold."""
    order = np.argsort(others.hashes, kind="stable")
    keys, owners = others.hashes[order], others.owner[order]
    first = np.searchsorted(keys, texts.hashes, "left")
    counts = np.searchsorted(keys, texts.hashes, "right") - first
    counts[counts > most] = 0
    repeat = np.repeat(np.arange(len(counts)), counts)
    offset = np.arange(len(repeat)) - np.repeat(np.cumsum(counts) - counts, counts)
    return texts.owner[repeat], owners[first[repeat] + offset], texts.hashes[repeat]


def alike(texts: Shingles, least: float, least_size: int) -> Iterator[tuple[int, int, float]]:
    """(text, later text, Jaccard similarity) of pairs of at least `least`, among texts with `least_size` shingles.

    Candidates meet in a band of MinHash signatures (Broder 1997); their similarity is then computed exactly.
    """
    sets = texts.sets()
    rng = np.random.default_rng(_SEED)
    seen: set[tuple[int, int]] = set()
    big = [place for place, each in enumerate(sets) if len(each) >= least_size]
    if not big:
        return
    starts = np.cumsum([0, *(len(sets[place]) for place in big)])[:-1]
    joined = np.concatenate([sets[place] for place in big])
    for _ in range(_BANDS):
        keys = np.zeros(len(big), np.uint64)
        for _ in range(_WIDTH):
            salt = rng.integers(1, 2**63, dtype=np.uint64)
            keys = _mix(keys ^ np.minimum.reduceat(_mix(joined ^ salt), starts))
        for pair in _meeting(keys, big):
            if pair not in seen:
                seen.add(pair)
                similarity = jaccard(sets[pair[0]], sets[pair[1]])
                if similarity >= least:
                    yield (*pair, similarity)


def jaccard(one: Hashes, other: Hashes) -> float:
    """Shingles that both texts have, as a share of those that either has; 0 for two empty texts."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(1, len(one) + len(other) - common)


def _meeting(keys: Hashes, texts: Sequence[int]) -> Iterator[tuple[int, int]]:
    groups: dict[int, list[int]] = defaultdict(list)
    for key, text in zip(keys.tolist(), texts, strict=True):
        groups[key].append(text)
    for group in groups.values():
        if len(group) <= _PAIRS_PER_ROW:
            yield from combinations(group, 2)
        else:
            for place, text in enumerate(group):
                yield from ((text, other) for other in group[place + 1 : place + _PAIRS_PER_ROW])


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
