"""The tables of a folder of files: which columns each has, and what one row of it says.

A table is one row here and one template file; docs/sources.md prints it. `build` of a table turns the cells of a row
into an Entry, or says by a BadRow which column is wrong and what was expected of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from fingpt.sources import cells
from fingpt.sources.calendar import exchange
from fingpt.sources.cells import BadCell, Clock, Convert, Instant
from fingpt.sources.records import Kind

ALWAYS = datetime(1980, 1, 1, tzinfo=UTC)
"""From when a profile without `available_at` is known: as far back as the calendars reach."""

_SLACK = 1e-6  # vendors round open, high, low and close each for itself


class BadRow(ValueError):
    """A row whose cell in `column` is wrong; the text is what was expected."""

    def __init__(self, column: str, expected: str) -> None:
        super().__init__(expected)
        self.column = column


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how its cells are read, what they mean, whether each row has to have one."""

    name: str
    convert: Convert
    meaning: str
    required: bool = True


@dataclass(slots=True)
class Entry:
    """What one row says, as compact as it stays in memory; a Record is made of it when it is asked for."""

    symbol: str
    event_time: datetime
    available_at: datetime
    values: tuple[Any, ...]
    """In the order of the payload's names (`Table.payload`)."""
    file: int = 0
    line: int = 0
    """Where it was read, for messages."""


Values = Mapping[str, Any]
Build = Callable[[Values, Clock], Entry]


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of file."""

    name: str
    kind: Kind
    meaning: str
    columns: tuple[Column, ...]
    payload: tuple[str, ...]
    build: Build
    identity: Callable[[Entry], object]
    """What two rows of a symbol must not have in common."""


def _price(row: Values, clock: Clock) -> Entry:
    place = _session(row["date"], clock)
    close = exchange(clock.calendar).closes[place]
    prices = row["open"], row["high"], row["low"], row["close"]
    if row["high"] < max(prices) * (1 - _SLACK):
        raise BadRow("high", "at least open, low and close of its row")
    if row["low"] > min(prices) * (1 + _SLACK):
        raise BadRow("low", "at most open, high and close of its row")
    return Entry(row["symbol"], close, close, (*prices, row["volume"], row["currency"]))


def _action(row: Values, clock: Clock) -> Entry:
    opening = exchange(clock.calendar).opens[_session(row["date"], clock)]
    if row["type"] == "split" and row["value"] == 1:
        raise BadRow("value", "another ratio than 1 (new shares per old share)")
    return Entry(row["symbol"], opening, opening, (row["type"], row["value"]))


def _session(day: date, clock: Clock) -> int:
    found = exchange(clock.calendar)
    if not found.is_session(day):
        raise BadRow(
            "date", f"a session of {found.name} ({day:%A}, {day}, is a day without trading)"
        )
    return found.place(day)


def _news(row: Values, _: Clock) -> Entry:
    at: Instant = row["published_at"]
    values = row["headline"], row["summary"] or "", row["url"], row["publisher"]
    return Entry(row["symbol"], at.moment, at.known, values)


def _fundamental(row: Values, _: Clock) -> Entry:
    end, at = row["period_end"], row["accepted_at"]
    values = end.isoformat(), row["form"], {row["metric"]: row["value"]}
    return Entry(row["symbol"], cells.midnight(end), at.known, values)


def _profile(row: Values, _: Clock) -> Entry:
    names = ("name", "asset", "exchange", "industry", "country")
    at: Instant | None = row["available_at"]
    moment = at.known if at else ALWAYS
    return Entry(row["symbol"], moment, moment, tuple(row[name] for name in names))


def _macro(row: Values, _: Clock) -> Entry:
    end, at = cells.last_day(row["period"]), row["released_at"]
    values = row["series"], row["value"], row["unit"], row["period"]
    return Entry("", cells.midnight(end), at.known, values)


def _signal(row: Values, _: Clock) -> Entry:
    at: Instant = row["published_at"]
    return Entry(row["symbol"], at.moment, at.known, (row["name"], row["value"]))


_SYMBOL = Column("symbol", cells.symbol, "as the exchange writes it: AAPL, BRK.B")
_AVAILABLE = Column(
    "available_at",
    cells.instant,
    "when it could be known first, where that is later than the table's own rule says",
    required=False,
)


def _published(what: str) -> Column:
    return Column("published_at", cells.instant, f"when {what} was published")


PRICES = Table(
    "prices",
    Kind.PRICE,
    "one session of one symbol, as it was traded: not adjusted for splits or dividends; known at its close",
    (
        _SYMBOL,
        Column("date", cells.day, "the session's day on the exchange's calendar"),
        Column("open", cells.positive, "first price"),
        Column("high", cells.positive, "highest price"),
        Column("low", cells.positive, "lowest price"),
        Column("close", cells.positive, "last price"),
        Column("volume", cells.not_negative, "shares traded", required=False),
        Column("currency", cells.text, "ISO 4217; USD where there is none", required=False),
        _AVAILABLE,
    ),
    ("open", "high", "low", "close", "volume", "currency"),
    _price,
    lambda entry: entry.event_time,
)
ACTIONS = Table(
    "actions",
    Kind.ACTION,
    "a split or a dividend; known at the opening of its ex-date",
    (
        _SYMBOL,
        Column("date", cells.day, "the ex-date, a session"),
        Column("type", cells.one_of("split", "dividend"), "split or dividend"),
        Column("value", cells.positive, "new shares per old share, or money per share"),
        _AVAILABLE,
    ),
    ("type", "value"),
    _action,
    lambda entry: (entry.event_time, entry.values),
)
NEWS = Table(
    "news",
    Kind.NEWS,
    "one article about one symbol; known when it was published",
    (
        _SYMBOL,
        _published("it"),
        Column("headline", cells.text, "its headline"),
        Column("summary", cells.text, "its first lines or a summary", required=False),
        Column("url", cells.text, "its address", required=False),
        Column("publisher", cells.text, "who published it", required=False),
        _AVAILABLE,
    ),
    ("headline", "summary", "url", "publisher"),
    _news,
    lambda entry: (entry.event_time, entry.values[0]),
)
FUNDAMENTALS = Table(
    "fundamentals",
    Kind.FUNDAMENTALS,
    "one figure of one filing; known when the filing was accepted, never at the end of its period",
    (
        _SYMBOL,
        Column("period_end", cells.day, "the last day of the period that the figure is about"),
        Column("form", cells.text, "the filing: 10-Q, 10-K, 10-K/A"),
        Column("accepted_at", cells.instant, "when the filing was accepted"),
        Column("metric", cells.text, "the figure's name: revenue, net_income, eps_diluted"),
        Column("value", cells.number, "the figure, in units (not thousands)"),
        _AVAILABLE,
    ),
    ("period_end", "form", "metrics"),
    _fundamental,
    lambda entry: (entry.values[:2], entry.available_at, *entry.values[2]),
)
PROFILES = Table(
    "profiles",
    Kind.PROFILE,
    "what does not change from week to week; known from `available_at`, or always where there is none",
    (
        _SYMBOL,
        Column("name", cells.text, "the company's name"),
        Column("asset", cells.one_of("stock", "cryptocurrency", "fund"), "what it is"),
        Column("exchange", cells.text, "where it is listed"),
        Column("industry", cells.text, "its industry", required=False),
        Column("country", cells.text, "its country", required=False),
        _AVAILABLE,
    ),
    ("name", "asset", "exchange", "industry", "country"),
    _profile,
    lambda entry: entry.available_at,
)
MACRO = Table(
    "macro",
    Kind.MACRO,
    "one figure of one series as it was released, revisions as rows of their own; known when it was released",
    (
        Column("series", cells.text, "its name: CPI, UNRATE, DGS10"),
        Column("period", cells.period, "what it is about: 2026, 2026-Q3, 2026-10, 2026-10-31"),
        Column("value", cells.number, "the figure"),
        Column("unit", cells.text, "percent, index, thousands", required=False),
        Column("released_at", cells.instant, "when this value was released"),
        _AVAILABLE,
    ),
    ("series", "value", "unit", "period"),
    _macro,
    lambda entry: (entry.values[0], entry.values[3], entry.available_at),
)
SIGNALS = Table(
    "signals",
    Kind.SIGNAL,
    "any dated number of a symbol; known when it was published",
    (
        _SYMBOL,
        Column("name", cells.text, "the signal's name"),
        _published("the number"),
        Column("value", cells.number, "the number"),
        _AVAILABLE,
    ),
    ("name", "value"),
    _signal,
    lambda entry: (entry.values[0], entry.event_time, entry.available_at),
)
TABLES = {
    table.name: table for table in (PRICES, ACTIONS, NEWS, FUNDAMENTALS, PROFILES, MACRO, SIGNALS)
}


def read_entry(table: Table, row: Mapping[str, object], clock: Clock) -> Entry:
    """The Entry of one row, given as column → cell; BadRow naming the first column that is wrong."""
    values: dict[str, Any] = {}
    for column in table.columns:
        cell = row.get(column.name)
        if not cells.is_empty(cell):
            try:
                values[column.name] = column.convert(cell, clock)
            except BadCell as fault:
                what = "leave it empty" if not column.required else "delete the line"
                hint = f" ({what} where none is known)" if cells.means_nothing(cell) else ""
                raise BadRow(column.name, f"{fault}{hint}") from None
        elif column.required:
            raise BadRow(column.name, "a value (delete the line where none is known)")
        else:
            values[column.name] = None
    entry = table.build(values, clock)
    late: Instant | None = values.get("available_at")
    if late:
        if late.known < entry.available_at:
            raise BadRow(
                "available_at", f"a moment not before {entry.available_at:%Y-%m-%d %H:%M} UTC"
            )
        entry.available_at = late.known
    if entry.available_at < entry.event_time:
        named = next(each.name for each in table.columns if each.convert is cells.instant)
        raise BadRow(named, f"a moment not before {entry.event_time:%Y-%m-%d %H:%M} UTC")
    if entry.event_time > clock.now and table is not ACTIONS:  # those are announced
        named = next(each.name for each in table.columns if each.convert in _TIMES)
        raise BadRow(
            named, f"what has happened ({entry.event_time:%Y-%m-%d %H:%M} UTC is still to come)"
        )
    return entry


_TIMES = (cells.day, cells.instant, cells.period)


def payload(table: Table, entry: Entry) -> dict[str, Any]:
    """The payload of an entry's record, as records.py documents it."""
    if table is ACTIONS:
        kind, value = entry.values
        return {"type": kind, "ratio" if kind == "split" else "amount": value}
    return dict(zip(table.payload, entry.values, strict=True))
