"""Rows of all files of a table as one series for each symbol: in order, nothing twice, filings put together.

The order of rows in a file means nothing; people's files come newest first as often as oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fingpt.errors import DataError
from fingpt.sources.records import Kind
from fingpt.sources.schema import Entry, Table

Series = dict[str, list[Entry]]
"""Entries by symbol, sorted by (event_time, available_at); the symbol of macro figures is empty."""

Place = Callable[[Entry], str]
"""How a message names where an entry stands."""


def group(table: Table, entries: Iterable[Entry], place: Place) -> tuple[Series, int]:
    """(series of a table, how many of its rows were dropped because they stand there twice).

    News comes twice from every vendor, and the second is dropped; of anything else a second row is a DataError, since
    nobody can say which of the two is true.
    """
    series: Series = {}
    for entry in entries:
        series.setdefault(entry.symbol, []).append(entry)
    dropped = 0
    for symbol, several in series.items():
        several.sort(key=lambda entry: (entry.event_time, entry.available_at))
        once: dict[object, Entry] = {}
        for entry in several:
            first = once.setdefault(table.identity(entry), entry)
            if first is not entry and table.kind is not Kind.NEWS:
                raise _twice(table, first, entry, place)
        dropped += len(several) - len(once)
        series[symbol] = list(once.values())
    if table.kind is Kind.FUNDAMENTALS:
        series = {symbol: _filings(several) for symbol, several in series.items()}
    return series, dropped


def _filings(entries: Iterable[Entry]) -> list[Entry]:
    """One entry for each filing and period, with all its figures."""
    filings: dict[object, Entry] = {}
    for entry in entries:
        end, form, metrics = entry.values
        filing = filings.setdefault((end, form, entry.available_at), entry)
        if filing is not entry:
            filing.values[2].update(metrics)
    for filing in filings.values():
        metrics = filing.values[2]
        filing.values = (*filing.values[:2], {name: metrics[name] for name in sorted(metrics)})
    return list(filings.values())


def _twice(table: Table, first: Entry, second: Entry, place: Place) -> DataError:
    one, two = sorted((first, second), key=lambda entry: (entry.file, entry.line))
    of = f" of {second.symbol}" if second.symbol else ""
    return DataError(
        f"{place(two)}: what {place(one)} says of {table.name}{of}, {second.event_time:%Y-%m-%d %H:%M} UTC, stands "
        "here a second time; keep the true one of the two."
    )
