"""Which of several paired differences are more than chance, tested together by flipping the signs of whole weeks. Pure.

Were two models alike, the difference of a week could as well have had the other sign. All differences of a family are
flipped together, week by week, and the largest studentised one of each flip is kept (max-T, Westfall & Young 1993): the
share of flips with a larger maximum is a p-value corrected for the whole family, whatever its members' correlation.
Intervals have the same critical value, so one leaves out 0 exactly where its test rejects.

With several training seeds, their spread enters the standard error (two-way clustering, Cameron, Gelbach & Miller
2011), and the critical value is that of Student's t with Satterthwaite's degrees of freedom in the same proportion.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import t as student

from fingpt.metrics import Floats
from fingpt.report.clusters import MIN_CLUSTERS

PRIMARY_ALPHA = 0.04
SECONDARY_ALPHA = 0.01
"""A report of pure noise names a winner in at most 5 %: 4 % for the primary question, 1 % for all others together."""
EQUIVALENCE_ALPHA = 0.1
"""Two one-sided tests at 5 % each: the interval that must lie within the margin is a 90 % one."""

FLIPS = 2000
_ROUNDING = 1e-9
_ALL_UP_TO = 11
"""Blocks whose signs are all tried: 2^10 patterns, the mirrored ones left out."""


@dataclass(frozen=True, eq=False)
class Difference:
    """A paired difference as parts of weeks: `weekly` adds up to `value`, `share` of rows per week adds up to 1.

    `n`: rows that enter on each side. `spread`: variance of `value` that comes from training seeds, `spread_df` its
    degrees of freedom (0: one seed), `shared`: the part of it that the weeks show, too.
    """

    value: float
    weekly: Floats
    share: Floats
    n: int
    spread: float = 0.0
    spread_df: float = 0.0
    shared: float = 0.0

    @property
    def weeks(self) -> int:
        """Weeks with any row."""
        return int((self.share > 0).sum())


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference's interval, and the narrower one that equivalence is judged by."""

    low: float
    high: float
    inner_low: float
    inner_high: float


def intervals(
    family: Sequence[Difference], alpha: float, block: int, *, together: bool = True
) -> list[Interval | None]:
    """Intervals of all differences that hold `together` (or each alone) with probability 1 − `alpha`.

    `block`: neighbouring weeks that are flipped together. None for a difference over too few of them.
    """
    parts = [_blocks(one, block) for one in family]
    usable = [int((share > 0).sum()) >= MIN_CLUSTERS for _, share in parts]
    kept = [index for index, use in enumerate(usable) if use]
    if not kept:
        return [None] * len(family)
    weekly = np.column_stack([parts[index][0] for index in kept])
    share = np.column_stack([parts[index][1] for index in kept])
    signs = _signs(len(weekly))
    flipped = _studentised(signs, weekly, share)
    if together:
        flipped = np.broadcast_to(flipped.max(axis=1, keepdims=True), flipped.shape)
    largest = np.sort(flipped, axis=0)[::-1]
    _, _, error = _moments(signs[:1], weekly, share)
    found: list[Interval | None] = [None] * len(family)
    for place, index in enumerate(kept):
        one = family[index]
        df = int((share[:, place] > 0).sum()) - 1
        outer, narrow = (
            _reach(
                float(largest[int(level * len(largest)), place]),
                float(error[0, place]),
                one,
                df,
                level,
            )
            for level in (alpha, EQUIVALENCE_ALPHA)
        )
        found[index] = Interval(*_around(one.value, outer), *_around(one.value, narrow))
    return found


def _around(value: float, reach: float) -> tuple[float, float]:
    """Both ends, exactly 0 where they are 0 but for rounding: a flip as extreme as what was observed is no rejection.

    With few weeks the critical value often is the observed statistic itself, and the last bit must name no winner.
    """
    low, high = (
        0.0 if abs(end) <= _ROUNDING * reach else end for end in (value - reach, value + reach)
    )
    return low, high


def _reach(critical: float, variance: float, one: Difference, df: int, level: float) -> float:
    """Half the interval's width: the weeks' standard error, or with several seeds that of weeks and seeds together."""
    if one.spread_df <= 0:
        return critical * math.sqrt(variance)
    both = max(variance + one.spread - one.shared, variance, one.spread)
    if both == 0:
        return 0.0
    freedom = both**2 / (variance**2 / df + one.spread**2 / one.spread_df)
    tail = 1 - level / 2
    return float(critical * student.ppf(tail, freedom) / student.ppf(tail, df)) * math.sqrt(both)


def _blocks(one: Difference, block: int) -> tuple[Floats, Floats]:
    if block == 1:
        return one.weekly, one.share
    edges = np.arange(0, len(one.weekly) - block + 1, block)  # a rest joins the last block
    edges = edges if len(edges) else np.array([0])
    return np.add.reduceat(one.weekly, edges), np.add.reduceat(one.share, edges)


@lru_cache(maxsize=8)
def _signs(count: int) -> Floats:
    """Patterns of signs, the first all +1: every one for few blocks, else seeded random ones."""
    if count <= _ALL_UP_TO:
        bits = (np.arange(2 ** (count - 1))[:, None] >> np.arange(count)) & 1
        every: Floats = (1 - 2 * bits).astype(np.float64)
        return every
    drawn = np.random.default_rng(count).integers(0, 2, size=(FLIPS, count))
    drawn[0] = 1
    some: Floats = (2 * drawn - 1).astype(np.float64)
    return some


def _moments(signs: Floats, weekly: Floats, share: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums, and the squared standard errors of the sums, per pattern of signs and difference."""
    totals = signs @ weekly
    squares = (weekly**2).sum(axis=0)
    crossed = signs @ (weekly * share)
    used = (share > 0).sum(axis=0)
    error = squares - 2 * totals * crossed + totals**2 * (share**2).sum(axis=0)
    # Weeks that differ alike have an error of 0 but for rounding; a floor keeps their statistic a finite number.
    error = np.where(error > 1e-10 * squares, error, 1e-14 * squares)
    error = error * used / np.maximum(used - 1, 1)
    return totals, squares, error


def _studentised(signs: Floats, weekly: Floats, share: Floats) -> Floats:
    totals, squares, error = _moments(signs, weekly, share)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.abs(totals) / np.sqrt(error)
    same = np.abs(totals) <= 1e-9 * np.sqrt(squares)  # no difference in any week is no evidence
    return np.where(same, 0.0, found)
