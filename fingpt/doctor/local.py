"""Checks on this machine: store, disk, base weights, rows, and an adapter that was made elsewhere.

Probing a store leaves a few objects of some bytes under `probe/`, which prune removes.
`python -m fingpt.doctor.local` probes the store alone: doctor runs it in a pod, with a pod's network and credentials.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fingpt import log
from fingpt.config import Environment, RunConfig, read_environment
from fingpt.doctor.checks import Check, Grade, checked, failed, passed
from fingpt.doctor.power import power_check
from fingpt.errors import FingptError, MissingInputError, PermissionDeniedError
from fingpt.models import ModelSpec, spec
from fingpt.runs.freeze import gather, mirrored
from fingpt.runs.raw import moves, parse_hub, read_hub_rows, read_raw_manifest
from fingpt.runs.remedy import base_command
from fingpt.runs.stage import guarded
from fingpt.storage import ObjectStore, open_store, probe
from fingpt.storage.files import free_bytes
from fingpt.weights.base import read_base_manifest

SCRATCH_BYTES = 2 << 30
"""Free space that a stage's temporary files need."""

BASE_BYTES = 17 << 30
"""The size of base weights of eight billion parameters."""


def local_checks(
    store: ObjectStore, config: RunConfig, environment: Environment
) -> Iterator[Check]:
    """All checks of this machine; those that need the store are left out where it fails."""
    store_check = checked(
        "store",
        f"{store.uri}: readable, writable, exactly one of several writers wins",
        lambda: probe(store),
    )
    yield store_check
    model = spec(config.model)
    if store_check.grade is Grade.OK:
        yield base_check(store, model, environment)
        rows = rows_check(store, config)
        yield rows
        if rows.grade is Grade.OK:
            yield power_check(store, config)
        if config.eval.adapter:
            yield adapter_check(store, config, environment)
    yield disk_check("disk for temporary files", Path(tempfile.gettempdir()), SCRATCH_BYTES)
    needed = 64 << 20 if model.tiny else BASE_BYTES
    yield disk_check("disk for base weights", environment.cache, needed)


def base_check(store: ObjectStore, model: ModelSpec, environment: Environment) -> Check:
    """Whether the base weights are in the store; where they are not, whether the hub would give them."""
    name = f"base weights of {model.key}"
    try:
        manifest = read_base_manifest(store, model)
    except MissingInputError as fault:
        if model.tiny:
            return Check(name, Grade.WARN, "not in the store yet", "make run makes them by itself")
        return _from_hub(name, model, environment, store.uri, fault)
    except FingptError as fault:
        return failed(name, fault)
    gone = [
        file.name for file in manifest.files if not store.exists(f"{model.base_prefix}/{file.name}")
    ]
    if gone:
        return failed(
            name,
            MissingInputError(
                f"The manifest names {gone[0]}, which is gone; bring it again: {base_command(store.uri, model.key)}"
            ),
        )
    size = sum(file.size for file in manifest.files)
    return passed(name, f"{len(manifest.files)} files, {size / 1e9:.1f} GB, in the store")


def _from_hub(
    name: str,
    model: ModelSpec,
    environment: Environment,
    store_uri: str,
    missing: MissingInputError,
) -> Check:
    from fingpt.weights.hub import Hub

    try:
        Hub(environment.hub_token).files(model)
    except PermissionDeniedError as fault:
        return failed(name, fault)
    except FingptError as fault:
        message = f"{str(missing).rstrip('.')}. The hub cannot be asked from here: {fault}"
        return Check(name, Grade.FAIL, message, code=MissingInputError.exit_code)
    return Check(
        name,
        Grade.FAIL,
        "not in the store; the hub would give them",
        base_command(store_uri, model.key),
        MissingInputError.exit_code,
    )


def rows_check(store: ObjectStore, config: RunConfig) -> Check:
    """Whether the configuration's rows are there and would be taken, looked at as submit does.

    Rows of the hub by the name of a branch or a tag are a warning: another store's mirror may bring other ones.
    """
    name, source = "rows", config.prep.source
    try:
        if source.startswith("hub:"):
            return _mirrored_check(name, store, config)
        if source.startswith("raw/"):
            names = [file.name for file in read_raw_manifest(store, source).files]
            return passed(name, f"{source} is in the store: {', '.join(names)}")
        with tempfile.TemporaryDirectory(prefix="fingpt-rows-") as scratch:
            layout = gather(source, Path(scratch)).layout
    except FingptError as fault:
        return failed(name, fault)
    return passed(name, f"{source}: {', '.join(found for _, found in layout.frozen_names())}")


def _mirrored_check(name: str, store: ObjectStore, config: RunConfig) -> Check:
    source = config.prep.source
    moving = moves(source)
    try:
        raw = mirrored(store, source, config.model)
    except MissingInputError as fault:
        hint = f"'{parse_hub(source)[1]}' moves; name a commit to have the same rows in any store"
        return Check(name, Grade.FAIL, str(fault), hint if moving else "", fault.exit_code)
    names = [file.name for file in read_raw_manifest(store, raw).files]
    message = f"{source} is in the store as {raw}: {', '.join(names)}"
    rows = read_hub_rows(store, source)
    if not moving or rows is None:
        return passed(name, message)
    return Check(
        name,
        Grade.WARN,
        f"{message}; '{parse_hub(source)[1]}' moves, here it means commit {rows.commit}",
        f"to have these rows in any store, DATA={rows.pinned}",
    )


def adapter_check(store: ObjectStore, config: RunConfig, environment: Environment) -> Check:
    """Whether an adapter that was made elsewhere is there and fits the model, looked at as submit does."""
    from fingpt.eval.foreign import hub_fetcher, look_at_adapter

    name = "adapter"
    try:
        found = look_at_adapter(store, config, hub_fetcher(environment.hub_token))
    except FingptError as fault:
        return failed(name, fault)
    if found is None:
        return passed(name, "none from elsewhere")
    size = sum(file.size for file in found.files)
    return passed(
        name,
        f"{config.eval.adapter}: {size / 1e6:.1f} MB, rank {found.lora.r} on {', '.join(found.lora.targets)} of "
        f"{found.base}@{found.revision}",
    )


def disk_check(name: str, path: Path, needed: int) -> Check:
    """Whether `needed` bytes are free where `path` is, or would be."""
    try:
        free = free_bytes(path)
        total = shutil.disk_usage(next(each for each in (path, *path.parents) if each.exists()))
    except OSError as fault:
        return Check(name, Grade.WARN, f"{path} cannot be read: {fault.strerror}")
    message = f"{free / 1e9:.1f} of {total.total / 1e9:.1f} GB free for {path}"
    if free >= needed:
        return passed(name, message)
    return Check(
        name,
        Grade.WARN,
        f"{message}, {needed / 1e9:.1f} GB are wanted",
        "free some, or point TMPDIR or FINGPT_CACHE elsewhere; a cluster's pods have their own",
    )


def main() -> int:
    """Probe the store that this process's environment names, with its credentials; returns the exit code."""
    log.setup()
    return guarded(lambda: probe(open_store(read_environment().store)))


if __name__ == "__main__":
    sys.exit(main())
