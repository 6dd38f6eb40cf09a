"""The door without a key: a folder of prices, news, filings and figures as a Snapshot, with every row checked.

A fault in a row is a DataError that names file, line, column, what was found and what was expected; what is wrong
with a series although its rows are right is named in `degraded` (checks.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from fingpt.config import local_path
from fingpt.errors import DataError
from fingpt.log import printable
from fingpt.record import FileRef, tree_sha256
from fingpt.rows.layout import kind_of
from fingpt.sources.calendar import exchange
from fingpt.sources.cells import Clock, shown
from fingpt.sources.checks import (
    Bar,
    Dividend,
    Note,
    Split,
    by_part,
    impossible_dividend,
    price_notes,
    unseen_split,
)
from fingpt.sources.folder import Folder, look
from fingpt.sources.grouped import Place, Series, group
from fingpt.sources.month import Month
from fingpt.sources.own_actions import COLUMNS as OWN_COLUMNS
from fingpt.sources.own_actions import OwnAction, own_actions, untold
from fingpt.sources.records import Kind, Record
from fingpt.sources.schema import TABLES, BadRow, Entry, Table, payload, read_entry
from fingpt.sources.snapshot import Snapshot
from fingpt.sources.table import BadLine, Header, read_rows, where

NAME = "files"
"""The source's name in records and in `degraded`."""

_SHOWN = 60
_FIELDS = set(Record.model_fields)


def open_files(folder: str) -> Snapshot:
    """The snapshot of a folder of files, as a person names it.

    Raises MissingInputError when it is no folder or holds no prices, ConfigError when its folder.yaml is wrong, and
    DataError naming file, line and column of the first row that is wrong, and how many more are.
    """
    return read_folder(look(local_path(folder)), now=datetime.now(UTC))


def read_folder(folder: Folder, *, now: datetime) -> FilesSnapshot:
    """As `open_files`; a row that speaks of what comes after `now` is wrong."""
    reader = _Reader(folder, folder.settings.clock(now))
    series = {table.kind: reader.series(table) for table in TABLES.values()}
    if not series[Kind.PRICE]:
        raise DataError(f"{folder.path}: its prices have no row; fill the file.")
    found = exchange(folder.settings.calendar)
    if lacking := untold(reader.own_actions, series[Kind.ACTION], found):
        raise DataError(lacking)
    notes = [*_price_notes(series, folder, reader.place), *_unpriced(series)]
    return FilesSnapshot(folder, series, by_part(NAME, notes), reader.dropped)


def _price_notes(series: dict[Kind, Series], folder: Folder, place: Place) -> Iterator[Note]:
    """What looks wrong with each symbol's prices; DataError when they are adjusted for a split that is named."""
    prices, found = series[Kind.PRICE], exchange(folder.settings.calendar)
    last = max(several[-1].event_time for several in prices.values())
    for symbol, several in prices.items():
        bars = [Bar(each.event_time, each.values[0], each.values[3]) for each in several]
        actions = series[Kind.ACTION].get(symbol, [])
        splits = [
            Split(each.event_time, each.values[1]) for each in actions if each.values[0] == "split"
        ]
        if unseen := unseen_split(bars, splits):
            split, before, after = unseen
            at = next(place(each) for each in actions if each.event_time == split.at)
            raise DataError(
                f"{at}: a split of {symbol}, {split.ratio:g} for 1, but the price went from {before.close:g} to "
                f"{after.open:g} over it. These prices are adjusted already: bring them as they were traded (multiply "
                "those before the split by its ratio, and divide volumes by it); or the split is wrong: correct it."
            )
        dividends = [
            Dividend(each.event_time, each.values[1])
            for each in actions
            if each.values[0] == "dividend"
        ]
        if impossible := impossible_dividend(bars, splits, dividends):
            dividend, close = impossible
            wrong = ("dividend", dividend.amount)
            at = next(
                place(each)
                for each in actions
                if each.event_time == dividend.at and each.values == wrong
            )
            raise DataError(
                f"{at}, column 'value': a dividend of {dividend.amount:g} for a share of {symbol}, whose last "
                f"close was {close:g}; expected less than the close: correct it."
            )
        yield from price_notes(symbol, bars, splits, found, last, dividends)


def _unpriced(series: dict[Kind, Series]) -> Iterator[Note]:
    """Symbols that other tables speak of and that have no prices."""
    for kind in (Kind.NEWS, Kind.FUNDAMENTALS, Kind.SIGNAL, Kind.ACTION):
        for symbol, several in series[kind].items():
            if symbol not in series[Kind.PRICE]:
                why = (
                    f"there is {kind} and no price: renamed, delisted, or its prices were left out"
                )
                yield Note(symbol, Month.of(several[0].event_time.date()), why)


class FilesSnapshot(Snapshot):
    """The rows of a folder; records are made of them when they are asked for."""

    def __init__(
        self,
        folder: Folder,
        series: dict[Kind, Series],
        degraded: dict[str, str],
        dropped: dict[str, int],
    ) -> None:
        super().__init__()
        self.files = folder.refs()
        self.digest = tree_sha256((file.name, file.sha256) for file in self.files)
        self.policy = folder.settings.policy
        self.degraded, self.dropped = degraded, dropped
        self._series = series
        by_name = {file.name: file for file in self.files}
        self._origins = [
            (by_name[name], _changed_at(folder.path / name)) for name, _ in folder.tables
        ]

    def symbols(self) -> tuple[str, ...]:
        """Symbols of which it has prices, sorted."""
        return tuple(sorted(self._series[Kind.PRICE]))

    def load(self, kind: Kind, symbol: str) -> Iterator[Record]:
        """All records of one kind and symbol."""
        table = next(each for each in TABLES.values() if each.kind is kind)
        for entry in self._series[kind].get(symbol, []):
            file, changed = self._origins[entry.file]
            yield _record(table, entry, file, changed)


def _record(table: Table, entry: Entry, file: FileRef, changed: datetime) -> Record:
    """The record of an entry, whose values schema.py has checked; a set of names of its own would double its memory."""
    return Record.model_construct(
        _FIELDS,
        symbol=entry.symbol,
        event_time=entry.event_time,
        available_at=entry.available_at,
        kind=table.kind,
        payload=payload(table, entry),
        source=NAME,
        retrieved_at=changed,
        sha256=file.sha256,
    )


def _changed_at(path: Path) -> datetime:
    """When a file was last changed: the nearest that is known to when it was retrieved."""
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


class _Reader:
    """Reads the tables of one folder, one after the other."""

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self.dropped: dict[str, int] = {}
        self.own_actions: list[OwnAction] = []

    def place(self, entry: Entry) -> str:
        """Where an entry stands, for messages."""
        name = self._folder.tables[entry.file][0]
        return f"{name}, {where(kind_of(name))} {entry.line}"

    def series(self, table: Table) -> Series:
        """The series of one table, empty when the folder has none; currencies are filled in."""
        series, dropped = group(table, self._entries(table), self.place)
        if dropped:
            self.dropped[f"{table.name}: the same headline at the same moment"] = dropped
        return series

    def _entries(self, table: Table) -> Iterator[Entry]:
        columns = table.columns
        header = Header(
            required=tuple(column.name for column in columns if column.required),
            optional=tuple(column.name for column in columns if not column.required),
            besides=OWN_COLUMNS if table.kind is Kind.PRICE else (),
        )
        for number, (name, found) in enumerate(self._folder.tables):
            if found == table.name:
                yield from self._file(table, header, number, name)

    def _file(self, table: Table, header: Header, number: int, name: str) -> Iterator[Entry]:
        first, faults = "", 0
        rows = read_rows(self._folder.path / name, kind_of(name), name, header)
        for line, cells in rows:
            try:
                if isinstance(cells, BadLine):
                    raise BadRow("", cells.expected)
                row = dict(zip(header.columns, cells, strict=True))
                entry = read_entry(table, row, self._clock)
                if header.besides:
                    at = f"{name}, {where(kind_of(name))} {line}"
                    self.own_actions += own_actions(row, entry, at)
            except BadRow as fault:
                faults += 1
                first = first or _sentence(header, (name, line), cells, fault)
                continue
            if table.kind is Kind.PRICE and entry.values[-1] is None:
                entry.values = (*entry.values[:-1], self._folder.settings.currency)
            entry.file, entry.line = number, line
            yield entry
        if faults:
            more = f" {faults - 1} more rows of it are wrong." if faults > 1 else ""
            raise DataError(f"{first}; correct it.{more}")


def _sentence(
    header: Header, place: tuple[str, int], cells: Iterable[object] | BadLine, fault: BadRow
) -> str:
    name, line = place
    at = f"{name}, {where(kind_of(name))} {line}"
    if isinstance(cells, BadLine):
        return f"{at}: found {printable(cells.found)}, expected {cells.expected}"
    cell = dict(zip(header.columns, cells, strict=True)).get(fault.column)
    found = "nothing" if cell is None or cell == "" else shown(cell, _SHOWN)
    return f"{at}, column '{fault.column}': found {found}, expected {fault}"
