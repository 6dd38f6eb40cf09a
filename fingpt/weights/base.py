"""Base weights in the bucket: published by a manifest, downloaded to the cache once and verified by that manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fingpt import log
from fingpt.errors import ConfigError, FingptError, MissingInputError
from fingpt.models import ModelSpec
from fingpt.record import FileRef
from fingpt.runs.manifest import BaseManifest, decode, encode
from fingpt.runs.remedy import base_command
from fingpt.runs.run import base_manifest_key
from fingpt.storage import ObjectStore, download_tree, put

_ABANDONED_SECONDS = 3600.0


def require_origin(spec: ModelSpec, store_uri: str, *, tiny: bool) -> None:
    """ConfigError with the right command unless the weights are made (`tiny`), or else mirrored from the hub."""
    command = base_command(store_uri, spec.key)
    if spec.tiny and not tiny:
        raise ConfigError(
            f"'{spec.key}' is a tiny model, which is made here and is on no hub: {command}"
        )
    if tiny and not spec.tiny:
        raise ConfigError(
            f"'{spec.key}' is no tiny model, its weights come from the hub: {command}"
        )


def publish_base(store: ObjectStore, spec: ModelSpec, files: Sequence[FileRef]) -> BaseManifest:
    """Make the stored `files` under `spec`'s prefix its base weights: the manifest, written last, says so.

    StorageError when another manifest is there.
    """
    ordered = tuple(sorted(files, key=lambda file: file.name))
    manifest = BaseManifest(base=spec.base, revision=spec.revision, files=ordered)
    put(store, base_manifest_key(spec.base_prefix), encode(manifest))
    return manifest


def read_base_manifest(store: ObjectStore, spec: ModelSpec) -> BaseManifest:
    """The manifest of `spec`'s base weights; MissingInputError with the command that brings them into the bucket."""
    key = base_manifest_key(spec.base_prefix)
    if not store.exists(key):
        raise MissingInputError(
            f"Base weights {spec.base}@{spec.revision} are not in {store.uri}; put them there: "
            f"{base_command(store.uri, spec.key)}"
        )
    return decode(BaseManifest, store.read(key), key)


def fetch_base(store: ObjectStore, spec: ModelSpec, cache: Path) -> Path:
    """A local folder with `spec`'s base weights, configuration and tokenizer, every file checked against its sha256.

    The folder is named by the weights' hash, so that two bases never mix; cached files that verify are kept. Partial
    downloads of killed processes are removed: several GB each would fill a cache that outlives its pods.
    """
    manifest = read_base_manifest(store, spec)
    folder = cache / "models" / f"{spec.key}-{manifest.sha256[:16]}"
    _remove_abandoned(folder)
    total = sum(file.size for file in manifest.files)
    with (
        _naming_the_cache(folder),
        log.progress(f"fetch and verify {spec.base}", total) as meter,
    ):
        download_tree(store, spec.base_prefix, manifest.files, folder, meter)
    return folder


@contextmanager
def _naming_the_cache(folder: Path) -> Iterator[None]:
    """Add to an error about a file of `folder` which setting named it: a read-only HOME is usual in pods and CI."""
    try:
        yield
    except FingptError as fault:
        if str(folder) not in str(fault):
            raise
        hint = "It is in the cache of base weights; FINGPT_CACHE names another folder."
        raise type(fault)(f"{fault} {hint}") from None


def _remove_abandoned(folder: Path) -> None:
    """Delete downloads that nobody has written to for an hour; another pod may be busy with a younger one."""
    for part in folder.glob(".*.part*"):
        with suppress(OSError):  # it was finished or removed meanwhile
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
