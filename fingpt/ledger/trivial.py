"""Forecasts without a model that every run has to beat: permanent challengers, made from earlier weeks alone. Pure.

They say what anybody could have said at that close: always up, always down, the direction of the last week that was
over (persistence), and the shares of the twelve labels in all weeks that were over (base rate). They need no entry in
the ledger, since nothing about them can be chosen afterwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from fingpt.ledger.book import Row
from fingpt.metrics import Floats
from fingpt.prompts.examples import LABELS

HALF = len(LABELS) // 2
_EVEN = 0.5 - 1e-9  # even chances count as a rise, whatever the last bit of a sum says


@dataclass(frozen=True, eq=False)
class Trivial:
    """Forecasts for some rows: `direction` +1 or −1 each, `probabilities` (n, 12) or None where it has none."""

    key: str
    title: str
    direction: Floats
    probabilities: Floats | None = None


class Past:
    """What was known of outcomes at a close: those of windows that had ended by then."""

    def __init__(self, happened: Sequence[Row]) -> None:
        self._rows = sorted(happened, key=lambda row: (row.horizon_end, row.symbol))
        self._by_symbol: dict[str, list[Row]] = {}
        for row in self._rows:
            self._by_symbol.setdefault(row.symbol, []).append(row)
        self._shares: dict[datetime, Floats] = {}

    def shares(self, as_of: datetime) -> Floats:
        """Shares of the twelve labels, one added to each count, so that no label is impossible (Laplace)."""
        if as_of not in self._shares:
            counts = np.ones(len(LABELS))
            for row in self._rows:
                if row.horizon_end > as_of:
                    break
                counts[LABELS.index(str(row.outcome.label))] += 1
            self._shares[as_of] = counts / counts.sum()
        return self._shares[as_of]

    def last_direction(self, symbol: str, as_of: datetime) -> float:
        """The direction of the symbol's last week that was over; of the base rate where there is none."""
        own = self._by_symbol.get(symbol, [])
        known = bisect_right(own, as_of, key=lambda row: row.horizon_end)
        if known:
            return direction_of(str(own[known - 1].outcome.label))
        return 1.0 if self.shares(as_of)[HALF:].sum() >= _EVEN else -1.0


def direction_of(label: str) -> float:
    """+1 for a label that rises, −1 for one that falls."""
    return 1.0 if label.startswith("up") else -1.0


def trivial_forecasts(rows: Sequence[Row], past: Past) -> tuple[Trivial, ...]:
    """The four forecasts of the same rows."""
    n = len(rows)
    shares = np.array([past.shares(row.as_of) for row in rows]).reshape(n, len(LABELS))
    likelier = np.where(shares[:, HALF:].sum(axis=1) >= _EVEN, 1.0, -1.0)
    last = np.array([past.last_direction(row.symbol, row.as_of) for row in rows])
    return (
        Trivial("always-up", "always up", np.ones(n)),
        Trivial("always-down", "always down", -np.ones(n)),
        Trivial("persistence", "persistence (last week's direction)", last),
        Trivial("base-rate", "base rate (shares of past weeks)", likelier, shares),
    )
