"""One cell of a table that a person brought, as a value of the type that its column has.

A cell is text (CSV), a JSON value, or what a Parquet column holds. Every fault is a BadCell: what was expected, so
that the caller can name the place and what was found. Numbers have a decimal point and no thousands separators; days
are YYYY-MM-DD; moments are ISO 8601 with an offset or Z, and without one only where the folder says that its times
are the exchange's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache

from fingpt.errors import DataError
from fingpt.log import printable
from fingpt.sources.calendar import next_open
from fingpt.sources.month import Month

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SOME_ORDER = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", re.ASCII)
_MIDNIGHT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:?\d{2})?", re.ASCII
)
_PERIOD = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(\d{2})(?:-(\d{2}))?))?")
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,19}")
_MAX_TEXT = 20_000
_NUMBER = "a number with a decimal point and no thousands separator, currency or letter for millions, such as 1234.5"
_NOTHING = frozenset("n/a #n/a na nan null none nil - -- inf -inf infinity -infinity".split())


def shown(cell: object, most: int) -> str:
    """A cell for a message, at most about `most` characters of it; a text that is cut keeps both its quotes."""
    if isinstance(cell, str):
        return printable(repr(f"{cell[:most]}…" if len(cell) > most else cell))
    return printable(repr(cell)[:most])


class BadCell(ValueError):
    """What was expected in a cell that holds something else, as it stands after "expected "."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment, or a day of which the hour is not known."""

    moment: datetime
    """UTC; of a bare day its first moment in UTC."""
    known: datetime
    """When it could be known first: the moment itself, of a bare day the opening of the next session."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How times of a folder are read: whose sessions count, and whose clock a time without an offset is of."""

    calendar: str
    zone: tzinfo | None
    """None: a time without an offset is refused."""
    now: datetime
    """What has happened later than this cannot be told yet."""


Convert = Callable[[object, Clock], object]


def is_empty(cell: object) -> bool:
    """Whether a cell says nothing: not there, null, blank, or NaN in a Parquet column."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def means_nothing(cell: object) -> bool:
    """Whether a cell is what tools write where they know no value: N/A, null, NaN, infinity."""
    if isinstance(cell, str):
        return len(cell) <= _MAX_TEXT and cell.strip().lower() in _NOTHING
    return isinstance(cell, float | Decimal) and not math.isfinite(cell)


def text(cell: object, _: Clock) -> str:
    """A text of at most 20,000 characters, without blanks at its ends."""
    if not isinstance(cell, str):
        raise BadCell("a text")
    if len(cell) > _MAX_TEXT:
        raise BadCell(f"a text of at most {_MAX_TEXT:,} characters")
    try:
        cell.encode()
    except UnicodeEncodeError:
        raise BadCell("a text of whole characters") from None
    return cell.strip()


@lru_cache(maxsize=4096)
def _symbol(cell: str) -> str:
    if not _SYMBOL.fullmatch(cell):
        raise BadCell("a symbol in capitals as the exchange writes it, such as AAPL or BRK.B")
    return cell


def symbol(cell: object, clock: Clock) -> str:
    """A ticker symbol."""
    return _symbol(text(cell, clock))


def number(cell: object, _: Clock) -> float:
    """A finite number."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str | Decimal):
        raise BadCell("a number")
    if isinstance(cell, str) and ("_" in cell or not cell.isascii()):
        raise BadCell("a plain number, such as 1234.5")
    try:
        value = float(cell)
    except (ValueError, OverflowError):
        raise BadCell(_NUMBER) from None
    if not math.isfinite(value):
        raise BadCell("a finite number")
    return value


def positive(cell: object, clock: Clock) -> float:
    """A finite number above 0."""
    value = number(cell, clock)
    if value <= 0:
        raise BadCell("a number above 0")
    return value


def not_negative(cell: object, clock: Clock) -> float:
    """A finite number that is 0 or more."""
    value = number(cell, clock)
    if value < 0:
        raise BadCell("a number that is 0 or more")
    return value


@lru_cache(maxsize=65536)
def _day(cell: str) -> date:
    try:
        if _DAY.fullmatch(cell):
            return date.fromisoformat(cell)
    except ValueError:
        pass
    if _SOME_ORDER.fullmatch(cell):
        raise BadCell("a day as YYYY-MM-DD (of others nobody can tell the day from the month)")
    raise BadCell("a day as YYYY-MM-DD")


def day(cell: object, _: Clock) -> date:
    """A calendar day; midnight counts as its day, as tools write days into columns of moments."""
    if isinstance(cell, datetime):
        if cell.time() != datetime.min.time():
            raise BadCell("a day as YYYY-MM-DD, without a time")
        return cell.date()
    if isinstance(cell, date):
        return cell
    if not isinstance(cell, str):
        raise BadCell("a day as YYYY-MM-DD")
    written = cell.strip()
    at_midnight = _MIDNIGHT.fullmatch(written)
    return _day(at_midnight[1] if at_midnight else written)


def instant(cell: object, clock: Clock) -> Instant:
    """A moment; a bare day stands for the opening of the session after it, since its hour is not known."""
    if isinstance(cell, str) and not _DAY.fullmatch(cell.strip()):
        return _instant(_parsed(cell.strip()), clock)
    if isinstance(cell, datetime):
        return _instant(cell, clock)
    if not isinstance(cell, date | str):
        raise BadCell(_MOMENT)
    found = day(cell, clock)
    try:
        known = next_open(found, clock.calendar)
    except DataError:
        raise BadCell(f"a day that the calendar {clock.calendar} knows") from None
    return Instant(midnight(found), known)


def midnight(day: date) -> datetime:
    """The first moment of a day in UTC, which stands for days without an hour, such as the end of a period."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_MOMENT = "a moment such as 2026-11-20T16:05:00-05:00, or a day as YYYY-MM-DD"


def _parsed(cell: str) -> datetime:
    if len(cell) < 16:  # fromisoformat also reads weeks and hours alone
        raise BadCell(_MOMENT)
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise BadCell(_MOMENT) from None


def _instant(moment: datetime, clock: Clock) -> Instant:
    try:
        in_utc = (
            moment.astimezone(UTC)
            if moment.tzinfo
            else _on_the_clock(moment, clock).astimezone(UTC)
        )
    except OverflowError:
        raise BadCell(_MOMENT) from None
    return Instant(in_utc, in_utc)


def _on_the_clock(moment: datetime, clock: Clock) -> datetime:
    """A time without an offset on the exchange's clock; of the two that it names in autumn the later one.

    The later one can only make a row miss what it might have seen, never see what it could not.
    """
    if clock.zone is None:
        raise BadCell(
            "a moment with its offset, such as 2026-11-20T16:05:00-05:00 or …21:05:00Z (or `times: exchange` in "
            "folder.yaml where all times are on the exchange's clock)"
        )
    local = moment.replace(tzinfo=clock.zone, fold=1)
    back = local.astimezone(UTC).astimezone(clock.zone)
    if back.replace(tzinfo=None) != moment:
        raise BadCell(
            "a time that the exchange's clock has shown (that hour was skipped for daylight saving time)"
        )
    return local


def period(cell: object, _: Clock) -> str:
    """A year, quarter, month or day: 2026, 2026-Q3, 2026-10, 2026-10-31."""
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return cell.isoformat()
    written = (
        str(cell).strip() if isinstance(cell, str | int) and not isinstance(cell, bool) else ""
    )
    try:
        last_day(written)
    except ValueError:
        raise BadCell("a period as 2026, 2026-Q3, 2026-10 or 2026-10-31") from None
    return written


def last_day(period: str) -> date:
    """The last day of a period as `period` writes it; ValueError when it is none."""
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(period)
    year, quarter, month, day = match.groups()
    if day:
        return date(int(year), int(month), int(day))
    last = int(quarter) * 3 if quarter else int(month or 12)
    return Month.of(date(int(year), last, 1)).last


def one_of(*allowed: str) -> Convert:
    """A column that holds one of `allowed`."""

    def convert(cell: object, clock: Clock) -> str:
        found = text(cell, clock)
        if found not in allowed:
            raise BadCell(f"one of {', '.join(allowed)}")
        return found

    return convert
