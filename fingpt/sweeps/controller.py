"""The controller: prepares each model once, searches, chooses, trains the finals, and completes the sweep.

It holds no state: all of it is in the bucket, and each step finds there what is done. Where the work is done is a
`Place`: this machine (local.py), or a cluster (cluster.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

from fingpt import log
from fingpt.record import sha256_bytes, tree_sha256
from fingpt.runs.run import Run, Stage
from fingpt.runs.run import complete_key as stage_complete_key
from fingpt.storage import ObjectStore
from fingpt.sweeps.finals import choose, leader, train_finals
from fingpt.sweeps.pool import Workers
from fingpt.sweeps.records import (
    Choice,
    Finals,
    SweepManifest,
    Tell,
    ask_key,
    choice_key,
    complete_key,
    read,
    report_key,
    sweep_key,
    tell_key,
    write,
)
from fingpt.sweeps.sweep import Sweep


class Place(Protocol):
    """Where a sweep is carried out; errors are those of fingpt/errors.py."""

    @property
    def workers(self) -> Workers:
        """Who carries out runs there."""

    def prepare(self, leader: Run) -> None:
        """Have the base weights of the run's model in the bucket, and the prep of the run complete."""

    def search(self, sweep: Sweep, model: str) -> tuple[Tell, ...]:
        """Carry out the plan of a grid or random search of one model; tells in number order."""


def carry_out(sweep: Sweep, store: ObjectStore, place: Place) -> SweepManifest:
    """Carry out a frozen sweep to its end; whatever is done already is left as it is."""
    there = read(store, SweepManifest, complete_key(sweep.id))
    if there is not None:
        log.event("sweep is complete, nothing to do", sweep=sweep.id)
        return there
    for note in sweep.notes:
        log.event(note)
    tells: dict[str, tuple[Tell, ...]] = {}
    choices: dict[str, Choice] = {}
    for model in sweep.bases:
        log.event("searching", sweep=sweep.id, model=model, trials=sweep.definition.count)
        place.prepare(leader(sweep, model))
        tells[model] = _search(sweep, model, store, place)
        choices[model] = choose(store, sweep, model, tells[model])
    finals = train_finals(store, sweep, choices, place.workers)
    return _complete(store, sweep, tells, choices, finals)


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
    if read(store, SweepManifest, key) is None:
        write(store, key, manifest)
    log.event("sweep complete", sweep=sweep.id, next=f'make sweep-report SWEEP="{sweep.id}"')
    return read(store, SweepManifest, key) or manifest


def _inputs(
    store: ObjectStore,
    sweep: Sweep,
    tells: dict[str, tuple[Tell, ...]],
    finals: dict[str, Finals],
) -> dict[str, str]:
    """Key → sha256 of single records; of the many of one kind the folder's key → hash over their keys and hashes."""

    def digest(key: str) -> str:
        return sha256_bytes(store.read(key))

    inputs = {sweep_key(sweep.id): digest(sweep_key(sweep.id))}
    for model, told in tells.items():
        inputs[choice_key(sweep.id, model)] = digest(choice_key(sweep.id, model))
        kinds = (
            [ask_key(sweep.id, model, each.number) for each in told],
            [tell_key(sweep.id, model, each.number) for each in told],
            list(_reports(store, sweep, model, told)),
        )
        for keys in filter(None, kinds):
            folder = f"{keys[0].rpartition('/')[0]}/"
            inputs[folder] = tree_sha256((key, digest(key)) for key in keys)
        for run_id in {*finals[model].chosen, *finals[model].default} - set(finals[model].failed):
            for stage in Stage:
                key = stage_complete_key(run_id, stage)
                inputs[key] = digest(key)
    return inputs


def _reports(store: ObjectStore, sweep: Sweep, model: str, told: tuple[Tell, ...]) -> Iterator[str]:
    """Keys of the reports of a study that prunes; rungs of a trial have no gaps."""
    if sweep.definition.pruning is None:
        return
    for each in told:
        rung = 0
        while store.exists(key := report_key(sweep.id, model, each.number, rung)):
            yield key
            rung += 1
