"""Rows of one file that a person brought, CSV, JSON lines or Parquet, each with the number that an editor shows for it.

What the cells mean is schema.py's; here they come as they are: text of CSV, values of JSON, values of Parquet columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import IO

from fingpt import log
from fingpt.errors import DataError
from fingpt.parquet import open_parquet, read_columns
from fingpt.reading import LINE_BYTES, Loading, Unreadable, parse_object
from fingpt.rows.encoding import check_encoding, open_text
from fingpt.sources.vendors import what_to_check, what_to_rename

KINDS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")
"""What is read, as `rows.layout.kind_of` names it."""

_DELIMITERS = ",;\t"
_FIELD_CHARACTERS = 1 << 26
"""So long a field is read at all: csv's own 131,072 come before its column can say that it is too long."""

_EXCEL_MARKS = tuple(f"sep={each}" for each in _DELIMITERS)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no row at all, and what was expected of it."""

    found: str
    expected: str


Row = tuple[int, Sequence[object] | BadLine]
"""(line, cells in the order of the wanted columns); of Parquet, which has no lines, the number of the row."""


@dataclass(frozen=True, slots=True)
class Header:
    """What columns a file is asked for: those that must be there, and those that may.

    `besides`: read where they are there, and not among the table's own in messages.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    besides: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, required ones first."""
        return self.required + self.optional + self.besides


def read_rows(path: Path, kind: str, name: str, header: Header) -> Iterator[Row]:
    """The rows of a file of that `kind`, which messages call `name`; absent optional columns give None.

    Raises DataError when the file is of another kind or encoding than its name says, is damaged, lacks a required
    column, or has a column that must be a misspelt one.
    """
    check_encoding(path, kind, str(path))  # its messages name commands, which need the path
    if kind == "parquet":
        yield from _parquet_rows(path, name, header)
    elif kind.startswith("csv"):
        with io.TextIOWrapper(open_text(path, kind), encoding="utf-8", newline="") as text:
            yield from _csv_rows(text, name, header)
    else:
        with open_text(path, kind) as file:
            yield from _json_rows(file, name, header)


def where(kind: str) -> str:
    """The word for the number that `read_rows` gives: line, or row in Parquet."""
    return "row" if kind == "parquet" else "line"


def _csv_rows(text: IO[str], name: str, header: Header) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))  # of the whole process
    first, skipped = text.readline(LINE_BYTES), 1
    if first.rstrip("\r\n") in _EXCEL_MARKS:
        first, skipped = text.readline(LINE_BYTES), 2
    if not first:
        raise DataError(
            f"{name} is empty; its first line has to name its columns: {', '.join(header.required)}."
        )
    columns = {*header.columns}
    named = {each: _fields(first.lower(), each) for each in _DELIMITERS}
    delimiter = max(named, key=lambda each: (len(columns & {*named[each]}), len(named[each])))
    names = _named(_fields(first, delimiter), name, header)
    places = [names.index(column) if column in names else -1 for column in header.columns]
    width = len(names)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    before = 0
    try:
        for fields in reader:
            line, before = skipped + before + 1, reader.line_num
            if len(fields) == width:
                yield line, [fields[place] if place >= 0 else None for place in places]
            elif fields:
                comma = " (numbers have a decimal point)" if delimiter == "," else ""
                yield line, BadLine(f"{len(fields)} fields", f"{width}, as in the header{comma}")
    except csv.Error as fault:
        if "field limit" in str(fault):
            raise DataError(
                f"{name}, line {skipped + before + 1}: a field is longer than {csv.field_size_limit():,} characters; "
                "shorten it, or close the quote that opens it."
            ) from None
        raise DataError(
            f"{name}, line {skipped + before + 1}: this is not readable CSV ({fault}); a field with quotes or line "
            'breaks needs quotes around it, and a quote within is written twice ("").'
        ) from None


def _fields(line: str, delimiter: str) -> list[str]:
    fields = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    return [field.strip() for field in fields]


def _json_rows(file: IO[bytes], name: str, header: Header) -> Iterator[Row]:
    columns, line = header.columns, 0
    known, unknown = {*columns}, set[str]()
    while data := file.readline(LINE_BYTES + 1):
        line += 1
        if not data.strip():
            continue
        if len(data) > LINE_BYTES:
            raise DataError(
                f"{name}, line {line} is longer than {LINE_BYTES:,} bytes; one object a line is expected."
            )
        try:
            values = parse_object(data, LINE_BYTES)
        except Unreadable as fault:
            yield line, BadLine(f"a line that {fault}", "one JSON object")
            continue
        if not known.issuperset(values):
            names = _as_known(list(values), header)
            _refuse_repeated(names, name, header)
            values = dict(zip(names, values.values(), strict=True))
            unknown.update(values.keys() - known)
        yield line, [values.get(column) for column in columns]
    for column in sorted(unknown):
        _refuse_misspelt(column, unknown, name, header)


def _parquet_rows(path: Path, name: str, header: Header) -> Iterator[Row]:
    with Loading(name, "copy it again, or convert it"):
        with open_parquet(path, ()) as file:
            seen = list(file.schema_arrow.names)
        names = _named(seen, name, header)
        there = {column: seen[names.index(column)] for column in header.columns if column in names}
        with open_parquet(path, list(there.values())) as file:
            found = read_columns(file, name, list(there.values()))
    count = len(found[there[header.required[0]]])
    empty: list[object] = [None] * count
    columns = [found[there[each]] if each in there else empty for each in header.columns]
    yield from enumerate(zip(*columns, strict=True), start=1)


def _named(seen: Sequence[str], name: str, header: Header) -> list[str]:
    """The columns of a file, those that are known by the header's names; DataError when they are no such table."""
    names = _as_known(seen, header)
    if missing := [column for column in header.required if column not in names]:
        *several, last = [f"'{column}'" for column in missing]
        lacking = f"{', '.join(several)} or {last}" if several else last
        shown = ", ".join(column[:40] for column in seen[:12]) or "none"
        more = f" and {len(seen) - 12} more" if len(seen) > 12 else ""
        mend = what_to_rename(seen, header.required + header.optional, missing)
        raise DataError(
            f"{name} has no column {lacking} (columns seen: {shown}{more}). {mend}{' ' * bool(mend)}Its columns are "
            f"{', '.join(header.required)}, and if you have them {', '.join(header.optional)}."
        )
    _refuse_repeated(names, name, header)
    for column in names:
        if column not in header.columns:
            _refuse_misspelt(column, names, name, header)
    if "close" in header.required and (doubt := what_to_check(seen)):
        log.warning(f"{name} {doubt}.")
    return names


def _as_known(seen: Sequence[str], header: Header) -> list[str]:
    """`seen` with the header's names for columns that differ from them by capitals and blanks at their ends alone."""
    absent = {*header.columns}.difference(seen)
    return [plain if (plain := each.strip().lower()) in absent else each for each in seen]


def _refuse_repeated(names: Sequence[str], name: str, header: Header) -> None:
    plain = [each.strip().lower() for each in names]
    for column in header.columns:
        if plain.count(column) > 1:
            raise DataError(
                f"{name} has column '{column}' more than once (capitals and blanks around it make no other column); "
                "keep one."
            )


def _refuse_misspelt(
    column: str, seen: Sequence[str] | set[str], name: str, header: Header
) -> None:
    """DataError for a column that is not known but nearly is one that the file lacks; any other is left alone."""
    absent = [known for known in header.optional if known not in seen]
    if close := get_close_matches(column.strip().lower(), absent, n=1, cutoff=0.75):
        raise DataError(
            f"{name} has a column '{column[:40]}' that is not known; did you mean '{close[0]}'? Rename it, or "
            "remove it."
        )
