"""Trials as the bucket knows them: begun by an ask, told once, and in between what their runs have recorded.

A trial is its run: what it has reached is read from the run's manifests and attempts, never from a process or a pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from fingpt import log
from fingpt.errors import (
    ConfigError,
    DataError,
    DivergedError,
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
)
from fingpt.models import spec
from fingpt.record import canonical_json
from fingpt.runs.freeze import create_run
from fingpt.runs.manifest import TrainManifest, decode, encode
from fingpt.runs.run import Run, Stage, trial_key
from fingpt.runs.stage import finished
from fingpt.runs.state import AttemptRecord, attempts
from fingpt.storage import ObjectStore
from fingpt.sweeps.definition import Settings
from fingpt.sweeps.records import Ask, Tell, ask_key, read, tell_key, write
from fingpt.sweeps.sweep import Sweep, trial_run

FAILURES = frozenset(kind.exit_code for kind in (ConfigError, DataError, DivergedError))
"""Exit codes that are a setting's own fault: the trial has failed, and the search goes on."""

OBSTACLES = frozenset(
    kind.exit_code
    for kind in (MissingInputError, RunConflictError, PermissionDeniedError, SetupError)
)
"""Exit codes that are no setting's fault and would meet every trial: the sweep stops, nothing is told."""


class TrialState(StrEnum):
    """Where a trial stands."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETE = "complete"
    FAILED = "failed"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class Trial:
    """The state of one run of a study; `value` in nats once it is complete, `reason` and `code` of its last failure.

    `seconds` and `gpu_seconds` are those of all its attempts at training that have ended.
    """

    state: TrialState
    value: float | None = None
    reason: str = ""
    code: int | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0

    def told(self, number: int, rung: int | None = None) -> Tell | None:
        """The record of a trial that is complete, failed or pruned; None for one that is not over."""
        if self.state not in (TrialState.COMPLETE, TrialState.FAILED, TrialState.PRUNED):
            return None
        return Tell(
            number=number,
            state=self.state.value,  # type: ignore[arg-type]  # the three that are checked above
            value=self.value,
            reason=self.reason,
            rung=rung,
            seconds=round(self.seconds, 1),
            gpu_seconds=round(self.gpu_seconds, 1),
        )


def stages_of(sweep: Sweep) -> tuple[Stage, ...]:
    """What a trial has: no stage reads the test split."""
    scored = sweep.definition.objective == "labels"
    return (Stage.PREP, Stage.TRAIN, *([Stage.EVAL] if scored else []))


def begin(store: ObjectStore, sweep: Sweep, model: str, number: int, settings: Settings) -> Run:
    """Freeze the run of a trial and record its ask, which says under which id; whatever is there is left as it is.

    RunConflictError when the ask or the run is there with other content.
    """
    run, there = trial_run(sweep, model, settings), asked(store, sweep, model, number)
    run = run.named(there.run_id) if there else create_run(store, run)
    write(store, ask_key(sweep.id, model, number), ask_of(number, settings, run))
    if there:
        freeze_trial(store, sweep, number, run)
    else:
        _mark(store, sweep, number, run)
    return run


def asked(store: ObjectStore, sweep: Sweep, model: str, number: int) -> Ask | None:
    """The ask of a trial, None before there is one; StorageError naming a torn or foreign one."""
    return read(store, Ask, ask_key(sweep.id, model, number))


def ask_of(number: int, settings: Settings, run: Run) -> Ask:
    """The ask of a trial that `run` computes."""
    return Ask(number=number, settings=settings, run_id=run.id, run_sha256=run.sha256)


def freeze_trial(store: ObjectStore, sweep: Sweep, number: int, run: Run) -> None:
    """Freeze the run of a trial that was asked for, and say in it that it is one: it need not have every stage.

    A run that is a trial of several sweeps says which was the first. RunConflictError when its id holds anything else.
    """
    if create_run(store, run).id != run.id:
        raise RunConflictError(
            f"Trial {number} of sweep {sweep.id} was asked for as run {run.id}, and another run has that id now; find "
            "out who wrote it."
        )
    _mark(store, sweep, number, run)


def _mark(store: ObjectStore, sweep: Sweep, number: int, run: Run) -> None:
    mark = {"sweep": sweep.id, "model": run.config.model, "number": number}
    store.create(trial_key(run.id), canonical_json(mark))


def read_tell(store: ObjectStore, sweep: Sweep, model: str, number: int) -> Tell | None:
    """How a trial ended, None as long as nobody has told; StorageError naming a torn or foreign record."""
    key = tell_key(sweep.id, model, number)
    return decode(Tell, store.read(key), key) if store.exists(key) else None


def tell(store: ObjectStore, sweep: Sweep, model: str, told: Tell) -> Tell:
    """Record how a trial ended, once: the first record counts, whoever wrote it."""
    key = tell_key(sweep.id, model, told.number)
    if store.create(key, encode(told)):
        return told
    return decode(Tell, store.read(key), key)


def announce(model: str, told: Tell) -> None:
    """Log how a trial ended."""
    value = {} if told.value is None else {"value": round(told.value, 4)}
    reason = {"reason": told.reason} if told.reason else {}
    log.event(f"trial {told.state}", model=model, trial=told.number, **value, **reason)


def read_trial(store: ObjectStore, sweep: Sweep, run: Run) -> Trial:
    """Where the trial of a run stands; DataError when it was trained without validation rows."""
    manifest = finished(store, run, Stage.TRAIN)
    trained = attempts(store, run.id, Stage.TRAIN)
    seconds = sum(map(_seconds, trained))
    gpus = _gpus(run, manifest if isinstance(manifest, TrainManifest) else None)
    spent = Trial(TrialState.WAITING, seconds=seconds, gpu_seconds=seconds * gpus)
    if isinstance(manifest, TrainManifest):
        value = _value(store, sweep, run, manifest)
        if value is not None:
            return replace(spent, state=TrialState.COMPLETE, value=value)
        tried: Sequence[AttemptRecord] = attempts(store, run.id, Stage.EVAL)
    else:
        tried = trained or attempts(store, run.id, Stage.PREP)
    if not tried:
        return spent
    last = tried[-1]
    if last.code in FAILURES:
        return replace(spent, state=TrialState.FAILED, reason=last.message, code=last.code)
    if last.code == 0 and manifest is None and trained and _is_paused(store, sweep, run):
        return replace(spent, state=TrialState.PAUSED)
    working = last.state(datetime.now(UTC)) == "working"
    state = TrialState.RUNNING if working else TrialState.WAITING
    return replace(spent, state=state, reason=last.message, code=last.code)


def _value(store: ObjectStore, sweep: Sweep, run: Run, manifest: TrainManifest) -> float | None:
    """The objective of a run that is trained; None when its eval is still to come."""
    if manifest.eval_loss is None or manifest.eval_split != "validation":
        raise DataError(
            f"Run {run.id} was trained without validation rows, so a search has nothing to go by; the source needs "
            "more weeks, or smaller prep.test_weeks and prep.validation_weeks."
        )
    if sweep.definition.objective == "loss":
        return manifest.eval_loss
    if finished(store, run, Stage.EVAL) is None:
        return None
    from fingpt.sweeps.labels import labels_value

    value: float = labels_value(store, run)
    return value


def _is_paused(store: ObjectStore, sweep: Sweep, run: Run) -> bool:
    if sweep.definition.pruning is None:
        return False
    from fingpt.train.limits import paused

    return paused(store, run) is not None


def _seconds(attempt: AttemptRecord) -> float:
    """How long an attempt worked, as far as is known."""
    try:
        end = datetime.fromisoformat(attempt.ended or attempt.beat)
        return max((end - datetime.fromisoformat(attempt.started)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0


def _gpus(run: Run, manifest: TrainManifest | None) -> int:
    """GPUs that the training held: what its manifest says of the device, else what such a model asks for."""
    processes = run.config.train.processes
    if manifest is not None and "device" in manifest.hardware:
        return 0 if manifest.hardware["device"] == "cpu" else processes
    return 0 if spec(run.config.model).tiny else processes
