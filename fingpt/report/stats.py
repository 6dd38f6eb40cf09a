"""Intervals of one model's figures, and the textbook tests that stand beside the report's own.

Rows of one week share the market, so resampling rows would make every interval too short; whole weeks are drawn
instead. Pure: arrays and a seed in, numbers out. Differences of two models are `paired`'s and `flips`'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr, stdtrit
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from fingpt.metrics import Floats
from fingpt.record import Frozen
from fingpt.report.clusters import MIN_CLUSTERS

Columns = Mapping[str, Floats]
"""What each row contributes to a metric, by name: one entry per row."""
Statistic = Callable[..., Any]
"""From the columns' sums, passed by name, to the figure; sums are numbers, or arrays with one entry per draw."""

DRAWS = 2000
LEVEL = 0.95


class Estimate(Frozen):
    """A value with its interval over `n` rows in `weeks` weeks; None where it cannot be computed.

    The interval is a 95 % one, but for differences of two models, whose level the comparison states.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    weeks: int


class WeekBootstrap:
    """One set of resampled weeks, shared by all statistics over the same rows.

    A statistic is any function of per-week sums, such as `fingpt.metrics.mean`: weeks are summed once, and each draw
    weighs their sums. `weeks`: the week of each row, in an order of time; `block`: how many neighbours are drawn
    together (the circular block bootstrap of Politis & Romano 1992, after Künsch 1989).

    The interval is the expanded percentile interval (Hesterberg 2015, "What teachers should know about the bootstrap",
    section 4.3): percentiles widened by Student's t and by n/(n-1) for the number of blocks, because the plain
    percentile interval covers only about 90 % with ten weeks.
    """

    def __init__(
        self, weeks: Sequence[str] | NDArray[Any], seed: int = 0, draws: int = DRAWS, block: int = 1
    ) -> None:
        names, self._code = np.unique(np.asarray(weeks), return_inverse=True)
        self.weeks = len(names)
        self.n = len(weeks)
        self._counts = _drawn_weeks(self.weeks, min(block, max(self.weeks, 1)), seed, draws)
        blocks = self.weeks // block
        if blocks >= MIN_CLUSTERS:
            reach = math.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, (1 + LEVEL) / 2)
            self._tail: float | None = float(ndtr(-reach))
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

    def difference(self, statistic: Statistic, first: Columns, second: Columns) -> Estimate:
        """The statistic of `second` minus that of `first`, two readings of one model, over the same drawn weeks."""
        one, ones = self._drawn(statistic, first)
        two, twos = self._drawn(statistic, second)
        value = None if one is None or two is None else two - one
        return self._interval(value, twos - ones)

    def estimate(self, statistic: Statistic, columns: Columns) -> Estimate:
        """The statistic of the columns' sums, with its interval."""
        return self._interval(*self._drawn(statistic, columns))


@lru_cache(maxsize=32)
def _drawn_weeks(weeks: int, block: int, seed: int, draws: int) -> Floats:
    """How often each draw holds each week: (draws, weeks)."""
    rng = np.random.default_rng(seed)
    if block <= 1:
        share = np.full(weeks, 1 / weeks) if weeks else np.ones(1)
        alone: Floats = rng.multinomial(weeks, share, size=draws)[:, :weeks].astype(np.float64)
        return alone
    starts = rng.multinomial(-(-weeks // block), np.full(weeks, 1 / weeks), size=draws)
    shifted = [np.roll(starts, shift, axis=1) for shift in range(block)]
    together: Floats = np.sum(shifted, axis=0).astype(np.float64)
    return together


def per_row(values: Floats, counted: Floats | None = None) -> Columns:
    """The columns of a mean over rows; `counted`: 1 for rows that enter, all of them when absent."""
    if counted is None:
        return {"total": values, "count": np.ones(len(values))}
    return {"total": np.where(counted > 0, values, 0.0), "count": counted}


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


def diebold_mariano_p(weekly: Floats, overlap: int = 0) -> float | None:
    """Two-sided p of Diebold & Mariano's test of equal losses, corrected by Harvey, Leybourne & Newbold (1997).

    `weekly`: the difference in mean loss, one entry per week; `overlap`: how many weeks a forecast reaches beyond its
    own. None where the variance cannot be estimated.
    """
    n, horizon = len(weekly), overlap + 1
    if n <= horizon + 1:
        return None
    gaps = weekly - weekly.mean()
    lags = [float(gaps[lag:] @ gaps[: n - lag]) / n for lag in range(horizon)]
    variance = (lags[0] + 2 * sum(lags[1:])) / n
    if variance <= 1e-12 * float(weekly @ weekly):
        return None
    corrected = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = float(weekly.mean()) / math.sqrt(variance) * math.sqrt(corrected)
    return float(2 * stdtr(n - 1, -abs(statistic)))
