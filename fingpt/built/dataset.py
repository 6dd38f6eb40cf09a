"""A built data set in the store: `built/<id>/rows.parquet` and, written last, `built/<id>/manifest.json`.

The id hashes all that the rows rest on: raw data, code, symbols, days, configuration, answers. Nothing is overwritten.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from fingpt.errors import MissingInputError, StorageError
from fingpt.features.config import FeatureConfig
from fingpt.features.model import Facts
from fingpt.features.rows import COLUMNS, Left, Row
from fingpt.reading import read_record
from fingpt.record import FileRef, Frozen, canonical_json, sha256_bytes
from fingpt.rows.raw_rows import HINDSIGHT
from fingpt.sources.policy import UsagePolicy
from fingpt.storage import ObjectStore, put
from fingpt.storage.files import TooLargeError

ROWS = "rows.parquet"
_GROUP_ROWS = 256

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("prompt", "answer", "period", "label", "symbol")),
        ("as_of", pa.string()),
        ("horizon_days", pa.int32()),
        ("facts", pa.string()),
        ("realised_return", pa.float64()),
        ("excess_return", pa.float64()),
        ("available_at_max", pa.string()),
        ("sources", pa.list_(pa.string())),
        ("row_sha256", pa.string()),
    ]
)


class Recipe(Frozen):
    """All that a data set rests on: `code` and `raw` are digests, `answers_sha256` is of a file or of a teacher's
    texts.
    """

    schema_version: int = 1
    code: str
    raw: str
    symbols: tuple[str, ...]
    first: date
    last: date
    features: FeatureConfig
    answers_sha256: str = ""

    @cached_property
    def id(self) -> str:
        """The data set's name: 16 digits of the hash of this record, which knows no path of this machine."""
        answers = self.features.answers.model_copy(update={"file": "", "parallel": 1})
        plain = self.model_copy(
            update={"features": self.features.model_copy(update={"answers": answers})}
        )
        return sha256_bytes(canonical_json(plain))[:16]


class BuiltManifest(Frozen):
    """What a data set is made of and what was left out.

    `left`: symbol weeks without a row, by reason. `degraded`: failed parts of the sources that rows rest on, with
    `degraded_rows` such rows. `hindsight`: the teacher saw the outcome. `findings`: of the leak linter. `rows_sha256`
    hashes the rows' own hashes in order. `policy`: the most restrictive of the sources'.
    """

    schema_version: int = 1
    id: str
    recipe: Recipe
    rows: int
    weeks: int
    labels: Mapping[str, int]
    left: Mapping[str, int]
    sources: tuple[str, ...]
    degraded: Mapping[str, str]
    degraded_rows: int
    hindsight: bool
    policy: UsagePolicy
    warnings: tuple[str, ...]
    findings: tuple[Mapping[str, JsonValue], ...]
    rows_sha256: str
    file: FileRef


def rows_key(built_id: str) -> str:
    """Where the rows of a data set lie."""
    return f"built/{built_id}/{ROWS}"


def manifest_key(built_id: str) -> str:
    """The data set's manifest, written last."""
    return f"built/{built_id}/manifest.json"


def address(store: ObjectStore, built_id: str) -> str:
    """What `make run DATA=` takes: a folder of this machine, or an address in a bucket."""
    uri = urlsplit(store.uri)
    root = unquote(uri.path) if uri.scheme == "file" else store.uri
    return f"{root}/built/{built_id}"


def find_whole(store: ObjectStore, built_id: str) -> BuiltManifest | None:
    """What `find_built` finds, once its rows are the bytes that it names; StorageError when they are not."""
    found = find_built(store, built_id)
    if found is None:
        return None
    with tempfile.TemporaryDirectory(prefix="fingpt-built-") as scratch:
        try:
            stored = store.copy(rows_key(built_id), Path(scratch) / ROWS, found.file.size)
        except (MissingInputError, TooLargeError):
            stored = None
    if stored is None or stored.sha256 != found.file.sha256:
        raise StorageError(
            f"The rows of the data set {built_id} were changed, damaged or removed: {ROWS} is not what its manifest "
            f"names. Delete the folder {address(store, built_id)} and run the same command again."
        )
    return found


def find_built(store: ObjectStore, built_id: str) -> BuiltManifest | None:
    """The manifest of a data set that is there; StorageError when it is damaged."""
    key = manifest_key(built_id)
    if not store.exists(key):
        return None
    found = read_record(
        BuiltManifest, store.read(key), f"{store.uri}/{key}", "remove its folder and build again"
    )
    if found.id != built_id or found.recipe.id != built_id:
        raise StorageError(
            f"{store.uri}/{key} is the manifest of another data set; remove its folder and build again."
        )
    return found


class RowFile:
    """Rows written to a Parquet file as they come, with what is counted on the way; memory holds one row group.

    `hindsight`: whether who wrote the answers knew the outcome; the file's footer then says so, and every report.
    """

    def __init__(self, path: Path, *, hindsight: bool = False) -> None:
        self.path = path
        self.rows = 0
        self.degraded_rows = 0
        self.labels: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.first_left: dict[str, str] = {}
        self.weeks: set[str] = set()
        self.sources: set[str] = set()
        self._digest = hashlib.sha256()
        self._answers = hashlib.sha256()
        self._group: list[Row] = []
        schema = _SCHEMA.with_metadata({HINDSIGHT: "true"}) if hindsight else _SCHEMA
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def take(self, found: Iterable[Row | Left]) -> None:
        """Write the rows among `found`, count the others."""
        for one in found:
            if isinstance(one, Left):
                self.left[one.reason] += 1
                self.first_left.setdefault(one.reason, f"{one.symbol} {one.day}: {one.detail}")
                continue
            self.rows += 1
            self.degraded_rows += '"degraded":{}' not in one.facts
            self.labels[one.label] += 1
            self.weeks.add(one.as_of)
            self.sources.update(one.sources)
            self._digest.update(f"{one.row_sha256}\n".encode())
            self._answers.update(f"{sha256_bytes(one.answer.encode())}\n".encode())
            self._group.append(one)
            if len(self._group) == _GROUP_ROWS:
                self._flush()

    @property
    def rows_sha256(self) -> str:
        """Hash of the hashes of all rows so far, in order."""
        return self._digest.hexdigest()

    @property
    def answers_sha256(self) -> str:
        """The same of their answers alone."""
        return self._answers.hexdigest()

    def _flush(self) -> None:
        if self._group:
            columns = {name: [getattr(row, name) for row in self._group] for name in COLUMNS}
            self._writer.write_table(pa.table(columns, schema=_SCHEMA))
            self._group = []


def facts_of(rows: Path, name: str) -> Facts | None:
    """The facts of the first row that a file of rows has under a `name` such as "AAPL 2024-06-07 to 2024-06-14"."""
    with pq.ParquetFile(rows) as file:
        for batch in file.iter_batches(_GROUP_ROWS, columns=["symbol", "period", "facts"]):
            for row in batch.to_pylist():
                if f"{row['symbol']} {row['period']}" == name:
                    return Facts.model_validate_json(row["facts"])
    return None


def store_built(store: ObjectStore, path: Path, manifest: BuiltManifest) -> None:
    """Store the rows, then the manifest that names them; the same data set there already is fine.

    StorageError when what is there already is damaged.
    """
    find_whole(store, manifest.id)
    store.upload(path, rows_key(manifest.id))
    put(store, manifest_key(manifest.id), canonical_json(manifest))
