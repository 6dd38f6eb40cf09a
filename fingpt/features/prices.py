"""Closes and dividends of one symbol as somebody saw them at one close: split-adjusted as of that moment. Pure.

A split divides the prices before it, from its ex-date on and never earlier, so a price that is stated for a past week
is the one of that day in today's shares. Dividends change no price here.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta

from fingpt.sources.records import Kind, Record
from fingpt.sources.snapshot import Snapshot

MOMENT = timedelta(microseconds=1)
_NUMBER = (int, float)


@dataclass(frozen=True, slots=True)
class Prices:
    """Closes in order of time, in the shares of `at`; `dividends` as (opening of the ex-date, amount per share)."""

    at: datetime
    moments: tuple[datetime, ...]
    closes: tuple[float, ...]
    dividends: tuple[tuple[datetime, float], ...]
    records: tuple[Record, ...]
    """All that these numbers were read from."""

    def close_at(self, moment: datetime) -> float | None:
        """The close of the session that closed at `moment`; None when the symbol did not trade in it."""
        place = bisect_right(self.moments, moment) - 1
        return self.closes[place] if place >= 0 and self.moments[place] == moment else None

    def last_at(self, moment: datetime) -> tuple[datetime, float] | None:
        """The newest close that `moment` knows, with its time; None before the first."""
        place = bisect_right(self.moments, moment) - 1
        return (self.moments[place], self.closes[place]) if place >= 0 else None

    def paid(self, after: datetime, until: datetime) -> float:
        """Dividends per share with an ex-date in (`after`, `until`]."""
        return sum(amount for moment, amount in self.dividends if after < moment <= until)


def prices(
    snapshot: Snapshot, symbol: str, at: datetime, since: datetime, known: datetime | None = None
) -> Prices:
    """The closes of (`since`, `at`] in the shares of `at`, as they were known at `known`, by default at `at` itself.

    The close of `at` is what an as-of moment is, so it belongs to what is known then: records count that were available
    at `known` or before. Of several records of one session the last that was available counts.
    """
    before = (known or at) + MOMENT
    closes: dict[datetime, float] = {}
    records = []
    for record in snapshot.records(Kind.PRICE, symbol, before=before, since=since):
        close = record.payload.get("close")
        if isinstance(close, _NUMBER) and close > 0 and record.event_time <= at:
            closes[record.event_time] = float(close)
            records.append(record)
    actions = [
        record
        for record in snapshot.records(Kind.ACTION, symbol, before=before, since=since)
        if record.event_time <= at
    ]
    splits = _amounts(actions, "split", "ratio")
    return Prices(
        at=at,
        moments=tuple(closes),
        closes=tuple(_after(moment, close, splits) for moment, close in closes.items())
        if splits
        else tuple(closes.values()),
        dividends=tuple(
            (moment, _after(moment, amount, splits))
            for moment, amount in _amounts(actions, "dividend", "amount")
        ),
        records=(*records, *actions),
    )


def _amounts(actions: list[Record], kind: str, name: str) -> list[tuple[datetime, float]]:
    """Splits or dividends by their moment; what is stated twice, by two sources, counts once."""
    seen: dict[tuple[datetime, float], None] = {}
    for record in actions:
        value = record.payload.get(name)
        if record.payload.get("type") == kind and isinstance(value, int | float) and value > 0:
            seen[record.event_time, float(value)] = None
    return list(seen)


def _after(moment: datetime, value: float, splits: list[tuple[datetime, float]]) -> float:
    """An amount per share of `moment` in the shares after all `splits`; an ex-date's own dividend is in new ones."""
    for ex, ratio in splits:
        if moment < ex:
            value /= ratio
    return value
