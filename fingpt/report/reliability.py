"""The numbers behind the charts of label probabilities, one side at a time: reliability, risk–coverage, IC by week.

Pure; drawing is the charts' own.
"""

from __future__ import annotations

import numpy as np

from fingpt.metrics import Floats, equal_mass_bins, mean, newey_west_t, risk_coverage, weekly_ic
from fingpt.record import Frozen
from fingpt.report.probabilities import (
    BINS,
    confidence,
    direction_right,
    expected_move,
    probability_up,
)
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Estimate, WeekBootstrap


class ReliabilityBin(Frozen):
    """The `n` rows of like probability of a rise: its mean, and the share that rose with its interval over weeks."""

    forecast: float
    happened: Estimate
    n: int


class CoveragePoint(Frozen):
    """Of the surest rows, a share `coverage` of all, a share `risk` has the wrong direction."""

    coverage: float
    risk: float


class WeekCorrelation(Frozen):
    """Spearman's correlation of expected and true move over the `n` rows of a week."""

    week: str
    ic: float
    n: int


class Reliability(Frozen):
    """All these numbers of one side; `ic_t` allows for weeks that correlate (Newey–West), None under eight weeks."""

    bins: tuple[ReliabilityBin, ...]
    coverage: tuple[CoveragePoint, ...]
    weeks: tuple[WeekCorrelation, ...]
    ic_mean: float | None
    ic_t: float | None


def reliability(scores: ScoreArrays, seed: int = 0) -> Reliability:
    """The numbers of one variant, which must have label probabilities."""
    coverage, risk = risk_coverage(confidence(scores), direction_right(scores))
    found = weekly_ic(expected_move(scores), scores.truth, scores.week)
    series = list(found.values())
    return Reliability(
        bins=_bins(scores, seed),
        coverage=tuple(
            CoveragePoint(coverage=float(c), risk=float(r))
            for c, r in zip(coverage, risk, strict=True)
        ),
        weeks=tuple(
            WeekCorrelation(week=week, ic=ic, n=scores.week.count(week))
            for week, ic in found.items()
        ),
        ic_mean=float(np.mean(series)) if series else None,
        ic_t=newey_west_t(series),
    )


def _bins(scores: ScoreArrays, seed: int) -> tuple[ReliabilityBin, ...]:
    """Bins of equal mass, the lowest forecast first."""
    forecast, up = probability_up(scores), (scores.truth > 0).astype(np.float64)
    place = equal_mass_bins(forecast, BINS)
    bootstrap = WeekBootstrap(scores.week, seed)
    found = []
    for number in range(int(place.max(initial=-1)) + 1):
        inside: Floats = (place == number).astype(np.float64)
        n = int(inside.sum())
        share = bootstrap.estimate(mean, {"total": up * inside, "count": inside})
        found.append(
            ReliabilityBin(
                forecast=float((forecast * inside).sum() / n),
                happened=share.model_copy(update={"n": n}),
                n=n,
            )
        )
    return tuple(found)
