"""When a ledger can say something: how many weeks a lead of a given size takes to be found with 80 % probability. Pure.

The same power as the report's: a difference in accuracy, weeks as clusters, the primary question's level. It is that of
one look at the end; evidence that may be looked at every week takes longer.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from fingpt.ledger.figures import Arrays
from fingpt.record import Frozen
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.power import DISCORDANCE, LEAN, POWER, design_effect, market_spread, power_at

LEADS = (0.10, 0.05, 0.03, 0.02)
MARKET_SPREAD = 0.03
"""Assumed until eight weeks are scored: the share of rising stocks varies between weeks by 17 points (SD)."""
_MOST_WEEKS = 52 * 40


class Lead(Frozen):
    """A true lead in accuracy (a share), the weeks it takes, and the day that ends them; None: above 40 years."""

    lead: float
    weeks: int | None
    day: str | None


class Outlook(Frozen):
    """What the figures rest on, and the leads. `measured`: discordance and market come from this ledger's own weeks."""

    rows_per_week: float
    discordance: float
    design_effect: float
    measured: bool
    leads: tuple[Lead, ...]


def outlook(
    first_week: str, rows_per_week: float, own: Arrays | None, other: Arrays | None
) -> Outlook:
    """The outlook of a comparison of two forecasters of the same rows; None for both before anything is scored."""
    measured = own is not None and other is not None and len(set(own.week)) >= MIN_CLUSTERS
    discordance, spread, lean = DISCORDANCE, MARKET_SPREAD, LEAN
    if measured and own is not None and other is not None:
        codes = [date.fromisoformat(week).toordinal() for week in own.week]
        discordance = max(float((own.right != other.right).mean()), 0.05)
        spread = market_spread(own.truth, codes)
        lean = abs(float((own.direction > 0).mean()) - float((other.direction > 0).mean()))
    effect = design_effect(spread, rows_per_week, lean, discordance)
    leads = []
    for lead in LEADS:
        weeks = weeks_needed(lead, rows_per_week, discordance, effect)
        day = date.fromisoformat(first_week) + timedelta(weeks=weeks) if weeks else None
        leads.append(Lead(lead=lead, weeks=weeks, day=day.isoformat() if day else None))
    return Outlook(
        rows_per_week=rows_per_week,
        discordance=discordance,
        design_effect=effect,
        measured=measured,
        leads=tuple(leads),
    )


def weeks_needed(
    lead: float, rows_per_week: float, discordance: float, effect: float
) -> int | None:
    """The fewest weeks after which a true lead is found with 80 % probability; None when more than 40 years."""

    def found(weeks: int) -> bool:
        n = round(weeks * rows_per_week)
        return lead < discordance and power_at(lead, n, weeks, discordance, effect) >= POWER

    if not found(_MOST_WEEKS):
        return None
    low, high = MIN_CLUSTERS - 1, _MOST_WEEKS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def median_week_size(weeks: list[str]) -> float:
    """The usual number of rows in a week; 0 without rows."""
    return float(np.median(list(np.unique(weeks, return_counts=True)[1]))) if weeks else 0.0
