"""Rows of one file, Parquet, Arrow, JSON lines or CSV, one at a time and at most 1 MiB each; memory stays bounded.

A file that cannot be read at all is a DataError; a row that cannot is a Reject. What a row means is not looked at.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from fingpt.errors import DataError, MissingInputError
from fingpt.parquet import check_footer, open_parquet
from fingpt.rows.encoding import check_encoding, open_text
from fingpt.rows.layout import kind_of
from fingpt.rows.raw_rows import COLUMNS, MAX_ROW_BYTES, RawRow, Reason, Reject, quote

MAX_UNPACKED_BYTES = 4 << 30
"""A table whose columns take more than 4 GiB, unpacked, is refused by its footer, before any of it is read."""

_BATCH_ROWS = 16
_DELIMITERS = ",;\t"
# Excel's own first line, which names the delimiter of those that follow.
_EXCEL_MARKS = tuple(f"sep={each}" for each in _DELIMITERS)
_DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError, KeyError)


def read_file(
    path: Path, split: str, columns: Sequence[str] = COLUMNS, name: str = ""
) -> Iterator[RawRow | Reject]:
    """Rows of a file in file order, with the values of `columns`; messages and rows call the file `name`.

    Raises MissingInputError when there is no such file, DataError when it is of another kind or encoding than its name
    says, is corrupt, or lacks a column (naming it and the columns seen).
    """
    name, kind = name or path.name, kind_of(path.name)
    if not path.is_file():
        raise MissingInputError(f"Source file {path} does not exist.")
    if not kind:
        raise DataError(f"{name} is no file of rows; .parquet, .jsonl, .csv and .arrow are read.")
    if kind == "parquet":
        yield from _read_parquet(path, name, split, columns)
        return
    check_encoding(path, kind, name)
    if kind == "arrow":
        yield from _read_arrow(path, name, split, columns)
    elif kind.startswith("csv"):
        with io.TextIOWrapper(open_text(path, kind), encoding="utf-8", newline="") as text:
            yield from _read_csv(text, name, split, columns)
    else:
        with open_text(path, kind) as file:
            yield from _read_jsonl(file, name, split, columns)


def _read_parquet(
    path: Path, name: str, split: str, columns: Sequence[str]
) -> Iterator[RawRow | Reject]:
    try:
        with open_parquet(path, columns) as file:
            check_columns(file.schema_arrow, name, columns)
            check_footer(file, name, columns)
            _require_bounded(file.metadata, name, columns)
            # A thread for each column would keep memory of its own.
            batches = file.iter_batches(_BATCH_ROWS, columns=list(columns), use_threads=False)
            yield from rows_of_batches(batches, split, name, columns)
        pa.default_memory_pool().release_unused()
    except _DAMAGE as fault:
        raise _unreadable(fault, name, "parquet") from None


def _require_bounded(metadata: Any, name: str, columns: Sequence[str]) -> None:
    size = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            if column.path_in_schema in columns:
                size += max(0, column.total_uncompressed_size)
    if size > MAX_UNPACKED_BYTES:
        raise DataError(
            f"{name} unpacks to {size >> 20} MiB, {MAX_UNPACKED_BYTES >> 20} are allowed; cut it into smaller sources."
        )


def _read_arrow(
    path: Path, name: str, split: str, columns: Sequence[str]
) -> Iterator[RawRow | Reject]:
    """An Arrow file or stream; data sets that were saved to a disk are streams."""
    try:
        with pa.OSFile(str(path)) as file:
            whole = file.read(6) == b"ARROW1"
            file.seek(0)
            if whole:
                reader = pa.ipc.open_file(file)
                batches = map(reader.get_batch, range(reader.num_record_batches))
            else:
                reader = pa.ipc.open_stream(file)
                batches = iter(reader)
            check_columns(reader.schema, name, columns)
            yield from rows_of_batches(map(_validated, batches), split, name, columns)
    except _DAMAGE as fault:
        raise _unreadable(fault, name, "arrow") from None


def _validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    """`batch`, checked throughout: Arrow believes the offsets of a file, and a wrong one ends the process."""
    batch.validate(full=True)
    return batch


def _unreadable(fault: Exception, name: str, kind: str) -> Exception:
    """The error for a damaged file; a file that may not be opened stays what it is."""
    if isinstance(fault, PermissionError):
        return fault
    message = " ".join(str(fault).split())[:120].rstrip(".")
    return DataError(
        f"{name} is not a readable {kind} file ({message}); copy it again, or convert it."
    )


def check_columns(schema: pa.Schema, name: str, columns: Sequence[str] = COLUMNS) -> None:
    """DataError when the table `name` lacks one of `columns` or holds one that is not text."""
    _require_columns(schema.names, name, columns)
    for column in columns:
        kind = schema.field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not _is_text(value):
            raise DataError(f"{name}: column '{column}' holds {kind}, but text is expected.")


def _require_columns(seen: Sequence[str], name: str, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in seen:
            shown = ", ".join(seen[:12])[:200] or "none"
            raise DataError(
                f"{name} has no column '{column}' (columns seen: {shown}); the schema is {', '.join(columns)}."
            )
        if list(seen).count(column) > 1:
            raise DataError(f"{name} has column '{column}' more than once; keep one.")


def _is_text(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def rows_of_batches(
    batches: Iterator[pa.RecordBatch], split: str, name: str, columns: Sequence[str] = COLUMNS
) -> Iterator[RawRow | Reject]:
    """Rows of Arrow record batches whose columns `check_columns` has passed."""
    line = 0
    for batch in batches:
        each = [_buffers(batch.column(column)) for column in columns]
        for values in zip(*each, strict=True):
            line += 1
            size = sum(value.size for value in values if value is not None)
            if size > MAX_ROW_BYTES:
                yield _too_large(split, name, line, size)
            else:
                decoded = {c: _decode(v) for c, v in zip(columns, values, strict=True)}
                yield RawRow(split, name, line, decoded)


def _buffers(column: Any) -> Iterator[pa.Buffer | None]:
    """Values as bytes that are not copied yet, so that one that is not UTF-8, or too large, spoils its own row only."""
    if pa.types.is_null(column.type):
        return iter([None] * len(column))
    if pa.types.is_dictionary(column.type):
        values = column.dictionary
        places = column.indices.to_pylist()
    else:
        values, places = column, range(len(column))
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    return (None if place is None else values[place].as_buffer() for place in places)


def _decode(value: pa.Buffer | None) -> str | bytes | None:
    if value is None:
        return None
    data: bytes = value.to_pybytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _read_csv(
    text: IO[str], name: str, split: str, columns: Sequence[str]
) -> Iterator[RawRow | Reject]:
    """CSV with a header, quoted as spreadsheets and pandas do; `line` counts rows, which may span several lines."""
    csv.field_size_limit(1 << 30)  # a row that is too large is refused below, and reading goes on
    first = text.readline(MAX_ROW_BYTES)
    if first.rstrip("\r\n") in _EXCEL_MARKS:
        first = text.readline(MAX_ROW_BYTES)
    delimiter = max(_DELIMITERS, key=lambda each: len({*columns} & {*_fields(first, each)}))
    header = _fields(first, delimiter)
    _require_columns(header, name, columns)
    places = [header.index(column) for column in columns]
    line = 0
    try:
        for fields in csv.reader(text, delimiter=delimiter, strict=True):
            if not fields:
                continue
            line += 1
            size = sum(len(fields[place].encode()) for place in places if place < len(fields))
            if len(fields) != len(header):
                detail = f"the row has {len(fields)} fields, its header {len(header)}"
                yield Reject(split, name, line, Reason.NOT_CSV, detail)
            elif size > MAX_ROW_BYTES:
                yield _too_large(split, name, line, size)
            else:
                values = dict(zip(columns, (fields[place] for place in places), strict=True))
                yield RawRow(split, name, line, values)
    except csv.Error as fault:
        raise DataError(
            f"{name} is not readable CSV after row {line} ({fault}); fields with quotes or line breaks need quotes "
            'around them, and a quote within is written twice (""), not with a backslash; or bring .parquet or .jsonl.'
        ) from None


def _fields(line: str, delimiter: str) -> list[str]:
    fields = next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
    return [field.strip() for field in fields]


def _read_jsonl(
    file: IO[bytes], name: str, split: str, columns: Sequence[str]
) -> Iterator[RawRow | Reject]:
    line = 0
    while data := file.readline(MAX_ROW_BYTES + 1):
        line += 1
        if len(data) > MAX_ROW_BYTES:
            yield _too_large(split, name, line, len(data) + _skip_line(file, data))
        elif data.strip():
            yield _parse_line((split, name, line), data, columns)


def _skip_line(file: IO[bytes], data: bytes) -> int:
    """Read to the end of a line that is too long; its further bytes."""
    size = 0
    while data and not data.endswith(b"\n"):
        data = file.readline(MAX_ROW_BYTES)
        size += len(data)
    return size


def _parse_line(
    place: tuple[str, str, int], data: bytes, columns: Sequence[str]
) -> RawRow | Reject:
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        shown = quote(data[:60].decode(errors="replace").strip())
        return Reject(*place, Reason.NOT_JSON, f"the line is no JSON: {shown}")
    if not isinstance(values, dict):
        kind = type(values).__name__
        return Reject(*place, Reason.NOT_JSON, f"the line is a {kind}, not an object")
    if not all(_is_utf8(values.get(column)) for column in columns):
        return Reject(*place, Reason.NOT_UTF8, "a text holds half a character")
    return RawRow(*place, values)


def _is_utf8(value: object) -> bool:
    """False for a text with a lone surrogate, which JSON can name but no UTF-8 can hold."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _too_large(split: str, name: str, line: int, size: int) -> Reject:
    return Reject(
        split,
        name,
        line,
        Reason.ROW_TOO_LARGE,
        f"the row has {size} bytes, {MAX_ROW_BYTES} are allowed",
    )
