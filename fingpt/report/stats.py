"""Intervals and paired tests over scored rows, with weeks as the unit that is resampled.

Rows of one week share the market, so resampling rows would make every interval too short; whole weeks are drawn
instead. Pure: arrays and a seed in, numbers out. Verdicts are `verdict`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, t
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from fingpt.metrics import Floats, mean
from fingpt.record import Frozen

Columns = Mapping[str, Floats]
"""What each row contributes to a metric, by name: one entry per row."""
Statistic = Callable[..., Any]
"""From the columns' sums, passed by name, to the figure; sums are numbers, or arrays with one entry per draw."""

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

    A statistic is any function of per-week sums, such as `fingpt.metrics.mean`: weeks are summed once, and each draw
    weighs their sums.

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

    def _drawn(self, statistic: Statistic, columns: Columns) -> tuple[float | None, Floats]:
        """The statistic of all rows (None where undefined), and of each draw of weeks."""
        sums = {name: column.sum() for name, column in columns.items()}
        weekly = {
            name: np.bincount(self._code, weights=column, minlength=self.weeks)
            for name, column in columns.items()
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(statistic(**sums)) if self.n else math.nan
            drawn = statistic(**{name: self._counts @ column for name, column in weekly.items()})
        return (value if math.isfinite(value) else None), drawn

    def _interval(self, value: float | None, drawn: Floats) -> Estimate:
        finite = drawn[np.isfinite(drawn)]
        if value is None or self._tail is None or not len(finite):
            return Estimate(value=value, n=self.n, weeks=self.weeks)
        low, high = np.quantile(finite, [self._tail, 1 - self._tail])
        return Estimate(value=value, low=float(low), high=float(high), n=self.n, weeks=self.weeks)

    def estimate(self, statistic: Statistic, columns: Columns) -> Estimate:
        """The statistic of the columns' sums, with its interval."""
        return self._interval(*self._drawn(statistic, columns))

    def difference(self, statistic: Statistic, first: Columns, second: Columns) -> Estimate:
        """The statistic of `second` minus that of `first`, paired: both are taken over the same drawn weeks."""
        one, ones = self._drawn(statistic, first)
        two, twos = self._drawn(statistic, second)
        value = None if one is None or two is None else two - one
        return self._interval(value, twos - ones)

    def design_effect(self, values: Floats) -> float:
        """Variance of the mean with weeks resampled over its variance were the rows independent; 1 where undefined."""
        naive = float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
        if naive == 0 or self.weeks < MIN_WEEKS:
            return 1.0
        _, drawn = self._drawn(mean, per_row(values))
        return float(drawn.var(ddof=1) * self.weeks / (self.weeks - 1) / naive)


def per_row(values: Floats) -> Columns:
    """The columns of a mean over rows."""
    return {"total": values, "count": np.ones(len(values))}


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
    return float(brentq(missing, 0.0, discordance, xtol=1e-15))
