"""Dividends and splits that stand in a price file's own columns: nothing reads them there, so actions has to tell them.

Returns rest on the table `actions` alone. A file that shows an action which that table lacks would give wrong returns
without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fingpt.sources import cells
from fingpt.sources.calendar import Exchange
from fingpt.sources.schema import BadRow, Entry

_DIVIDENDS = (
    *("dividends", "dividend", "divcash", "ex-dividend", "capital gains"),
    *("dividend_amount", "dividend amount", "7. dividend amount"),
)
_SPLITS = (
    *("stock splits", "splits", "split", "splitfactor", "split factor", "split_factor"),
    *("split ratio", "split_ratio", "split coefficient", "split_coefficient"),
    "8. split coefficient",
)
COLUMNS = (*_DIVIDENDS, *_SPLITS)
"""Lower case, as vendors name them."""

_YFINANCE = frozenset({"dividends", "stock splits"})
_RATIO = re.compile(r"(\d+(?:\.\d+)?)\s*[:/]\s*(\d+(?:\.\d+)?)", re.ASCII)
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class OwnAction:
    """An action as a price file tells it: where it stands, and what is written there."""

    place: str
    column: str
    found: str
    symbol: str
    close: datetime
    """Of the session whose row has it."""
    kind: str
    value: float
    columns: frozenset[str]
    """All columns of its row, as `COLUMNS` names them."""


def own_actions(row: Mapping[str, object], entry: Entry, place: str) -> list[OwnAction]:
    """The actions that the columns of a price row tell; BadRow for a cell that nobody can read as one.

    0 and nothing tell none, and neither does a split of 1 for 1.
    """
    there = {column: row[column] for column in COLUMNS if row.get(column) is not None}
    found = []
    for column, cell in there.items():
        kind = "split" if column in _SPLITS else "dividend"
        value = _value(column, cell, kind)
        if value and not (kind == "split" and value == 1):
            told = cells.shown(cell, 40)
            action = OwnAction(
                place, column, told, entry.symbol, entry.event_time, kind, value, frozenset(there)
            )
            found.append(action)
    return found


def _value(column: str, cell: object, kind: str) -> float:
    if cells.is_empty(cell) or cells.means_nothing(cell):
        return 0.0
    ratio = _RATIO.fullmatch(cell.strip()) if isinstance(cell, str) and kind == "split" else None
    try:
        if ratio and float(ratio[2]):
            return float(ratio[1]) / float(ratio[2])
        return cells.not_negative(cell, _NO_CLOCK)
    except cells.BadCell as fault:
        none = "0 or 1 where there was no split" if kind == "split" else "0 where none was paid"
        raise BadRow(
            column, f"{fault} ({none}; rename a column that means something else)"
        ) from None


_NO_CLOCK = cells.Clock("", None, datetime.min)  # numbers have no time


def untold(
    found: Iterable[OwnAction], actions: Mapping[str, Sequence[Entry]], exchange: Exchange
) -> str:
    """The sentences on actions that `actions`, by symbol, does not tell; empty where it tells them all.

    Amounts are not compared: many vendors adjust them for later splits.
    """
    told = {
        (symbol, each.event_time, each.values[0])
        for symbol, several in actions.items()
        for each in several
    }
    lacking = [
        each
        for each in found
        if (each.symbol, exchange.opens[exchange.closing(each.close)], each.kind) not in told
    ]
    if not lacking:
        return ""
    first, lines = lacking[0], [_line(each, exchange) for each in lacking]
    more = f" and {len(lines) - _SHOWN} more such lines" if len(lines) > _SHOWN else ""
    several = "the lines" if len(lines) > 1 else "the line"
    return (
        f"{first.place}, column '{first.column}': found {first.found}, which is a {first.kind} that actions.csv does "
        f"not tell, so returns would lack it; write into actions.csv, below its header symbol,date,type,value, "
        f"{several} {' '.join(lines[:_SHOWN])}{more}.{_vendor_note(lacking)}"
    )


def _line(action: OwnAction, exchange: Exchange) -> str:
    day = exchange.days[exchange.closing(action.close)]
    return f"{action.symbol},{day},{action.kind},{action.value:g}"


def _vendor_note(lacking: Sequence[OwnAction]) -> str:
    notes = ""
    if any(each.columns >= _YFINANCE for each in lacking):
        notes = (
            " These are columns of yfinance, whose closes are adjusted for dividends too: export with "
            "auto_adjust=False."
        )
    if any(each.kind == "split" for each in lacking):
        notes += (
            " Where the prices are adjusted for that split (those of Yahoo are), multiply those before it by its ratio "
            "and divide their volumes by it."
        )
    return notes
