"""Where raw rows come from: a local file or folder, a prefix of the bucket, another bucket, or the hub.

Finds the split files (`train`, `validation`, `test` as `.parquet` or `.jsonl`) and streams their rows; what a row means
is the importer's; nothing is written but copies in the scratch folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError, TransientError
from fingpt.prep.raw_rows import COLUMNS, RawRow, Reject
from fingpt.prep.readers import check_columns, read_file, rows_of_batches
from fingpt.record import sha256_file, tree_sha256
from fingpt.runs.freeze import SAMPLE
from fingpt.runs.run import SOURCE_FILES, SPLITS
from fingpt.storage import ObjectStore, open_store

_RAW = re.compile(r"raw/([0-9a-f]{16})/?")
_HUB = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_WAYS = (
    "a folder with train.parquet and test.parquet (or .jsonl), one such file, raw/<hash>, s3://bucket/prefix, "
    "hub:owner/name@revision, or 'sample'"
)


def read_rows(source: str, store: ObjectStore, scratch: Path) -> Iterator[RawRow | Reject]:
    """All rows of `source`, split by split in the order train, validation, test.

    `raw/…` lies in `store`; objects and hub files are copied into `scratch` first. Raises MissingInputError when there
    is nothing, DataError when a file is unreadable or lacks a column, TransientError when the hub does not answer,
    ConfigError when `source` has no known form.
    """
    if source.startswith("hub:"):
        return _read_hub(source, scratch)
    if source.startswith("raw/"):
        return _read_files(_frozen_files(source, store, scratch))
    if source.startswith("s3://"):
        return _read_files(_remote_files(source, scratch))
    return _read_files(_local_files(SAMPLE if source == "sample" else Path(source).expanduser()))


def _read_files(files: list[Path]) -> Iterator[RawRow | Reject]:
    """Rows of split files; a single file of another name counts as train, so that its weeks decide the split."""
    for path in files:
        yield from read_file(path, path.stem if path.stem in SPLITS else "train")


def _local_files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix not in (".parquet", ".jsonl"):
            raise MissingInputError(f"Source {path} is neither .parquet nor .jsonl; give {_WAYS}.")
        return [path]
    if not path.is_dir():
        raise MissingInputError(f"Source {path} does not exist; give {_WAYS}.")
    files = [path / name for name in SOURCE_FILES if (path / name).is_file()]
    if not files:
        seen = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise MissingInputError(
            f"Source folder {path} holds no split file, only {seen}; give {_WAYS}."
        )
    return files


def _frozen_files(source: str, store: ObjectStore, scratch: Path) -> list[Path]:
    """Files that submit froze: their names and bytes must hash to the prefix they lie under."""
    match = _RAW.fullmatch(source)
    if match is None:
        raise ConfigError(
            f"Source '{source}' is not 'raw/<16 hex digits>'; submit the local path instead."
        )
    keys = [f"raw/{match[1]}/{name}" for name in SOURCE_FILES]
    files = _fetch(store, keys, scratch)
    found = tree_sha256((path.name, sha256_file(path)) for path in files)[:16]
    if found != match[1]:
        raise StorageError(
            f"{source} in {store.uri} hashes to {found}: a source file was changed, added or removed after it was "
            "frozen; submit the run again from the original files."
        )
    return files


def _remote_files(source: str, scratch: Path) -> list[Path]:
    prefix, _, name = source.rpartition("/")
    if name.endswith((".parquet", ".jsonl")):
        return _fetch(open_store(prefix), [name], scratch)
    return _fetch(open_store(source.rstrip("/")), list(SOURCE_FILES), scratch)


def _fetch(store: ObjectStore, keys: list[str], scratch: Path) -> list[Path]:
    """Copy those of `keys` that are in `store` into the scratch folder."""
    folder = scratch / "source"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for key in keys:
        if store.exists(key):
            files.append(folder / key.rpartition("/")[2])
            files[-1].write_bytes(store.read(key))
    if not files:
        looked = keys[0].rpartition("/")[0]
        raise MissingInputError(
            f"There is no split file under '{looked}' of {store.uri}; give {_WAYS}."
        )
    return files


def _read_hub(source: str, scratch: Path) -> Iterator[RawRow | Reject]:
    match = _HUB.fullmatch(source)
    if match is None:
        raise ConfigError(f"Source '{source}' is not 'hub:owner/name@revision'.")
    tables = _load_hub(match[1], match[2], scratch)
    names = [split for split in SPLITS if split in tables]
    if not names:
        raise DataError(f"{source} has the splits {', '.join(tables)}; 'train' is expected.")
    for split in names:
        table = tables[split]
        check_columns(table.features.arrow_schema, f"{source} ({split})")
        arrow = table.select_columns(list(COLUMNS)).with_format("arrow")
        batches = (b for part in arrow.iter(batch_size=16) for b in part.to_batches())
        yield from rows_of_batches(batches, split, f"hub-{split}")


def _load_hub(name: str, revision: str | None, scratch: Path) -> Any:
    import datasets
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    datasets.disable_progress_bars()
    at = f"{name}@{revision or 'main'}"
    try:
        return datasets.load_dataset(name, revision=revision, cache_dir=str(scratch / "hub"))
    except DatasetNotFoundError:
        raise MissingInputError(
            f"The hub has no data set {at} that this account may read; check name, revision and access."
        ) from None
    except (ConnectionError, TimeoutError) as fault:
        raise TransientError(
            f"The hub cannot be reached for {at} ({str(fault)[:120]}); repeat the command, or give a local folder."
        ) from None
    except (DatasetsError, ValueError) as fault:
        raise DataError(f"{at} cannot be read: {' '.join(str(fault).split())[:160]}") from None
