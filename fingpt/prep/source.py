"""The rows of a run: the files that submit froze under `raw/`, streamed split by split.

Nothing else is read, and nobody else is asked: where rows may come from is fingpt/runs/freeze.py's, what a row means
the importer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fingpt.errors import ConfigError
from fingpt.rows.layout import split_of
from fingpt.rows.raw_rows import RawRow, Reject
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
        yield from read_file(path, split_of(path.name))
