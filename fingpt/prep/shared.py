"""One prep for all runs that would make the same data set: the first makes it, the others take it over.

What decides a data set (rows, rules, code, and what its page shows of a model) names a create-only note, in which the
first run signs. Nothing depends on it but time: a run whose forerunner has failed, vanished or fallen silent does the
work itself, and gets the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from fingpt import log
from fingpt.errors import DataError, StorageError
from fingpt.reading import read_record
from fingpt.record import Frozen, canonical_json, sha256_bytes
from fingpt.runs.manifest import PrepManifest
from fingpt.runs.run import Run, Stage, dataset_manifest_key, run_key, shared_prep_key
from fingpt.runs.stage import Context, finished, load_run
from fingpt.runs.state import attempts

_POLL_SECONDS = 2.0


class Signature(Frozen):
    """The run that came first."""

    run: str


def taken_over(ctx: Context, sleep: Callable[[float], None] = time.sleep) -> PrepManifest | None:
    """This run's manifest for the data set that another run made; None when this run is to make it.

    Waits while the other one is at work. Raises what the store raises, and FencedError.
    """
    first = _first_run(ctx)
    if first is None:
        return None
    started, told = time.monotonic(), False
    while (made := _made_by(ctx, first)) is None:
        if not _is_at_work(ctx, first):
            return None
        if not told:
            log.event("another run is preparing the same data set, waiting for it", run=first.id)
            told = True
        sleep(_POLL_SECONDS)
        ctx.attempt.check()
    return _own(ctx, first, made, time.monotonic() - started)


def taken_from(ctx: Context, first: Run) -> PrepManifest | None:
    """This run's manifest for the data set that `first`, a run with the same prep, has made; None when it is not there.

    For machines that cannot make one themselves: nothing is waited for, and no library of prep is needed.
    """
    made = _made_by(ctx, first)
    return None if made is None else _own(ctx, first, made, 0.0)


def _own(ctx: Context, first: Run, made: PrepManifest, seconds: float) -> PrepManifest:
    """The other run's manifest in this run's name."""
    log.event("data set taken over", run=first.id, id=made.dataset)
    return made.model_copy(
        update={**ctx.identity(), "seconds": {"taken_over": round(seconds, 3)}},
    )


def _first_run(ctx: Context) -> Run | None:
    """The other run that signed first; None when it is this one, or cannot be read."""
    key = shared_prep_key(_what_decides(ctx.run))
    if ctx.store.create(key, canonical_json(Signature(run=ctx.run.id))):
        return None
    try:
        name = read_record(Signature, ctx.store.read(key), key, "it is left alone").run
        if name == ctx.run.id or not ctx.store.exists(run_key(name)):
            return None
        return load_run(ctx.store, name)
    except (StorageError, DataError):
        return None


def _what_decides(run: Run) -> str:
    """Hash of all that a data set, its findings and its page follow from."""
    config = run.config
    seed = config.seed if config.prep.allow_leaky_split else None  # only a random split is drawn
    parts = [config.prep.model_dump(mode="json"), config.model, config.train.max_tokens, seed]
    return sha256_bytes(canonical_json([*parts, run.images.get(Stage.PREP, "")]))[:32]


def _made_by(ctx: Context, first: Run) -> PrepManifest | None:
    """The other run's manifest, when its data set is there and is the one that it names."""
    manifest = _complete(ctx, first)
    if manifest is None:
        return None
    key = dataset_manifest_key(manifest.dataset)
    there = ctx.store.exists(key) and sha256_bytes(ctx.store.read(key))
    return manifest if there == manifest.dataset_sha256 else None


def _complete(ctx: Context, first: Run) -> PrepManifest | None:
    """The other run's manifest; a damaged one is that run's concern."""
    try:
        manifest = finished(ctx.store, first, Stage.PREP)
    except StorageError:
        return None
    return manifest if isinstance(manifest, PrepManifest) else None


def _is_at_work(ctx: Context, first: Run) -> bool:
    last = next(reversed(attempts(ctx.store, first.id, Stage.PREP)), None)
    if last is None or _complete(ctx, first) is not None:
        return False
    return last.state(datetime.now(UTC)) == "working"
