"""What rows score: accuracy, Brier of direction and of the twelve labels, RPS, rank correlation, with intervals. Pure.

Weeks are drawn as wholes, since stocks of one week move together; under eight weeks there is no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fingpt.ledger.book import Row
from fingpt.ledger.trivial import HALF, Trivial
from fingpt.metrics import (
    Floats,
    brier,
    calibration_error,
    correct,
    equal_mass_bins,
    mean,
    rps,
    weekly_ic,
)
from fingpt.prompts.examples import LABELS
from fingpt.record import Frozen
from fingpt.report.clusters import Weeks
from fingpt.report.probabilities import BINS, MARGINS
from fingpt.report.reliability import ReliabilityBin
from fingpt.report.stats import Estimate, WeekBootstrap, per_row


@dataclass(frozen=True, eq=False)
class Arrays:
    """Rows that count, as arrays in one order. `outcome`: number of the label that came true, from 0.

    `move`: realised excess return in percent where all have one, else the total return. `probabilities`: (n, 12), NaN
    in rows that have none.
    """

    week: tuple[str, ...]
    symbol: tuple[str, ...]
    direction: Floats
    truth: Floats
    outcome: Floats
    move: Floats
    probabilities: Floats

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.week)

    @property
    def right(self) -> Floats:
        """1 where the direction is the realised one; an answer that could not be read is never right."""
        return correct(np.where(self.direction == 0, np.nan, self.direction), self.truth)

    @property
    def has_probabilities(self) -> NDArray[np.bool_]:
        """Rows with probabilities."""
        return np.asarray(np.isfinite(self.probabilities).all(axis=1), dtype=np.bool_)

    def up(self) -> Floats:
        """Probability of a rise."""
        found: Floats = self.probabilities[:, HALF:].sum(axis=1)
        return found

    def rose(self) -> Floats:
        """1 where it rose."""
        return (self.truth > 0).astype(np.float64)

    def only(self, pick: NDArray[np.bool_]) -> Arrays:
        """The picked rows."""
        return self.at(np.flatnonzero(pick).tolist())

    def at(self, places: Sequence[int]) -> Arrays:
        """The rows at these places, in this order."""
        order = np.array(places, dtype=int)
        return Arrays(
            week=tuple(self.week[i] for i in places),
            symbol=tuple(self.symbol[i] for i in places),
            direction=self.direction[order],
            truth=self.truth[order],
            outcome=self.outcome[order],
            move=self.move[order],
            probabilities=self.probabilities[order],
        )


class Figures(Frozen):
    """The scores of one forecaster over its rows; None where it makes no such forecast.

    `read`: answers with a direction. `brier_up` 0 to 1, `brier` 0 to 2, `rps` 0 to 1, lower is better. `ic`: mean over
    weeks of Spearman's correlation between expected and realised excess move. `ece`: mean distance of stated from
    realised shares of rises, over ten bins.
    """

    n: int
    read: int
    weeks: int
    accuracy: Estimate
    brier_up: Estimate | None = None
    brier: Estimate | None = None
    rps: Estimate | None = None
    ic: Estimate | None = None
    ece: float | None = None


def arrays(rows: Sequence[Row]) -> Arrays:
    """The rows that count, as arrays."""
    blank = [float("nan")] * len(LABELS)
    labels = [str(row.outcome.label) for row in rows]
    excess = [row.outcome.excess_return for row in rows]
    total = [row.outcome.realised_return for row in rows]
    moves = total if any(value is None for value in excess) else excess
    outcome = np.array([LABELS.index(label) for label in labels], dtype=np.float64)
    return Arrays(
        week=tuple(row.week for row in rows),
        symbol=tuple(row.symbol for row in rows),
        direction=np.array([float(row.forecast.direction) for row in rows]),
        truth=np.where(outcome >= HALF, 1.0, -1.0),
        outcome=outcome,
        move=100 * np.array([value or 0.0 for value in moves]),
        probabilities=np.array([row.forecast.probabilities or blank for row in rows]).reshape(
            len(rows), len(LABELS)
        ),
    )


def as_forecast_by(own: Arrays, other: Trivial) -> Arrays:
    """The same rows with the forecasts of a trivial one."""
    blank = np.full((own.n, len(LABELS)), np.nan)
    return Arrays(
        week=own.week,
        symbol=own.symbol,
        direction=other.direction,
        truth=own.truth,
        outcome=own.outcome,
        move=own.move,
        probabilities=blank if other.probabilities is None else other.probabilities,
    )


def figures(own: Arrays, days: int = 1) -> Figures:
    """All scores of a forecaster; weeks that start fewer than `days` days apart are drawn together."""
    probable = own.only(own.has_probabilities)
    if not probable.n:
        return Figures(
            n=own.n,
            read=int((own.direction != 0).sum()),
            weeks=len(set(own.week)),
            accuracy=_mean(own, own.right, days),
        )
    return Figures(
        n=own.n,
        read=int((own.direction != 0).sum()),
        weeks=len(set(own.week)),
        accuracy=_mean(own, own.right, days),
        brier_up=_mean(probable, (probable.up() - probable.rose()) ** 2, days),
        brier=_mean(probable, brier(probable.probabilities, probable.outcome), days),
        rps=_mean(probable, rps(probable.probabilities, probable.outcome), days),
        ic=_ic(probable, days),
        ece=_ece(probable),
    )


def _bootstrap(starts: Sequence[str], days: int) -> WeekBootstrap:
    """Weeks as the report draws them: windows that overlap are pooled, and drawn in blocks."""
    weeks = Weeks.of(starts, days)
    return WeekBootstrap(weeks.codes(starts), block=weeks.block)


def _mean(own: Arrays, values: Floats, days: int) -> Estimate:
    return _bootstrap(own.week, days).estimate(mean, per_row(values))


def _ic(own: Arrays, days: int) -> Estimate | None:
    """The mean of the weekly rank correlations; None where no week has one, as where every stock gets the same."""
    expected = np.round(
        own.probabilities @ MARGINS, 9
    )  # equal forecasts are equal ranks, whatever the last bit says
    found = weekly_ic(expected, own.move, own.week)
    if not found:
        return None
    bootstrap = _bootstrap(list(found), days)
    return bootstrap.estimate(mean, per_row(np.array(list(found.values()))))


def _ece(own: Arrays) -> float:
    place = equal_mass_bins(own.up(), BINS)
    count = np.bincount(place).astype(np.float64)
    forecast = np.bincount(place, weights=own.up()).astype(np.float64)
    happened = np.bincount(place, weights=own.rose()).astype(np.float64)
    return float(calibration_error(count, forecast, happened))


def reliability_bins(own: Arrays, days: int = 1) -> tuple[ReliabilityBin, ...]:
    """Rows of like probability of a rise, in bins of equal mass, with the share that rose."""
    own = own.only(own.has_probabilities)
    if not own.n:
        return ()
    place = equal_mass_bins(own.up(), BINS)
    bootstrap = _bootstrap(own.week, days)
    found = []
    for number in range(int(place.max()) + 1):
        inside = (place == number).astype(np.float64)
        n = int(inside.sum())
        share = bootstrap.estimate(mean, {"total": own.rose() * inside, "count": inside})
        stated = float((own.up() * inside).sum() / n)
        found.append(
            ReliabilityBin(forecast=stated, happened=share.model_copy(update={"n": n}), n=n)
        )
    return tuple(found)
