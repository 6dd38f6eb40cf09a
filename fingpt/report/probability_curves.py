"""What the probability charts are drawn from: reliability, risk by coverage, rank correlation by week. Pure."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from fingpt.metrics import equal_mass_bins, newey_west_t, risk_coverage, weekly_ic
from fingpt.record import Frozen
from fingpt.report.probabilities import (
    BINS,
    confidence,
    direction_right,
    expected_move,
    probability_up,
)
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import wilson

_CURVE_POINTS = 60


class ReliabilityPoint(Frozen):
    """Rows of similar probability of a rise: its mean, and the share that rose with Wilson's 95 % interval.

    Rows are taken as independent, which those of one week are not: read the bars as the least uncertainty.
    """

    model: str
    rows: int
    forecast: float
    happened: float
    low: float
    high: float


class CoveragePoint(Frozen):
    """When only the surest `coverage` of the rows count, `risk` of them are wrong about the direction; shares."""

    model: str
    coverage: float
    risk: float


class WeekCorrelation(Frozen):
    """Spearman's rank correlation of expected and realised moves within one week (its first day, ISO)."""

    model: str
    week: str
    value: float


class ProbabilityCurves(Frozen):
    """All curves; `ic_t`: model → Student's t of its mean weekly correlation (Newey and West), where there is one."""

    reliability: tuple[ReliabilityPoint, ...] = ()
    coverage: tuple[CoveragePoint, ...] = ()
    weeks: tuple[WeekCorrelation, ...] = ()
    ic_t: dict[str, float] = Field(default_factory=dict)


def probability_curves(named: dict[str, ScoreArrays]) -> ProbabilityCurves:
    """The curves of all models (title → scores) whose label probabilities were measured."""
    measured = {
        title: scores
        for title, scores in named.items()
        if scores.label_logp is not None and scores.n
    }
    weeks = {
        title: weekly_ic(expected_move(scores), scores.truth, scores.week)
        for title, scores in measured.items()
    }
    t_values = {title: newey_west_t(list(found.values())) for title, found in weeks.items()}
    return ProbabilityCurves(
        reliability=tuple(p for title, s in measured.items() for p in _reliability(title, s)),
        coverage=tuple(p for title, s in measured.items() for p in _coverage(title, s)),
        weeks=tuple(
            WeekCorrelation(model=title, week=week, value=value)
            for title, found in weeks.items()
            for week, value in found.items()
        ),
        ic_t={title: value for title, value in t_values.items() if value is not None},
    )


def _reliability(title: str, scores: ScoreArrays) -> list[ReliabilityPoint]:
    up, rose = probability_up(scores), scores.truth > 0
    place = equal_mass_bins(up, BINS)
    points = []
    for number in range(int(place.max()) + 1):
        inside = place == number
        rows, risen = int(inside.sum()), int(rose[inside].sum())
        low, high = wilson(risen, rows) or (0.0, 1.0)
        points.append(
            ReliabilityPoint(
                model=title,
                rows=rows,
                forecast=float(up[inside].mean()),
                happened=risen / rows,
                low=low,
                high=high,
            )
        )
    return points


def _coverage(title: str, scores: ScoreArrays) -> list[CoveragePoint]:
    """The curve at evenly spaced coverages: its first points, of a row or two, are noise to a reader."""
    coverage, risk = risk_coverage(confidence(scores), direction_right(scores))
    picked = np.unique(np.searchsorted(coverage, np.linspace(0.05, 1.0, _CURVE_POINTS)))
    return [
        CoveragePoint(model=title, coverage=float(coverage[i]), risk=float(risk[i]))
        for i in picked
        if i < len(coverage)
    ]
