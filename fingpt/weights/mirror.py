"""Base weights from the hub into the store, once: the files a stage needs, verified, one at a time, the manifest last.

Only data is taken: JSON settings without a word that loads code, a fast tokenizer and safetensors; never .bin, .pt or
.py. A file is removed from the scratch folder once it is in the store, so disk space for the largest file is enough. A
repeated command resumes after the last file that is in the store and verifies. The hub's client is in hub.py.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fingpt import log
from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.models import ModelSpec
from fingpt.reading import Unreadable, parse_json
from fingpt.record import FileRef
from fingpt.runs.manifest import BaseManifest
from fingpt.runs.run import base_manifest_key
from fingpt.storage import ObjectStore
from fingpt.storage.files import require_space, translate_os_errors
from fingpt.weights.base import publish_base, read_base_manifest, require_origin
from fingpt.weights.contents import (
    CHECKS,
    INDEX,
    OPTIONAL,
    REQUIRED,
    TOKENIZER_BYTES,
    WEIGHTS,
    check_settings,
    shards,
)
from fingpt.weights.hub import Hub, HubFile, verify


def mirror(store: ObjectStore, spec: ModelSpec, hub: Hub) -> BaseManifest:
    """Bring `spec`'s base weights into `store` unless their manifest is there.

    Raises ConfigError for a tiny model, MissingInputError when the hub lacks the repository, the commit or a file that
    is needed, DataError when a setting is not allowed, StorageError when bytes differ, NoSpaceError when the disk is
    full, and what Hub and ObjectStore raise. Files that are in the store by then stay for the next call.
    """
    require_origin(spec, store.uri, tiny=False)
    if store.exists(base_manifest_key(spec.base_prefix)):
        manifest = read_base_manifest(store, spec)
        log.event(
            "base weights already in the store",
            model=spec.key,
            store=store.uri,
            sha256=manifest.sha256,
        )
        return manifest
    listing = hub.files(spec)
    absent = [name for name in REQUIRED if name not in listing]
    if absent or not {INDEX, WEIGHTS} & set(listing):
        raise MissingInputError(
            f"{spec.base}@{spec.revision} has no {' and no '.join(absent) or 'safetensors weights'} on the hub, so it "
            "cannot be mirrored; only safetensors and a fast tokenizer are taken."
        )
    with tempfile.TemporaryDirectory(prefix="fingpt-mirror-") as scratch:
        files = _FileMirror(store, spec, hub, Path(scratch))
        # The settings first: they are small, and whatever is wrong with access or content shows before the weights.
        settings = [listing[name] for name in (*REQUIRED, *OPTIONAL) if name in listing]
        refs = files.mirror(settings, f"mirror settings of {spec.base}")
        weights = [listing[name] for name in shards(files.index, listing)]
        refs += files.mirror(weights, f"mirror weights of {spec.base}")
    manifest = publish_base(store, spec, refs)
    log.event("base weights stored", model=spec.key, store=store.uri, sha256=manifest.sha256)
    return manifest


class _FileMirror:
    """Copies files from the hub to the store, one at a time through the scratch folder."""

    def __init__(self, store: ObjectStore, spec: ModelSpec, hub: Hub, scratch: Path) -> None:
        self._store, self._spec, self._hub, self._scratch = store, spec, hub, scratch
        self.index: Any = None  # the index of the shards, once it was mirrored

    def mirror(self, files: Sequence[HubFile], what: str) -> list[FileRef]:
        with log.progress(what, sum(file.size for file in files)) as meter:
            return [self._mirror_one(file, meter) for file in files]

    def _mirror_one(self, file: HubFile, meter: log.Meter) -> FileRef:
        start = time.monotonic()
        key = f"{self._spec.base_prefix}/{file.name}"
        path = self._scratch / file.name
        with translate_os_errors(path, file.size):
            try:
                there = self._store.exists(key)
                if there:
                    sha256 = self._verify_stored(key, path, file)
                    meter.advance(file.size)
                else:
                    sha256 = self._hub.download(self._spec, file, self._scratch, meter)
                self._check(path)
                if not there:
                    self._store.upload(path, key)
            finally:
                path.unlink(missing_ok=True)
        done = "file already in the store" if there else "file stored"
        log.event(done, file=file.name, size=file.size, seconds=round(time.monotonic() - start, 1))
        return FileRef(name=file.name, size=file.size, sha256=sha256)

    def _verify_stored(self, key: str, path: Path, file: HubFile) -> str:
        """The sha256 of a file that an earlier call stored, from its bytes: it may be incomplete."""
        require_space(path, file.size)
        if file.sha256:
            self._store.download(key, path, file.sha256)
            return file.sha256
        path.write_bytes(self._store.read(key, max(file.size, 1)))
        try:
            return verify(path, file)
        except StorageError:
            raise StorageError(
                f"{self._store.uri}/{key} holds other bytes than the hub announces; objects are never overwritten: "
                "find out who wrote it, remove it and run the same command again."
            ) from None

    def _check(self, path: Path) -> None:
        if path.suffix != ".json":
            return
        try:
            content = parse_json(path.read_bytes(), TOKENIZER_BYTES)
        except Unreadable as unreadable:
            raise self._refused(path.name, str(unreadable)) from None
        fault = CHECKS.get(path.name, check_settings)(content)
        if fault:
            raise self._refused(path.name, fault)
        if path.name == INDEX:
            self.index = content

    def _refused(self, name: str, fault: str) -> DataError:
        return DataError(
            f"{name} of {self._spec.base}@{self._spec.revision} {fault}; only data of a plain Llama is "
            "mirrored, look at the repository before pinning it."
        )
