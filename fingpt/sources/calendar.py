"""Sessions of an exchange: when they close, which days have none. Rules and exceptions are exchange-calendars' own.

Holidays, half days and daylight saving are in the moments themselves: a close is a moment in UTC, never "16:00". The
calendar is the exchange's rule book as the installed library knows it, from 1980 to 2050 where the library goes so far.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from fingpt.errors import ConfigError, DataError, nearest

DEFAULT = "XNYS"
"""New York: the market identifier code of ISO 10383, as for all others."""

_FIRST, _LAST = date(1980, 1, 1), date(2050, 12, 31)


@dataclass(frozen=True, slots=True)
class Exchange:
    """All sessions of one exchange in order, with their openings and closes in UTC."""

    name: str
    zone: tzinfo
    days: Sequence[date]
    opens: Sequence[datetime]
    closes: Sequence[datetime]

    def place(self, session: date) -> int:
        """The position of a session; DataError when the exchange is closed on that day, naming its neighbours."""
        at = bisect_left(self.days, session)
        if at < len(self.days) and self.days[at] == session:
            return at
        near = [day.isoformat() for day in self.days[max(0, at - 1) : at + 1]]
        raise DataError(
            f"{session} ({session:%A}) is no session of {self.name}; the nearest are {' and '.join(near)}."
        )

    def is_session(self, day: date) -> bool:
        """Whether the exchange trades on `day`."""
        at = bisect_left(self.days, day)
        return at < len(self.days) and self.days[at] == day

    def last_on(self, day: date) -> int:
        """The position of the last session on or before `day`; DataError outside of what the calendar knows."""
        if not self.days[0] <= day <= self.days[-1]:
            raise DataError(
                f"{day} is outside of the calendar {self.name}, which knows {self.days[0]} to {self.days[-1]}."
            )
        return bisect_right(self.days, day) - 1

    def closing(self, moment: datetime) -> int:
        """The position of the session that closes at `moment`; DataError when none does."""
        at = bisect_left(self.closes, moment)
        if at < len(self.closes) and self.closes[at] == moment:
            return at
        raise DataError(f"{moment} is the close of no session of {self.name}.")


@cache
def exchange(calendar: str = DEFAULT) -> Exchange:
    """The sessions of an exchange; ConfigError when the library does not know it."""
    import exchange_calendars as library

    known = library.get_calendar_names(include_aliases=False)
    if calendar not in known:
        raise ConfigError(f"There is no exchange calendar '{calendar}'; {nearest(calendar, known)}")
    kind = type(library.get_calendar(calendar))
    first = max([_FIRST, *(day.date() for day in [kind.bound_min()] if day)])
    last = min([_LAST, *(day.date() for day in [kind.bound_max()] if day)])
    found = library.get_calendar(calendar, start=first.isoformat(), end=last.isoformat())
    return Exchange(
        name=calendar,
        zone=ZoneInfo(str(found.tz)),
        days=[day.date() for day in found.sessions],
        opens=_moments(found.opens),
        closes=_moments(found.closes),
    )


def _moments(column: Iterable[Any]) -> list[datetime]:
    """A column of pandas' moments as datetimes of the standard library, in UTC."""
    return [datetime.fromtimestamp(stamp.timestamp(), UTC) for stamp in column]


def sessions(start: date, end: date, calendar: str = DEFAULT) -> list[date]:
    """The sessions from `start` to `end`, both included."""
    days = exchange(calendar).days
    return list(days[bisect_left(days, start) : bisect_right(days, end)])


def close_of(session: date, calendar: str = DEFAULT) -> datetime:
    """When a session closes, UTC; half days close early. DataError when the exchange is closed on that day."""
    found = exchange(calendar)
    return found.closes[found.place(session)]


def open_of(session: date, calendar: str = DEFAULT) -> datetime:
    """When a session opens, UTC. DataError when the exchange is closed on that day."""
    found = exchange(calendar)
    return found.opens[found.place(session)]


def as_of(day: date, calendar: str = DEFAULT) -> datetime:
    """The close, UTC, of the last session on or before `day`."""
    found = exchange(calendar)
    return found.closes[found.last_on(day)]


def session_of(moment: datetime, calendar: str = DEFAULT) -> date:
    """The day of the last session that has closed at `moment`, its own close included."""
    found = exchange(calendar)
    at = bisect_right(found.closes, moment) - 1
    if at < 0:
        raise DataError(f"{moment} is before the first session that {calendar} knows.")
    return found.days[at]


def next_open(day: date, calendar: str = DEFAULT) -> datetime:
    """The opening, UTC, of the first session after `day`: what has only a date can be acted on from then."""
    found = exchange(calendar)
    return found.opens[found.last_on(day) + 1]


def horizon_end(as_of: datetime, days: int = 7, calendar: str = DEFAULT) -> datetime:
    """The close, UTC, of the last session within `days` calendar days after the session that closed at `as_of`.

    ConfigError when there is no session in them: a horizon of no session has no return.
    """
    found = exchange(calendar)
    start = session_of(as_of, calendar)
    at = found.last_on(start + timedelta(days=days))
    if found.days[at] <= start:
        raise ConfigError(
            f"{calendar} has no session within {days} days after {start}; a forecast needs one: set a longer horizon."
        )
    return found.closes[at]
