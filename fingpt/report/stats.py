"""Intervals and paired tests over scored rows, with weeks as the unit that is resampled.

Rows of one week share the market, so resampling rows would make every interval too short; whole weeks are drawn
instead. Pure: arrays and a seed in, numbers out. It words no verdict (`verdict` does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from fingpt.record import Frozen

Floats = NDArray[np.float64]

DRAWS = 2000
LEVEL = 0.95
MIN_WEEKS = 6
"""With five weeks or fewer, weeks that all agree happen by chance in 1 of 16 cases or more: no 95 % interval."""


class Estimate(Frozen):
    """A value with its 95 % interval over `n` rows in `weeks` weeks; None where it cannot be computed."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    weeks: int


class WeekBootstrap:
    """One set of resampled weeks, shared by all statistics over the same rows, so that differences are paired.

    The interval is the expanded percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap",
    section 4.3): percentiles widened by Student's t and by n/(n-1) for the number of weeks, because the plain
    percentile interval covers only about 90 % with ten weeks.
    """

    def __init__(self, weeks: Sequence[str], seed: int = 0, draws: int = DRAWS) -> None:
        names, self._code = np.unique(np.asarray(weeks, dtype=str), return_inverse=True)
        self.weeks = len(names)
        self.n = len(weeks)
        rng = np.random.default_rng(seed)
        share = np.full(self.weeks, 1 / self.weeks) if self.weeks else np.ones(1)
        drawn = rng.multinomial(self.weeks, share, size=draws)
        self._counts = drawn[:, : self.weeks].astype(np.float64)
        if self.weeks >= MIN_WEEKS:
            reach = math.sqrt(self.weeks / (self.weeks - 1)) * t.ppf(
                (1 + LEVEL) / 2, self.weeks - 1
            )
            self._tail: float | None = float(norm.cdf(-reach))
        else:
            self._tail = None

    def _ratio(self, top: Floats, bottom: Floats | None) -> tuple[float | None, Floats]:
        below = np.ones(self.n) if bottom is None else bottom
        tops = np.bincount(self._code, weights=top, minlength=self.weeks)
        belows = np.bincount(self._code, weights=below, minlength=self.weeks)
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = (self._counts @ tops) / (self._counts @ belows)
        value = float(top.sum() / below.sum()) if self.n and below.sum() else None
        return value, drawn

    def _estimate(self, value: float | None, drawn: Floats) -> Estimate:
        finite = drawn[np.isfinite(drawn)]
        if value is None or self._tail is None or not len(finite):
            return Estimate(value=value, n=self.n, weeks=self.weeks)
        low, high = np.quantile(finite, [self._tail, 1 - self._tail])
        return Estimate(value=value, low=float(low), high=float(high), n=self.n, weeks=self.weeks)

    def mean(self, top: Floats, bottom: Floats | None = None) -> Estimate:
        """Sum of `top` over sum of `bottom` (the mean of `top` when `bottom` is None), one entry per row each."""
        return self._estimate(*self._ratio(top, bottom))

    def difference(
        self,
        first: Floats,
        second: Floats,
        first_bottom: Floats | None = None,
        second_bottom: Floats | None = None,
    ) -> Estimate:
        """`mean(second)` minus `mean(first)`, paired: both are taken over the same drawn weeks."""
        one, ones = self._ratio(first, first_bottom)
        two, twos = self._ratio(second, second_bottom)
        value = None if one is None or two is None else two - one
        return self._estimate(value, twos - ones)

    def design_effect(self, values: Floats) -> float:
        """Variance of the mean with weeks resampled over its variance were the rows independent; 1 where undefined."""
        naive = float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
        if naive == 0 or self.weeks < MIN_WEEKS:
            return 1.0
        _, drawn = self._ratio(values, None)
        return float(drawn.var(ddof=1) * self.weeks / (self.weeks - 1) / naive)


def mcnemar_p(first: Floats, second: Floats) -> float:
    """Exact two-sided p of McNemar's test over paired right (1) and wrong (0) answers; rows taken as independent."""
    only_first = int(((first == 1) & (second == 0)).sum())
    only_second = int(((first == 0) & (second == 1)).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(mcnemar([[0, only_first], [only_second, 0]], exact=True).pvalue)


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share, rows taken as independent; None without rows."""
    if n == 0:
        return None
    low, high = proportion_confint(successes, n, alpha=1 - LEVEL, method="wilson")
    return float(low), float(high)


def detectable_gap(
    n: int, discordance: float, design_effect: float = 1.0, power: float = 0.8
) -> float | None:
    """Smallest gap between two paired accuracies that n rows show with `power` at the 5 % level, as a share.

    McNemar's sample size (Connor 1987), solved for the gap: `discordance` is the share of rows that exactly one of the
    two gets right; `design_effect` ≥ 1 divides n. None when even full discordance in one direction would not show.
    """
    rows = n / max(design_effect, 1.0)
    alpha, beta = norm.ppf((1 + LEVEL) / 2), norm.ppf(power)

    def missing(gap: float) -> float:
        return float(
            alpha * math.sqrt(discordance)
            + beta * math.sqrt(max(discordance - gap * gap, 0.0))
            - gap * math.sqrt(rows)
        )

    if rows <= 0 or missing(discordance) > 0:
        return None
    low, high = 0.0, discordance
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if missing(middle) > 0 else (low, middle)
    return high
