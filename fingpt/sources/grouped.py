"""Rows of all files of a table as one series for each symbol: in order, nothing twice, filings put together.

The order of rows in a file means nothing; people's files come newest first as often as oldest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from fingpt.errors import DataError
from fingpt.sources.records import Kind
from fingpt.sources.schema import Entry, Table
from fingpt.storage.tape import Pickles

_ENTRIES_AT_ONCE = 8192  # of all symbols that are in memory while a table is read


class Series(Mapping[str, list[Entry]]):
    """Entries by symbol, in a temporary file: those of a symbol are read when they are asked for.

    Once grouped they are sorted by (event_time, available_at); the symbol of macro figures is empty.
    """

    def __init__(self) -> None:
        self._kept = Pickles[list[Entry]]()
        self._places: dict[str, list[int]] = {}
        self._waiting: dict[str, list[Entry]] = {}
        self._count = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Some more entries, of any symbols."""
        for entry in entries:
            self._waiting.setdefault(entry.symbol, []).append(entry)
            self._count += 1
            if self._count == _ENTRIES_AT_ONCE:
                self._store()

    def __getitem__(self, symbol: str) -> list[Entry]:
        self._store()
        return [entry for place in self._places[symbol] for entry in self._kept[place]]

    def __iter__(self) -> Iterator[str]:
        self._store()
        return iter(self._places)

    def __len__(self) -> int:
        self._store()
        return len(self._places)

    def _store(self) -> None:
        for symbol, several in self._waiting.items():
            self._places.setdefault(symbol, []).append(len(self._kept))
            self._kept.append(several)
        self._waiting, self._count = {}, 0


Place = Callable[[Entry], str]
"""How a message names where an entry stands."""


def group(table: Table, entries: Iterable[Entry], place: Place) -> tuple[Series, int]:
    """(series of a table, how many of its rows were dropped because they stand there twice).

    News comes twice from every vendor, and the second is dropped; of anything else a second row is a DataError, since
    nobody can say which of the two is true.
    """
    read, series = Series(), Series()
    read.add(entries)
    dropped = 0
    for several in read.values():
        several.sort(key=lambda entry: (entry.event_time, entry.available_at))
        once: dict[object, Entry] = {}
        for entry in several:
            first = once.setdefault(table.identity(entry), entry)
            if first is not entry and table.kind is not Kind.NEWS:
                raise _twice(table, first, entry, place)
        dropped += len(several) - len(once)
        series.add(_filings(once.values()) if table.kind is Kind.FUNDAMENTALS else once.values())
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
