"""The paired difference of a metric between two models, divided among weeks and training seeds. Pure.

A metric is a function of sums over rows; its difference is linearised at the sums (delta method), which gives each week
its part and is exact for means. `flips` decides what such a difference shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from fingpt.metrics import Floats, mean
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.flips import Difference
from fingpt.report.stats import LEVEL, Columns, Estimate, Statistic


@dataclass(frozen=True, eq=False)
class Parts:
    """A metric of one model: `value`, the mean of `values` (one per training seed), and each week's part of each.

    `weekly` has one row per seed; a row adds up to about 0, since it holds departures from the value.
    """

    values: Floats
    weekly: Floats

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(self.values.mean())


def parts(
    statistic: Statistic, members: Sequence[Columns], codes: NDArray[np.intp], weeks: int
) -> Parts | None:
    """The statistic of each seed's columns with its parts by week; None where it is undefined for any seed."""
    values, weekly = [], []
    for columns in members:
        sums = {name: column.sum() for name, column in columns.items()}  # of numpy: x / 0 is NaN
        with np.errstate(divide="ignore", invalid="ignore"):
            value, slopes = _slopes(statistic, sums)
        if not math.isfinite(value):
            return None
        by_week = [
            slopes[name] * np.bincount(codes, weights=column, minlength=weeks)
            for name, column in columns.items()
        ]
        values.append(value)
        weekly.append(np.sum(by_week, axis=0))
    return Parts(np.array(values), np.array(weekly))


def paired(
    first: Parts | None, second: Parts | None, codes: NDArray[np.intp], counted: Floats
) -> Difference | None:
    """`second` minus `first`; `counted` is 1 for rows that enter. None where either is undefined or no row enters."""
    n = float(counted.sum())
    if first is None or second is None or n == 0:
        return None
    value = second.value - first.value
    share = np.bincount(codes, weights=counted, minlength=first.weekly.shape[1]) / n
    weekly = second.weekly.mean(axis=0) - first.weekly.mean(axis=0) + value * share
    spread = freedom = shared = 0.0
    seeds = [_seeds(side) for side in (first, second)]
    if all(len(side.values) > 1 for side in (first, second)):
        spread = sum(one for one, _ in seeds)
        shared = sum(one for _, one in seeds)
        quarters = sum(
            one**2 / (len(side.values) - 1)
            for (one, _), side in zip(seeds, (first, second), strict=True)
        )
        freedom = spread**2 / quarters if quarters else 0.0
    return Difference(value, weekly, share, int(n), spread, freedom, shared)


def seeded(side: Parts, codes: NDArray[np.intp], counted: Floats, block: int) -> Estimate:
    """The mean over several seeds with its 95 % interval over seeds and weeks."""
    n, rows = (
        int(counted.sum()),
        np.bincount(codes, weights=counted, minlength=side.weekly.shape[1]),
    )
    weeks = int((rows > 0).sum())
    blocks = weeks // block
    if blocks < MIN_CLUSTERS:
        return Estimate(value=side.value, n=n, weeks=weeks)
    edges = np.arange(0, side.weekly.shape[1] - block + 1, block)
    summed = np.add.reduceat(side.weekly.mean(axis=0), edges)
    variance = float((summed**2).sum()) * blocks / (blocks - 1)
    spread, shared = _seeds(side)
    both = max(variance + spread - shared, variance, spread)
    freedom = (
        both**2 / (variance**2 / (blocks - 1) + spread**2 / (len(side.values) - 1)) if both else 1.0
    )
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(both)
    return Estimate(
        value=side.value, low=side.value - reach, high=side.value + reach, n=n, weeks=weeks
    )


def _seeds(side: Parts) -> tuple[float, float]:
    """Variance of the mean over seeds, and the part of it that weeks and seeds have in common."""
    count, weeks = side.weekly.shape
    if count == 1:
        return 0.0, 0.0
    rest = side.weekly - side.weekly.mean(axis=0)
    rest = rest - rest.mean(axis=1, keepdims=True)
    shared = float((rest**2).sum()) * weeks / ((count - 1) * max(weeks - 1, 1) * count)
    return float(side.values.var(ddof=1)) / count, shared


def _slopes(statistic: Statistic, sums: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """The statistic of the sums, and its slope in each of them."""
    value = float(statistic(**sums))
    if statistic is mean:
        count = sums["count"]
        return value, {
            "total": 1 / count if count else math.nan,
            "count": -value / count if count else math.nan,
        }
    slopes = {}
    for name, total in sums.items():
        step = 1e-5 * max(abs(total), 1.0)
        ends = [float(statistic(**{**sums, name: total + way * step})) for way in (-1, 1)]
        slopes[name] = (ends[1] - ends[0]) / (2 * step)
    return value, slopes
