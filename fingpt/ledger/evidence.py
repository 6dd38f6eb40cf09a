"""Evidence that may be looked at every week: a mixture of betting martingales over weekly gains. Pure.

A p-value of a fixed number of weeks is wrong once somebody looks each week and stops when it pleases. An e-process is a
capital that starts at 1 and, if the gain is 0 or less on average in every week given all weeks before (the null
hypothesis), does not grow on average, whatever is bet. So by Ville's inequality (1939) the chance that it ever reaches
1/α is at most α, however often one looks and whenever one stops.

Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 2024), bet a share λ of the
capital on each gain; here the capital is spread evenly over a grid of fixed λ (they call such bets diversified), so
that nothing has to be tuned. Choe & Ramdas, "Comparing sequential forecasters" (Operations Research 2024), compare
forecasts so: the gain is a difference of scores. Gains have to be bounded by something that was known before the
outcome; that bound is taken from the two forecasts themselves, which makes the test far sharper than the bound of the
score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingpt.metrics import Floats
from fingpt.record import Frozen

BETS: Floats = np.arange(1, 20) / 20
"""Shares of the capital that are bet, .05 to .95; 1 would lose all of it in one week without a right direction."""
REACHED = 20.0
"""Evidence at the usual 5 %: if nothing were there, a capital would reach this at most once in 20 ledgers."""


class WeekGain(Frozen):
    """One week of one comparison: the mean gain of its `n` rows, and the most that it could have been either way.

    Both are known by row before the mean is taken; `bound` before the outcome, from the two forecasts alone.
    """

    week: str
    gain: float
    bound: float
    n: int


class Evidence(Frozen):
    """The capital after each week; `value` is that of the last, `best` the highest so far, `reached` its week.

    `weeks`: in how many of them the forecasts differed, so that something could be bet.
    """

    value: float
    best: float
    reached: str
    weeks: int
    path: tuple[tuple[str, float], ...]


def weekly_gains(week: Sequence[str], gain: Floats, bound: Floats) -> list[WeekGain]:
    """Gains by week in order, from one gain and one bound per row; |gain| ≤ bound holds in every row."""
    names, code = np.unique(np.asarray(week, dtype=str), return_inverse=True)
    count = np.bincount(code, minlength=len(names))
    gains = np.bincount(code, weights=gain, minlength=len(names))
    bounds = np.bincount(code, weights=bound, minlength=len(names))
    return [
        WeekGain(week=str(name), gain=float(g / n), bound=float(b / n), n=int(n))
        for name, g, b, n in zip(names, gains, bounds, count, strict=True)
    ]


def evidence(gains: Sequence[WeekGain]) -> Evidence:
    """The e-process of weekly gains, in order: Σ_λ Π_w (1 + λ gain_w / bound_w) / number of λ.

    A week in which the two forecasts do not differ bets nothing. The caller leaves out weeks whose windows overlap.
    """
    capital = np.ones(len(BETS))
    path: list[tuple[str, float]] = []
    weeks = 0
    for week in gains:
        if week.bound > 0:
            capital = capital * (1 + BETS * min(max(week.gain / week.bound, -1.0), 1.0))
            weeks += 1
        path.append((week.week, float(capital.mean())))
    best = max(path, key=lambda point: point[1], default=("", 1.0))
    return Evidence(
        value=path[-1][1] if path else 1.0,
        best=max(best[1], 1.0),
        reached=best[0] if best[1] > 1 else "",
        weeks=weeks,
        path=tuple(path),
    )


def direction_gains(right: Floats, other_right: Floats, differ: Floats) -> tuple[Floats, Floats]:
    """Gain and bound per row in right directions: only where two forecasts differ can one of them be ahead."""
    return right - other_right, differ.astype(np.float64)


def brier_gains(p_up: Floats, other_up: Floats, rose: Floats) -> tuple[Floats, Floats]:
    """Gain and bound per row in Brier's score of a rise: (q−o)² − (p−o)² is at most |p−q| max(p+q, 2−p−q)."""
    gain = (other_up - rose) ** 2 - (p_up - rose) ** 2
    total = p_up + other_up
    return gain, np.abs(p_up - other_up) * np.maximum(total, 2 - total)
