"""What could be known at a close, by this project's own sources and features: the `View` and `Exchange` of requests.

The question is put by `fingpt.features`, which also wrote the training rows, so that a model is asked as it was taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from fingpt.features.config import FeatureConfig
from fingpt.features.facts import facts
from fingpt.features.question import question
from fingpt.forecast.record import Question
from fingpt.sources import calendar
from fingpt.sources.records import Kind
from fingpt.sources.snapshot import Snapshot


@dataclass(frozen=True)
class Sessions:
    """The exchange of a configuration, and how far ahead it forecasts."""

    config: FeatureConfig

    def close_on_or_before(self, day: date) -> datetime:
        """The close of the last session on or before `day`."""
        return calendar.as_of(day, self.config.calendar)

    def horizon_end(self, as_of: datetime) -> datetime:
        """The close of the last session within the configuration's horizon."""
        return calendar.horizon_end(as_of, self.config.horizon_days, self.config.calendar)

    def due(self, as_of: datetime) -> datetime:
        """The opening of the first session after `as_of`."""
        session = calendar.session_of(as_of, self.config.calendar)
        return calendar.next_open(session, self.config.calendar)

    def sessions_between(self, start: datetime, end: datetime) -> int:
        """How many sessions closed in (start, end]."""
        days = calendar.sessions(start.date(), end.date(), self.config.calendar)
        return sum(start < calendar.close_of(day, self.config.calendar) <= end for day in days)


@dataclass(frozen=True)
class Known:
    """A snapshot, told as a configuration of features wants it."""

    snapshot: Snapshot
    config: FeatureConfig

    def symbols(self) -> tuple[str, ...]:
        """Every symbol that the snapshot has prices of."""
        return self.snapshot.symbols()

    def price_span(self, symbol: str, as_of: datetime) -> tuple[datetime, datetime] | None:
        """Closes of the oldest and the newest session whose price could be known."""
        prices = self.snapshot.records(Kind.PRICE, symbol, before=as_of)
        return (prices[0].event_time, prices[-1].event_time) if prices else None

    def question(self, symbol: str, as_of: datetime) -> Question:
        """The question and the facts behind it."""
        known = facts(self.snapshot, symbol, as_of, self.config)
        return Question(
            symbol=symbol,
            text=question(known),
            facts=known.model_dump(mode="json"),
            sources=tuple(known.sources),
            available_at_max=known.available_at_max,
            degraded=dict(known.degraded),
        )
