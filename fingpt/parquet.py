"""Parquet that somebody else may have written: what it announces is checked in its footer, before anything is unpacked.

A footer counts a value that repeats once, so 20 kB may stand for gigabytes: whole columns are read in small batches,
their dictionaries left packed, and counted while they come.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fingpt.errors import DataError

MAX_ROWS = 10_000_000
MAX_COLUMNS = 10_000
MAX_GROUP_BYTES = 1 << 30
"""The largest row group once unpacked, of the columns that are read."""

MAX_VALUES = 10_000_000
MAX_TABLE_BYTES = 256 << 20
"""The largest table that is read as a whole, in values and in bytes of text."""

_BATCH_ROWS = 64


@contextmanager
def open_parquet(source: Path | bytes, columns: Sequence[str]) -> Iterator[pq.ParquetFile]:
    """A Parquet file, closed at the end of the block; texts of `columns` come as dictionaries where they are stored so.

    Raises what pyarrow raises when it is none.
    """

    def plain() -> Path | io.BytesIO:
        return io.BytesIO(source) if isinstance(source, bytes) else source

    with pq.ParquetFile(plain(), memory_map=False, pre_buffer=False) as file:
        packed = [name for name in columns if _is_packed(file, name)]
    with pq.ParquetFile(
        plain(), read_dictionary=packed, memory_map=False, pre_buffer=False
    ) as file:
        yield file


def _is_packed(file: pq.ParquetFile, name: str) -> bool:
    """Whether every chunk of a column is text in a dictionary, which pyarrow can then leave packed."""
    about = file.metadata
    chunks = [
        chunk
        for group in range(about.num_row_groups)
        for number in range(min(about.num_columns, MAX_COLUMNS))
        if (chunk := about.row_group(group).column(number)).path_in_schema == name
    ]
    return bool(chunks) and all(
        chunk.physical_type == "BYTE_ARRAY"
        and "RLE_DICTIONARY" in chunk.encodings
        and not any(encoding.startswith("DELTA") for encoding in chunk.encodings)
        for chunk in chunks
    )


def check_footer(file: pq.ParquetFile, where: str, columns: Sequence[str]) -> int:
    """How many values `columns` have in all; DataError when the footer announces more than is read of any file."""
    about, wanted = file.metadata, set(columns)
    values = 0
    _at_most(about.num_columns, MAX_COLUMNS, where, "columns", "keep those that are needed")
    groups = [about.row_group(number) for number in range(about.num_row_groups)]
    rows = max(about.num_rows, sum(group.num_rows for group in groups))
    _at_most(rows, MAX_ROWS, where, "rows", "split it")
    for group in groups:
        parts = [group.column(number) for number in range(group.num_columns)]
        read = [part for part in parts if part.path_in_schema.partition(".")[0] in wanted]
        values += sum(max(part.num_values, group.num_rows) for part in read)
        _at_most(
            sum(part.total_uncompressed_size for part in read),
            MAX_GROUP_BYTES,
            where,
            "bytes in one row group",
            "write it with smaller row groups",
        )
    return values


def read_columns(
    file: pq.ParquetFile, where: str, columns: Sequence[str]
) -> dict[str, list[object]]:
    """Whole columns as Python values; DataError when they are more than MAX_VALUES or MAX_TABLE_BYTES."""
    values = check_footer(file, where, columns)
    _at_most(values, MAX_VALUES, where, "values", "split it")
    found: dict[str, list[object]] = {name: [] for name in columns}
    size = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns)):
        size += sum(unpacked_bytes(batch.column(name)) for name in columns)
        _at_most(size, MAX_TABLE_BYTES, where, "bytes of text", "split it")
        for name in columns:
            found[name] += batch.column(name).to_pylist()
    return found


def unpacked_bytes(column: pa.Array) -> int:
    """Bytes that an array would have with its dictionary written out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    values = column.dictionary
    if not (pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)):
        values = values.cast(pa.large_binary())
    sizes = pc.take(pc.binary_length(values), column.indices)
    return int(pc.sum(sizes).as_py() or 0)


def _at_most(count: int, limit: int, where: str, what: str, action: str) -> None:
    if not 0 <= count <= limit:
        raise DataError(
            f"{where} announces {count:,} {what} where at most {limit:,} are read; {action}."
        )
