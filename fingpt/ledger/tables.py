"""The newest weeks as tables: each symbol's forecasts beside what happened, or why nothing is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fingpt.ledger.book import Book, Row
from fingpt.ledger.document import Cell, SymbolLine, WeekTable
from fingpt.ledger.records import Status
from fingpt.ledger.trivial import HALF, direction_of

_WORDS = {1: "up", -1: "down", 0: "not read"}


def week_tables(book: Book) -> tuple[WeekTable, ...]:
    """The newest week, and the newest one that has an outcome where that is another."""
    if not book.weeks:
        return ()
    scored = [week for week in book.weeks if _rows(book, week, scored=True)]
    wanted = dict.fromkeys([book.weeks[-1], *scored[-1:]])
    return tuple(_table(book, week) for week in wanted)


def _rows(book: Book, week: str, *, scored: bool = False) -> list[Row]:
    return [
        row
        for chain in book.chains
        for row in chain.rows
        if row.week == week and (not scored or row.outcome.status is not Status.WAITING)
    ]


def _table(book: Book, week: str) -> WeekTable:
    rows = _rows(book, week)
    symbols = sorted({*book.genesis.universe, *(row.symbol for row in rows)})
    return WeekTable(
        week=week,
        horizon_end=max(row.horizon_end for row in rows).date().isoformat(),
        over=any(row.outcome.status is not Status.WAITING for row in rows),
        lines=tuple(_line(book, week, symbol) for symbol in symbols),
    )


def _line(book: Book, week: str, symbol: str) -> SymbolLine:
    by_chain: list[list[Row]] = [
        [row for row in chain.rows if row.week == week and row.symbol == symbol]
        for chain in book.chains
    ]
    every = [row for rows in by_chain for row in rows]
    known = next((row.outcome for row in every if row.outcome.status is Status.OK), None)
    outcome = known or (every[0].outcome if every else None)
    return SymbolLine(
        symbol=symbol,
        status=str(outcome.status) if outcome else "not forecast",
        realised_return=outcome.realised_return if outcome else None,
        excess_return=outcome.excess_return if outcome else None,
        label=outcome.label if outcome else None,
        cells=tuple(_cell(rows) for rows in by_chain),
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
