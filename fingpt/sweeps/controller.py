"""The controller: prepares each model once, searches, chooses, trains the finals, and completes the sweep.

It holds no state: all of it is in the bucket, and each step finds there what is done. Where the work is done is a
`Place`: this machine (local.py), or a cluster (cluster.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from fingpt import log
from fingpt.errors import StorageError
from fingpt.record import sha256_bytes, tree_sha256
from fingpt.runs.freeze import located
from fingpt.runs.run import Run
from fingpt.storage import ObjectStore
from fingpt.sweeps.claim import controlling
from fingpt.sweeps.finals import choose, leader, train_finals
from fingpt.sweeps.plan import plan
from fingpt.sweeps.pool import Workers
from fingpt.sweeps.records import (
    Choice,
    Finals,
    SweepManifest,
    Tell,
    ask_key,
    complete_key,
    sweep_prefix,
    write,
)
from fingpt.sweeps.sweep import Sweep, completed, trial_run
from fingpt.sweeps.trials import ask_of
from fingpt.sweeps.verify import is_sound, numbered_records, single_records


class Place(Protocol):
    """Where a sweep is carried out; errors are those of fingpt/errors.py."""

    @property
    def workers(self) -> Workers:
        """Who carries out runs there."""

    def prepare(self, leader: Run) -> None:
        """Have the base weights of the run's model in the bucket, and the prep of the run complete."""

    def search(self, sweep: Sweep, model: str) -> tuple[Tell, ...]:
        """Carry out the plan of a grid or random search of one model; tells in number order."""


def carry_out_alone(sweep: Sweep, store: ObjectStore, place: Place) -> SweepManifest:
    """`carry_out` as the sweep's only controller; FencedError where another one is at work, or takes over."""
    if store.exists(complete_key(sweep.id)):
        return carry_out(sweep, store, place)
    with controlling(store, sweep.id) as check:
        return carry_out(sweep, store, place, check)


def carry_out(
    sweep: Sweep, store: ObjectStore, place: Place, check: Callable[[], None] = lambda: None
) -> SweepManifest:
    """Carry out a frozen sweep to its end; whatever is done already is left as it is.

    Of a sweep that is complete all records are hashed anew: those that are gone are made again, StorageError names the
    first that is damaged. `check` is called before each part, and raises where this controller is to stop.
    """
    there = completed(store, sweep)
    if there is not None and is_sound(store, sweep, there):
        log.event("sweep is complete, nothing to do", sweep=sweep.id)
        return there
    for note in sweep.notes:
        log.event(note)
    tells: dict[str, tuple[Tell, ...]] = {}
    choices: dict[str, Choice] = {}
    for model in sweep.bases:
        check()
        log.event("searching", sweep=sweep.id, model=model, trials=sweep.definition.count)
        place.prepare(leader(sweep, model))
        tells[model] = _search(sweep, model, store, place)
        check()
        choices[model] = choose(store, sweep, model, tells[model])
    finals = train_finals(store, sweep, choices, place.workers)
    check()
    _remake_asks(store, sweep)
    manifest = _complete(store, sweep, tells, choices, finals)
    if there is not None and not _is_mended(store, sweep, manifest):
        raise StorageError(
            f"Records of sweep {sweep.id} that were made again are not those that it ended with; delete "
            f"{complete_key(sweep.id)}, and give the same command again: it ends with those that are there now."
        )
    return manifest


def _is_mended(store: ObjectStore, sweep: Sweep, manifest: SweepManifest) -> bool:
    try:
        return is_sound(store, sweep, manifest)
    except StorageError:
        return False


def _remake_asks(store: ObjectStore, sweep: Sweep) -> None:
    """Asks of a plan that somebody has deleted: a trial that was told is not begun again."""
    if sweep.definition.method == "tpe":
        return
    there = set(store.keys(f"{sweep_prefix(sweep.id)}/"))
    for model in sweep.bases:
        for n, settings in enumerate(plan(sweep.definition)):
            if (key := ask_key(sweep.id, model, n)) not in there:
                run = located(store, trial_run(sweep, model, settings))
                write(store, key, ask_of(n, settings, run))


def _search(sweep: Sweep, model: str, store: ObjectStore, place: Place) -> tuple[Tell, ...]:
    if sweep.definition.method != "tpe":
        return place.search(sweep, model)
    from fingpt.sweeps.study import run_study  # loads Optuna

    tells: tuple[Tell, ...] = run_study(sweep, model, store, place.workers)
    return tells


def _complete(
    store: ObjectStore,
    sweep: Sweep,
    tells: dict[str, tuple[Tell, ...]],
    choices: dict[str, Choice],
    finals: dict[str, Finals],
) -> SweepManifest:
    """Write COMPLETE.json; of two controllers that get here at once the first one's counts."""
    manifest = SweepManifest(
        sweep=sweep.id,
        sweep_sha256=sweep.sha256,
        tells=tells,
        choices=choices,
        finals=finals,
        inputs=_inputs(store, sweep, tells, finals),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    key = complete_key(sweep.id)
    if completed(store, sweep) is None:
        write(store, key, manifest)
    log.event("sweep complete", sweep=sweep.id, next=f'make sweep-report SWEEP="{sweep.id}"')
    return completed(store, sweep) or manifest


def _inputs(
    store: ObjectStore,
    sweep: Sweep,
    tells: dict[str, tuple[Tell, ...]],
    finals: dict[str, Finals],
) -> dict[str, str]:
    """Key → sha256 of single records; of the many of one kind the folder's key → hash over their keys and hashes."""

    def digest(key: str) -> str:
        return sha256_bytes(store.read(key))

    inputs = {key: digest(key) for key in single_records(sweep, finals)}
    for model, told in tells.items():
        for folder, keys in numbered_records(store, sweep, model, told).items():
            inputs[folder] = tree_sha256((key, digest(key)) for key in keys)
    return inputs
