"""Frozen rows: source files under `raw/<hash of names and bytes>/`, and the records that say which hub rows lie where.

`raw/<id>/manifest.json` names the files and is written last; the id is the hash of their names and hashes.
`sources/hub/<owner>/<name>@<revision>.json` is created once by a mirror: a revision means what it meant then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fingpt.errors import ConfigError, MissingInputError, StorageError
from fingpt.record import FileRef, Frozen, sha256_file, tree_sha256
from fingpt.rows.layout import SPLITS
from fingpt.runs.manifest import SCHEMA_VERSION, decode, encode
from fingpt.runs.run import raw_prefix
from fingpt.storage import ObjectStore, put

HUB_RECORDS = "sources/hub/"
"""Where the records of mirrored hub rows lie."""

_RAW = re.compile(r"raw/([0-9a-f]{16})/?")
_HUB = re.compile(r"(?!.*\.\.)hub:([\w.-]+/[\w.-]+?)(?:@([\w.-]+(?:/[\w.-]+)*))?")
_PINNED = re.compile(r"([0-9a-f]{40})(?:/(.+))?")
_NAME = re.compile(
    rf"({'|'.join(SPLITS)})(-\d{{5}}-of-\d{{5}})?\.(parquet|arrow|jsonl|jsonl\.gz|csv|csv\.gz)"
)


class RawManifest(Frozen):
    """The files of one frozen source, in reading order."""

    schema_version: int = SCHEMA_VERSION
    files: tuple[FileRef, ...]

    @property
    def id(self) -> str:
        """Hash of names and bytes: equal rows have one id, wherever they lay."""
        return tree_sha256((file.name, file.sha256) for file in self.files)[:16]


class HubRows(Frozen):
    """Rows that a mirror brought: `source` as it was asked for, its `commit`, `raw/<id>`, the files on the hub."""

    schema_version: int = SCHEMA_VERSION
    source: str
    commit: str
    raw: str
    files: tuple[FileRef, ...]

    @property
    def pinned(self) -> str:
        """The source that means these rows in every store: by their commit."""
        name, revision = parse_hub(self.source)
        _, folder = split_revision(revision)
        return f"hub:{name}@{self.commit}{folder and f'/{folder}'}"


def raw_manifest_key(prefix: str) -> str:
    """The record of frozen source files, written last; `prefix` is `raw/<id>`."""
    return f"{prefix.rstrip('/')}/manifest.json"


def store_raw(store: ObjectStore, files: Sequence[tuple[str, Path]]) -> str:
    """Store files, given as (name as `Layout.frozen_names` makes it, path), and return `raw/<id>`.

    The paths must be copies that nobody changes. Raises what ObjectStore does.
    """
    refs = tuple(
        FileRef(name=name, size=path.stat().st_size, sha256=sha256_file(path))
        for name, path in files
    )
    manifest = RawManifest(files=refs)
    prefix = raw_prefix(manifest.id)
    for name, path in files:
        store.upload(path, f"{prefix}/{name}")
    put(store, raw_manifest_key(prefix), encode(manifest))
    return prefix


def fetch_raw(store: ObjectStore, source: str, folder: Path) -> list[Path]:
    """The verified files of `raw/<id>` in `folder`, in reading order.

    Raises ConfigError when `source` is no such name, MissingInputError when it is not in the store, StorageError when
    its files are not those that were frozen.
    """
    paths = []
    for file in read_raw_manifest(store, source).files:
        paths.append(folder / file.name)
        store.download(f"{source.rstrip('/')}/{file.name}", paths[-1], file.sha256)
    return paths


def read_raw_manifest(store: ObjectStore, source: str) -> RawManifest:
    """What `raw/<id>` holds; raises what `fetch_raw` does."""
    match = _RAW.fullmatch(source)
    if match is None:
        raise ConfigError(
            f"Source '{source}' is not 'raw/<16 hex digits>'; give the rows themselves."
        )
    key = raw_manifest_key(raw_prefix(match[1]))
    if not store.exists(key):
        raise MissingInputError(
            f"The frozen rows {source} are not in {store.uri}; submit from the rows themselves."
        )
    data = store.read(key)
    manifest = decode(RawManifest, data, key)
    named = all(_NAME.fullmatch(file.name) for file in manifest.files)
    if manifest.id != match[1] or encode(manifest) != data or not named:
        raise StorageError(
            f"{store.uri}/{key} does not hash to its folder's name: it was changed after the rows were frozen; restore "
            "it, or remove the folder and submit from the rows themselves."
        )
    return manifest


def parse_hub(source: str) -> tuple[str, str]:
    """(owner/name, revision) of `hub:owner/name@revision`; no revision means main. ConfigError otherwise.

    A commit may be followed by a folder of the repository: `hub:owner/name@<40 hex digits>/folder`.
    """
    match = _HUB.fullmatch(source.rstrip("/"))
    if match is None:
        raise ConfigError(
            f"Source '{source}' is not 'hub:owner/name@revision', nor 'hub:owner/name@commit/folder'."
        )
    return match[1], match[2] or "main"


def split_revision(revision: str) -> tuple[str, str]:
    """(revision, folder) of what `parse_hub` calls a revision; the folder is empty unless one follows a commit."""
    match = _PINNED.fullmatch(revision)
    return (match[1], match[2] or "") if match else (revision, "")


def moves(source: str) -> bool:
    """Whether hub rows are named by a branch or a tag, which can mean other rows tomorrow."""
    return not _PINNED.fullmatch(parse_hub(source)[1])


def hub_key(name: str, revision: str) -> str:
    """The record of rows that were mirrored from the hub."""
    return f"{HUB_RECORDS}{name}@{revision}.json"


def read_hub_rows(store: ObjectStore, source: str) -> HubRows | None:
    """What a mirror recorded for `hub:owner/name@revision`; None when there is no record."""
    key = hub_key(*parse_hub(source))
    return decode(HubRows, store.read(key), key) if store.exists(key) else None


def stored_hub_rows(store: ObjectStore, source: str) -> HubRows | None:
    """The record of `source` where its files are there as well; None when a mirror has to bring them."""
    rows = read_hub_rows(store, source)
    return rows if rows and store.exists(raw_manifest_key(rows.raw)) else None


def mirrored_raw(store: ObjectStore) -> Iterator[str]:
    """`raw/<id>` of everything that was mirrored, for clean-up."""
    for key in store.keys(HUB_RECORDS):
        yield decode(HubRows, store.read(key), key).raw
