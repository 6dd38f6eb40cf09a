"""Association of many features with the label at once: ranks within weeks, permutation, and what one alone would score.

Within a week all stocks share the market, so only the order within a week says something about a feature. For each
feature the sum of products of its centred ranks with the label's is divided by its standard deviation over all
permutations of the labels within weeks (Strasser & Weber 1999); the largest of all features is compared with the
largest under permuted labels (max-T, Westfall & Young 1993), so that looking at thousands costs no false alarms.
Time and memory are linear in rows, but for sorting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fingpt.prep.blocks import week_number
from fingpt.prep.facts import Case
from fingpt.prep.lint.spill import Ints, Lines

Floats = NDArray[np.float64]

DRAWS = 399
"""Permutations of the labels: the smallest p-value is 1/400."""

ALPHA = 0.01
"""Share of false alarms that each of the scans may have; all of them together stay below 5 %."""

LEAST_ROWS = 30
"""No scan looks at fewer rows: a perfect leak could not be told from chance among thousands of features."""

_STRATUM_ROWS = 10  # fewer rows a week, and consecutive weeks are taken together
_SEED = 20261126
_FOLDS = 5
_CHUNK = 1 << 22  # ranks held at once
_TURNED = 1 << 10  # rows whose ranks are brought together at once
_ROWS_AT_ONCE = 1 << 15  # of the words that are looked at together
_GATHERED = 1 << 20  # ranks of these that are in memory


@dataclass(frozen=True)
class Target:
    """The labels of all rows: `strata` (n) numbers the weeks from 0, `ranks` (n, 1 + DRAWS) holds the centred ranks
    within weeks of the true margins, then of permuted ones, mapped from a file; `true` are the former; `up` (n) says
    which go up.
    """

    strata: Ints
    ranks: NDArray[np.float32]
    true: NDArray[np.float32]
    up: NDArray[np.bool_]

    @property
    def sizes(self) -> Ints:
        """Rows of each stratum."""
        return np.bincount(self.strata)

    @property
    def spread(self) -> Floats:
        """Variance of a permuted label's rank in each stratum."""
        squares = np.bincount(self.strata, self.true.astype(np.float64) ** 2)
        return squares / np.maximum(self.sizes - 1, 1)


@dataclass(frozen=True, slots=True)
class Association:
    """One feature's: number of the feature, correlation of the ranks within weeks, family-wise p-value."""

    feature: int
    correlation: float
    p: float


def target_of(rows: Sequence[Case]) -> Target:
    """The labels of `rows`, permuted by a fixed seed."""
    strata = _strata([week_number(case.example) for case in rows])
    margins = np.array([case.example.margin for case in rows])
    true = centred_ranks(margins, strata)
    permuted = Lines(len(rows), np.float32)
    permuted.append(true)
    rng = np.random.default_rng(_SEED)
    places = np.argsort(strata, kind="stable")
    line = np.empty(len(rows), np.float32)
    for _ in range(DRAWS):
        shuffled = np.lexsort((rng.random(len(rows)), strata))
        line[places] = true[shuffled]
        permuted.append(line)
    return Target(strata, _turned(permuted), true.astype(np.float32), margins > 0)


def _turned(lines: Lines[np.float32]) -> NDArray[np.float32]:
    """The table with its columns as lines, so that some rows' ranks are read together."""
    table = lines.table()
    turned = Lines(len(table), np.float32)
    for start in range(0, table.shape[1], _TURNED):
        turned.append(table[:, start : start + _TURNED].T)
    return turned.table()


def centred_ranks(values: Floats, strata: Ints) -> Floats:
    """Mid-ranks of `values` within strata less their mean, over the stratum's size; 0 where a value is missing."""
    present = np.flatnonzero(~np.isnan(values))
    ranks = np.zeros(len(values))
    if not len(present):
        return ranks
    # Ties share a rank, so their order does not matter; a stable sort of small integers is a radix sort.
    by_value = present[np.argsort(values[present])]
    small = strata.astype(np.min_scalar_type(strata.max()))
    order = by_value[np.argsort(small[by_value], kind="stable")]
    x, s = values[order], strata[order]
    place = np.arange(len(order), dtype=np.float64)
    new_tie = np.r_[True, (x[1:] != x[:-1]) | (s[1:] != s[:-1])]
    tie = np.cumsum(new_tie) - 1
    middle = np.bincount(tie, place) / np.bincount(tie)
    sizes = np.bincount(s, minlength=strata.max() + 1)
    means = np.bincount(s, place, minlength=len(sizes)) / np.maximum(sizes, 1)
    ranks[order] = (middle[tie] - means[s]) / sizes[s]
    return ranks


def associated(features: Iterable[Floats], count: int, target: Target) -> list[Association]:
    """Those of `count` features (n values each, NaN for none) whose ranks go with the label's, the best first."""
    sizes = target.sizes
    spread = target.spread
    best = np.zeros(DRAWS)
    scores, correlations = np.empty(count), np.empty(count)
    step = max(1, _CHUNK // max(len(target.up), 1 + DRAWS))
    stream = iter(features)
    told = target.true.astype(np.float64) ** 2
    for start in range(0, count, step):
        stop = min(start + step, count)
        ranks = np.empty((stop - start, len(target.up)), np.float32)
        within = np.empty((stop - start, len(sizes)))
        norm = np.empty(stop - start)
        for place, values in enumerate(islice(stream, step)):
            each = centred_ranks(values, target.strata)
            square = each**2
            ranks[place], within[place] = each, np.bincount(target.strata, square, len(sizes))
            norm[place] = square.sum() * max(float((each != 0) @ told), 1e-12)
        sums = ranks @ target.ranks
        scores[start:stop], best = _standardize(sums, within @ spread, best)
        correlations[start:stop] = sums[:, 0] / np.maximum(np.sqrt(norm), 1e-12)
    return _found(scores, correlations, best)


def associated_words(rows_of: Iterable[Ints], count: int, target: Target) -> list[Association]:
    """As `associated`, for `count` features that a row has or lacks; `rows_of` names the rows that have each."""
    sizes, spread = target.sizes, target.spread
    best = np.zeros(DRAWS)
    scores, correlations = np.empty(count), np.empty(count)
    total = float((target.true.astype(np.float64) ** 2).sum())
    start = 0
    for some in _chunks(rows_of):
        lengths = [len(each) for each in some]
        rows, starts = np.concatenate(some), np.r_[0, np.cumsum(lengths)[:-1]]
        sums = sums_of(target, rows, starts)
        owner = np.repeat(np.arange(len(starts)), lengths)
        counts = np.bincount(
            owner * len(sizes) + target.strata[rows], minlength=len(starts) * len(sizes)
        )
        counts = counts.reshape(len(starts), len(sizes)).astype(np.float64)
        within = counts - counts**2 / sizes
        part = slice(start, start + len(some))
        scores[part], best = _standardize(sums, within @ spread, best)
        correlations[part] = sums[:, 0] / np.sqrt(np.maximum(within.sum(axis=1) * total, 1e-12))
        start += len(some)
    return _found(scores, correlations, best)


def sums_of(target: Target, rows: Ints, starts: Ints) -> NDArray[np.float32]:
    """(groups, 1 + DRAWS): sums of the ranks of `rows`, of which a group begins at each of `starts`."""
    width = max(8, _GATHERED // max(1, len(rows)))
    draws = range(0, target.ranks.shape[1], width)
    parts = [np.add.reduceat(target.ranks[rows, at : at + width], starts, axis=0) for at in draws]
    return np.concatenate(parts, axis=1)


def score_alone(values: Floats, target: Target) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What a threshold on one feature would score: (rows that have it, whether each of these would be right).

    The feature is taken as it is, or as its rank within the week, whichever serves the training part better. Threshold
    and direction are chosen on four fifths of the weeks and tried on the others, in turn.
    """
    present = ~np.isnan(values)
    ranks = centred_ranks(values, target.strata)
    right = np.zeros(len(values), np.bool_)
    for fold in range(_FOLDS):
        held = present & (target.strata % _FOLDS == fold)
        told = present & ~held
        if held.any() and told.any():
            stumps = [(_stump(view[told], target.up[told]), view) for view in (values, ranks)]
            (_, cut, sign), view = max(stumps, key=lambda each: each[0][0])
            right[held] = ((view[held] > cut) == (sign > 0)) == target.up[held]
    return present, right[present]


def _stump(values: Floats, up: NDArray[np.bool_]) -> tuple[float, float, int]:
    """(share right, threshold, +1 when values above it mean up) of the best threshold."""
    order = np.argsort(values, kind="stable")
    x, y = values[order], up[order]
    above = (
        y.sum() - np.cumsum(y) + np.arange(1, len(y) + 1) - np.cumsum(y)
    )  # ups above, downs up to here
    cuts = np.r_[x[1:] != x[:-1], True]
    gain = np.where(cuts, above, -1)
    loss = np.where(cuts, len(y) - above, -1)
    place, other = int(gain.argmax()), int(loss.argmax())
    sign = 1 if gain[place] >= loss[other] else -1
    chosen = place if sign > 0 else other
    after = x[chosen + 1] if chosen + 1 < len(x) else x[chosen]
    return max(gain[place], loss[other]) / len(y), float((x[chosen] + after) / 2), sign


def _strata(weeks: Sequence[int]) -> Ints:
    """A number from 0 on for each row's week; consecutive weeks share one until it has rows enough."""
    known, counts = np.unique(np.array(weeks), return_counts=True)
    names, current, held = np.zeros(len(known), np.int64), 0, 0
    for place, count in enumerate(counts):
        names[place] = current
        held += int(count)
        if held >= _STRATUM_ROWS:
            current, held = current + 1, 0
    if held and current:
        names[names == current] = current - 1
    return names[np.searchsorted(known, np.array(weeks))]


def _standardize(
    sums: NDArray[np.float32], variance: Floats, best: Floats
) -> tuple[Floats, Floats]:
    """Standard scores of the true labels, and the largest of all under each permutation, with those seen so far."""
    scale = np.where(variance > 1e-9, 1 / np.sqrt(np.maximum(variance, 1e-9)), 0.0)
    scores = np.abs(sums) * scale[:, None].astype(np.float32)
    return scores[:, 0].astype(np.float64), np.maximum(best, scores[:, 1:].max(axis=0))


def _found(scores: Floats, correlations: Floats, best: Floats) -> list[Association]:
    p = (1 + (best[None, :] >= scores[:, None] - 1e-6).sum(axis=1)) / (1 + len(best))
    hits = np.flatnonzero(p <= ALPHA)
    found = [Association(int(i), float(correlations[i]), float(p[i])) for i in hits]
    return sorted(found, key=lambda each: (-scores[each.feature], each.feature))


def _chunks(rows_of: Iterable[Ints]) -> Iterator[list[Ints]]:
    some: list[Ints] = []
    held = 0
    for rows in rows_of:
        some.append(rows)
        held += len(rows)
        if held > _ROWS_AT_ONCE:
            yield some
            some, held = [], 0
    if some:
        yield some
