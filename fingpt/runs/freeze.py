"""Freeze a configuration and its rows into the bucket, so that a run is its bytes.

Whatever names the rows (a folder, a file, s3://, hub:), they are copied under `raw/<hash of names and bytes>/` and
named so in the configuration: a run's id depends on the rows and not on where they lay. The hub is never asked here;
rows of the hub are those that a mirror has brought.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import islice
from pathlib import Path

from fingpt import log
from fingpt.config import RunConfig, local_path
from fingpt.errors import DataError, MissingInputError, RunConflictError
from fingpt.record import sha256_bytes, sha256_file, tree_sha256
from fingpt.rows.encoding import MAX_TEXT_BYTES, check_encoding, may_hold_rows
from fingpt.rows.layout import LAYOUTS, Layout, find_layout, kind_of, single_file
from fingpt.runs.raw import read_raw_manifest, store_raw, stored_hub_rows
from fingpt.runs.recent import note_frozen
from fingpt.runs.remedy import mirror_command
from fingpt.runs.run import Run, raw_prefix, run_key
from fingpt.storage import ObjectStore, TooLargeError, open_store
from fingpt.storage.files import translate_os_errors

SAMPLE = Path(__file__).parent.parent / "synthetic" / "sample"
"""Folder of the synthetic rows that the source `sample` names: news tell the next week's direction."""

NOISE = SAMPLE.parent / "noise"
"""Folder of the synthetic rows that the source `noise` names: nothing in them tells anything."""

_SHIPPED = {"sample": SAMPLE, "noise": NOISE}

WAYS = f"a folder with {LAYOUTS}, or such a file; s3://bucket/prefix; hub:owner/name@commit; 'sample' or 'noise'"

_MAX_FILES = 10_000
_DEEPEST = 50  # folders


def freeze(store: ObjectStore, config: RunConfig, images: Mapping[str, str]) -> Run:
    """The run of `config` computed by `images` (stage → image, or the digest of local code), frozen into the store.

    Raises what `freeze_source` and `create_run` raise.
    """
    return create_run(store, Run.of(freeze_source(store, config), dict(images)))


def freeze_source(store: ObjectStore, config: RunConfig) -> RunConfig:
    """`config` with its rows in the bucket, under the name of their bytes.

    Raises MissingInputError when they are not there, DataError when a file is not read or not readable, ConfigError
    when the source has no known form.
    """
    source = config.prep.source
    if source.startswith("raw/"):
        read_raw_manifest(store, source)
        frozen = source.rstrip("/")
    elif source.startswith("hub:"):
        frozen = mirrored(store, source, config.model)
    else:
        with tempfile.TemporaryDirectory(prefix="fingpt-rows-") as scratch:
            frozen = store_raw(store, gather(source, Path(scratch)).files)
    if frozen != source:
        log.event("rows frozen", source=source, frozen=frozen)
    prep = config.prep.model_copy(update={"source": frozen})
    return config.model_copy(update={"prep": prep})


def mirrored(store: ObjectStore, source: str, model: str = "") -> str:
    """`raw/<id>` of hub rows; MissingInputError with the command that brings them, and `model`'s weights with them."""
    rows = stored_hub_rows(store, source)
    if rows is not None:
        return rows.raw
    raise MissingInputError(
        f"The rows of {source} are not in {store.uri}; bring them from the hub, once: "
        f"{mirror_command(store.uri, model, source)}"
    )


class Gathered:
    """Copies of a source's files: `layout` by the source's own names, `files` as (name in the store, path)."""

    def __init__(self, layout: Layout, fetch: Callable[[str], Path], where: str) -> None:
        self.layout = layout
        self.files = [(frozen, fetch(name)) for frozen, name in layout.frozen_names()]
        for (_, name), (_, path) in zip(layout.frozen_names(), self.files, strict=True):
            check_encoding(path, kind_of(name), f"{where}/{name}" if where else name)


@cache
def invented() -> frozenset[str]:
    """`raw/<id>` of the shipped sets, as `freeze_source` names their bytes: rows of companies that do not exist."""
    names = ("train.parquet", "test.parquet")
    return frozenset(
        raw_prefix(tree_sha256((name, sha256_file(folder / name)) for name in names)[:16])
        for folder in _SHIPPED.values()
    )


def gather(source: str, scratch: Path, beside: Path | None = None) -> Gathered:
    """The files of a folder, a file, an s3:// prefix or object, or a shipped set, copied to `scratch`.

    `beside` is a file in the folder that is known to be no source. Raises what `freeze_source` does.
    """
    if source.startswith("s3://"):
        return _gather_remote(source, scratch)
    path = _SHIPPED.get(source) or local_path(source)
    if path.is_file():
        return Gathered(single_file(path.name), _copier(path.parent, scratch), "")
    if not path.is_dir():
        raise MissingInputError(f"Source {path} does not exist; give {WAYS}.")
    with translate_os_errors(path):
        names = [
            name for name in _names_below(path) if not beside or not _same(path / name, beside)
        ]
    return gather_names(names, _copier(path, scratch), str(path))


def gather_names(names: Iterable[str], fetch: Callable[[str], Path], where: str) -> Gathered:
    """Those of `names` that hold rows, brought by `fetch`; messages call their folder `where`."""
    some = list(islice(names, _MAX_FILES + 1))
    if len(some) > _MAX_FILES:
        raise DataError(
            f"Source {where} holds more than {_MAX_FILES} files; name the folder of the rows."
        )
    left_out: list[str] = []

    def holds_rows(name: str) -> bool:
        holds = may_hold_rows(fetch(name), kind_of(name))
        left_out.extend([] if holds else [name])
        return holds

    layout = find_layout(some, where, holds_rows)
    if left_out:
        log.event("answers of a model are no rows", where=where, files=", ".join(left_out))
    return Gathered(layout, fetch, where)


def _gather_remote(source: str, scratch: Path) -> Gathered:
    bucket, *parts = [part for part in source.removeprefix("s3://").split("/") if part] or [""]
    if parts and kind_of(parts[-1]):
        folder = open_store("/".join(["s3:/", bucket, *parts[:-1]]))
        if folder.exists(parts[-1]):
            return Gathered(single_file(parts[-1]), _downloader(folder, scratch), folder.uri)
    store = open_store("/".join(["s3:/", bucket, *parts]))
    names = (key for key in store.keys("") if not key.endswith("/"))
    return gather_names(names, _downloader(store, scratch), store.uri)


def _names_below(folder: Path) -> Iterable[str]:
    """Every file below `folder`, through links too, each folder once."""
    seen = set()
    for place, below, names in os.walk(folder, onerror=_fail, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        if len(Path(place).relative_to(folder).parts) > _DEEPEST:
            raise DataError(
                f"Source {folder} holds folders more than {_DEEPEST} deep; name the folder of the rows."
            )
        yield from (Path(place, name).relative_to(folder).as_posix() for name in names)


def _fail(error: OSError) -> None:
    """A folder that cannot be looked into may hold rows."""
    raise error


def _same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)


def _copier(folder: Path, scratch: Path) -> Callable[[str], Path]:
    """Copies of files of `folder`: what is hashed, checked and stored is one state of each."""

    def fetch(name: str) -> Path:
        copy = _room(scratch, name)
        if not copy.exists():
            with translate_os_errors(folder / name):
                shutil.copyfile(folder / name, copy)
        return copy

    return fetch


def _downloader(store: ObjectStore, scratch: Path) -> Callable[[str], Path]:
    def fetch(name: str) -> Path:
        copy = _room(scratch, name)
        if not copy.exists():
            try:
                store.copy(name, copy, MAX_TEXT_BYTES)
            except TooLargeError:
                raise DataError(
                    f"{store.uri}/{name} has more than {MAX_TEXT_BYTES >> 30} GiB, which no file of rows may have; cut "
                    "it into several."
                ) from None
        return copy

    return fetch


def _room(scratch: Path, name: str) -> Path:
    """A path in `scratch` for a file of any name."""
    folder = scratch / sha256_bytes(name.encode("utf-8", "surrogateescape"))[:16]
    folder.mkdir(exist_ok=True)
    return folder / f"rows.{kind_of(name) or 'unread'}"


def create_run(store: ObjectStore, run: Run) -> Run:
    """Create run.json and return the run as it is frozen: under its longer id where another run has the short one.

    The same bytes there already mean a resume. RunConflictError, naming both hashes, for bytes that are no sound run.
    """
    key, data = run_key(run.id), run.encode()
    if store.create(key, data):
        note_frozen(store, run.id)
        log.event("run created", run=run.id, store=store.uri)
        return run
    there = store.read(key)
    if run.is_encoded_as(there):
        log.event("run exists, resuming", run=run.id, store=store.uri)
        return run
    if run.id != run.longer.id and _is_sound(there):
        log.event("another run has this id, so this one gets a longer one", run=run.id)
        return create_run(store, run.longer)
    raise RunConflictError(
        f"{key} holds another specification (sha256 {sha256_bytes(there)[:12]}, yours {sha256_bytes(data)[:12]}); "
        "nothing was changed: use another store, or remove that run first."
    )


def located(store: ObjectStore, run: Run) -> Run:
    """The run as `create_run` returned it, or would: under its longer id where another run has the short one."""
    try:
        there = store.read(run_key(run.id))
    except MissingInputError:
        return run
    return run.longer if not run.is_encoded_as(there) and _is_sound(there) else run


def _is_sound(data: bytes) -> bool:
    """Whether bytes are a run.json that matches its own hashes."""
    try:
        Run.decode(data)
    except DataError:
        return False
    return True
