"""Rows of one split file, parquet or JSONL, one at a time and at most 1 MiB each; memory stays bounded.

A file that cannot be read at all is a DataError; a row that cannot is a Reject. What a row means is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from fingpt.errors import DataError, MissingInputError
from fingpt.parquet import check_footer, open_parquet
from fingpt.prep.raw_rows import COLUMNS, MAX_ROW_BYTES, RawRow, Reason, Reject, quote

_BATCH_ROWS = 16
_BOM = b"\xef\xbb\xbf"


def read_file(path: Path, split: str) -> Iterator[RawRow | Reject]:
    """Rows of a `.parquet` or `.jsonl` file in file order.

    Raises MissingInputError when there is no such file, DataError when it is no parquet file, is corrupt, or lacks a
    column (naming it and the columns seen).
    """
    if not path.is_file():
        raise MissingInputError(f"Source file {path} does not exist.")
    reader = _read_parquet if path.suffix == ".parquet" else _read_jsonl
    yield from reader(path, split)


def _read_parquet(path: Path, split: str) -> Iterator[RawRow | Reject]:
    try:
        with open_parquet(path, COLUMNS) as file:
            check_columns(file.schema_arrow, path.name)
            check_footer(file, path.name, COLUMNS)
            batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=list(COLUMNS))
            yield from rows_of_batches(batches, split, path.name)
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as fault:
        if isinstance(fault, PermissionError):
            raise
        message = " ".join(str(fault).split())[:120].rstrip(".")
        raise DataError(
            f"{path.name} is not a readable parquet file ({message}); copy it again, or convert it."
        ) from None


def check_columns(schema: pa.Schema, name: str) -> None:
    """DataError when the table `name` lacks a published column or holds one that is not text."""
    seen = ", ".join(schema.names[:12]) or "none"
    for column in COLUMNS:
        if column not in schema.names:
            raise DataError(
                f"{name} has no column '{column}' (columns seen: {seen}); the published schema is {', '.join(COLUMNS)}."
            )
        if schema.names.count(column) > 1:
            raise DataError(f"{name} has column '{column}' more than once; keep one.")
        kind = schema.field(column).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not _is_text(value):
            raise DataError(f"{name}: column '{column}' holds {kind}, but text is expected.")


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
    batches: Iterator[pa.RecordBatch], split: str, name: str
) -> Iterator[RawRow | Reject]:
    """Rows of Arrow record batches whose columns `check_columns` has passed."""
    line = 0
    for batch in batches:
        columns = [_as_bytes(batch.column(column)) for column in COLUMNS]
        for values in zip(*columns, strict=True):
            line += 1
            size = sum(len(value) for value in values if value is not None)
            if size > MAX_ROW_BYTES:
                yield _too_large(split, name, line, size)
            else:
                decoded = {c: _decode(v) for c, v in zip(COLUMNS, values, strict=True)}
                yield RawRow(split, name, line, decoded)


def _as_bytes(column: Any) -> Iterator[bytes | None]:
    """Values as bytes, so that one that is not UTF-8 spoils its own row only."""
    if pa.types.is_dictionary(column.type):
        # One value at a time: written out, a batch of one long value would be many times as large as the file.
        values = column.dictionary.cast(pa.large_binary())
        return (None if i is None else values[i].as_py() for i in column.indices.to_pylist())
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    return (value.as_py() for value in column.cast(pa.large_binary()))


def _decode(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _read_jsonl(path: Path, split: str) -> Iterator[RawRow | Reject]:
    line = 0
    with path.open("rb") as file:
        while data := file.readline(MAX_ROW_BYTES + 1):
            line += 1
            if len(data) > MAX_ROW_BYTES:
                yield _too_large(split, path.name, line, len(data) + _skip_line(file, data))
            elif data.strip():
                yield _parse_line(split, path.name, line, data)


def _skip_line(file: IO[bytes], data: bytes) -> int:
    """Read to the end of a line that is too long; its further bytes."""
    size = 0
    while data and not data.endswith(b"\n"):
        data = file.readline(MAX_ROW_BYTES)
        size += len(data)
    return size


def _parse_line(split: str, name: str, line: int, data: bytes) -> RawRow | Reject:
    try:
        values = json.loads(data.removeprefix(_BOM) if line == 1 else data)
    except UnicodeDecodeError:
        return Reject(split, name, line, Reason.NOT_UTF8, "the line is not UTF-8")
    except (ValueError, RecursionError):
        shown = quote(data[:60].decode(errors="replace").strip())
        return Reject(split, name, line, Reason.NOT_JSON, f"the line is no JSON: {shown}")
    if not isinstance(values, dict):
        kind = type(values).__name__
        return Reject(split, name, line, Reason.NOT_JSON, f"the line is a {kind}, not an object")
    if any(
        isinstance(values.get(column), str) and not _is_utf8(values[column]) for column in COLUMNS
    ):
        return Reject(split, name, line, Reason.NOT_UTF8, "a text holds half a character")
    return RawRow(split, name, line, values)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
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
