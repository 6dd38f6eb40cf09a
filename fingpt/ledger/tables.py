"""The newest weeks as tables: each symbol's forecasts beside what happened, or why nothing is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fingpt.ledger.book import Book, Row
from fingpt.ledger.document import Cell, SymbolLine, WeekTable
from fingpt.ledger.records import Status
from fingpt.ledger.trivial import HALF, direction_of

_WORDS = {1: "up", -1: "down", 0: "not read"}


def week_tables(book: Book, titles: Sequence[str]) -> tuple[WeekTable, ...]:
    """The newest week, and the newest one that has an outcome where that is another; `titles` in the chains' order."""
    found = []
    scored = [week for week in book.weeks if _is_scored(book, week)]
    for week in dict.fromkeys([*book.weeks[-1:], *scored[-1:]]):
        rows = [[row for row in chain.rows if row.week == week] for chain in book.chains]
        there = [(title, own) for title, own in zip(titles, rows, strict=True) if own]
        found.append(_table(book, week, dict(there)))
    return tuple(found)


def _is_scored(book: Book, week: str) -> bool:
    every = (row for chain in book.chains for row in chain.rows if row.week == week)
    return any(row.outcome.status is not Status.WAITING for row in every)


def _table(book: Book, week: str, rows: Mapping[str, Sequence[Row]]) -> WeekTable:
    every = [row for own in rows.values() for row in own]
    symbols = sorted({*book.universe, *(row.symbol for row in every)})
    return WeekTable(
        week=week,
        titles=tuple(rows),
        horizon_end=max(row.horizon_end for row in every).date().isoformat(),
        over=_is_scored(book, week),
        lines=tuple(_line(symbol, list(rows.values())) for symbol in symbols),
    )


def _line(symbol: str, rows: Sequence[Sequence[Row]]) -> SymbolLine:
    mine = [[row for row in own if row.symbol == symbol] for own in rows]
    every = [row for own in mine for row in own]
    known = next((row.outcome for row in every if row.outcome.status is Status.OK), None)
    outcome = known or (every[0].outcome if every else None)
    return SymbolLine(
        symbol=symbol,
        status=str(outcome.status) if outcome else "not forecast",
        realised_return=outcome.realised_return if outcome else None,
        excess_return=outcome.excess_return if outcome else None,
        label=outcome.label if outcome else None,
        cells=tuple(_cell(own) for own in mine),
    )


def _cell(rows: Sequence[Row]) -> Cell | None:
    """The forecast that counts, which is the first; what was stated again is mentioned."""
    if not rows:
        return None
    row = rows[0]
    forecast = row.forecast
    notes = [row.excluded] if row.excluded else []
    notes += ["stated again later"] if len(rows) > 1 else []
    notes += [f"degraded: {', '.join(forecast.degraded)}"] if forecast.degraded else []
    notes += [forecast.failure] if forecast.failure else []
    label = row.outcome.label
    return Cell(
        forecast=forecast.label or _WORDS[forecast.direction],
        p_up=sum(forecast.probabilities[HALF:]) if forecast.probabilities else None,
        right=None if label is None else direction_of(label) == forecast.direction,
        note="; ".join(notes),
    )
