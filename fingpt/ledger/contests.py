"""Who is ahead of whom: each model against the trivial forecasts, the champion against its challengers. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime

from fingpt.ledger.document import Contest
from fingpt.ledger.evidence import (
    Evidence,
    WeekGain,
    brier_gains,
    direction_gains,
    evidence,
    weekly_gains,
)
from fingpt.ledger.figures import Arrays
from fingpt.metrics import Floats, mean
from fingpt.report.clusters import Weeks
from fingpt.report.stats import Estimate, WeekBootstrap, per_row

Windows = Mapping[str, tuple[datetime, datetime]]
"""Week → the close that is known and the latest one that is forecast."""

DIRECTION, PROBABILITY = "direction", "probability"


def contest(
    titles: tuple[str, str], own: Arrays, rival: Arrays, measure: str, windows: Windows
) -> Contest | None:
    """The first of `titles` against the second, over the same rows in the same order; None without any."""
    if measure == PROBABILITY:
        both = own.has_probabilities & rival.has_probabilities
        own, rival = own.only(both), rival.only(both)
    if not own.n:
        return None
    if measure == PROBABILITY:
        gain, bound = brier_gains(own.up(), rival.up(), own.rose())
    else:
        gain, bound = direction_gains(own.right, rival.right, own.direction != rival.direction)
    return Contest(
        model=titles[0],
        rival=titles[1],
        measure=measure,
        n=own.n,
        gain=_estimate(own.week, gain, reach(windows)),
        evidence=evidence(apart(weekly_gains(own.week, gain, bound), windows)),
    )


def on_same_rows(one: Arrays, two: Arrays) -> tuple[Arrays, Arrays]:
    """The rows that both forecast, in one order."""
    first = {key: i for i, key in enumerate(zip(one.week, one.symbol, strict=True))}
    second = {key: i for i, key in enumerate(zip(two.week, two.symbol, strict=True))}
    shared = sorted(first.keys() & second.keys())
    return one.at([first[key] for key in shared]), two.at([second[key] for key in shared])


def apart(gains: Sequence[WeekGain], windows: Windows) -> list[WeekGain]:
    """The first week, and each next one that starts when the window before it is over: bets need disjoint windows."""
    kept: list[WeekGain] = []
    for week in gains:
        if not kept or windows[week.week][0] >= windows[kept[-1].week][1]:
            kept.append(week)
    return kept


def against_all(contests: Sequence[Contest]) -> Evidence | None:
    """Evidence that a model is ahead of every one of its rivals: in each week the least of theirs.

    The least of several e-processes is one for the claim that at least one rival is not beaten. None without rivals.
    """
    if not contests:
        return None
    paths: list[Mapping[str, float]] = [dict(one.evidence.path) for one in contests]
    weeks = sorted(set(paths[0]).intersection(*paths[1:]))
    path = tuple((week, min(each[week] for each in paths)) for week in weeks)
    best = max(path, key=lambda point: point[1], default=("", 1.0))
    return Evidence(
        value=path[-1][1] if path else 1.0,
        best=max(best[1], 1.0),
        reached=best[0] if best[1] > 1 else "",
        weeks=min(one.evidence.weeks for one in contests),
        path=path,
    )


def reach(windows: Windows) -> int:
    """How many days apart two weeks have to start to be drawn by themselves: 1 where no windows overlap.

    Else the length of the longest, so that weeks which share days are drawn together. (Windows of seven days do not
    overlap when a holiday moves one of the closes, though the closes are then six days apart.)
    """
    ordered = sorted(windows.values())
    if all(one[1] <= two[0] for one, two in itertools.pairwise(ordered)):
        return 1
    return max((end - start).days for start, end in ordered)


def _estimate(week: Sequence[str], gain: Floats, days: int) -> Estimate:
    weeks = Weeks.of(week, days)
    return WeekBootstrap(weeks.codes(week), block=weeks.block).estimate(mean, per_row(gain))
