"""The rows of a run: the files that submit froze under `raw/`, streamed split by split.

Nothing else is read, and nobody else is asked: where rows may come from is fingpt/runs/freeze.py's, what a row means
the importer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from fingpt.errors import ConfigError
from fingpt.parquet import open_parquet
from fingpt.rows.layout import kind_of, split_of
from fingpt.rows.raw_rows import HINDSIGHT, RawRow, Reject
from fingpt.rows.readers import read_file
from fingpt.runs.raw import fetch_raw
from fingpt.storage import ObjectStore


def read_rows(source: str, store: ObjectStore, scratch: Path) -> Iterator[RawRow | Reject]:
    """All rows of `raw/<hash>` in `store`, in the order train, validation, test; files are copied into `scratch` first.

    Raises MissingInputError when there is nothing, StorageError when its bytes are not those that were frozen,
    DataError when a file is unreadable or lacks a column, ConfigError when `source` is no frozen one.
    """
    if not source.startswith("raw/"):
        raise ConfigError(
            f"Source '{source}' was not frozen; submit the run, which copies its rows."
        )
    for path in fetch_raw(store, source, scratch / "source"):
        yield from noted(path, read_file(path, split_of(path.name)))


def noted(path: Path, rows: Iterator[RawRow | Reject]) -> Iterator[RawRow | Reject]:
    """`rows` of the file `path`, with what its footer says of their answers beside their values."""
    told = _footer(path).get(HINDSIGHT.encode())
    if not told:
        yield from rows
        return
    for row in rows:
        yield row if isinstance(row, Reject) else replace(row, values={**row.values, HINDSIGHT: ""})


def _footer(path: Path) -> Mapping[bytes, bytes]:
    if kind_of(path.name) != "parquet":
        return {}
    try:
        with open_parquet(path, ()) as file:
            return file.schema_arrow.metadata or {}
    except (pa.ArrowException, OSError):  # for `read_file` to say
        return {}
