"""Reads the records of a sweep, of its trials and of its finals from the store. Decides nothing.

Records are found by listing, since trials of an Indexed Job begin in any order; each must be the one that its key says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from fingpt.errors import StorageError
from fingpt.models import MODELS
from fingpt.record import Frozen, sha256_bytes
from fingpt.runs.freeze import located
from fingpt.runs.manifest import EvalManifest, TrainManifest, decode
from fingpt.runs.openings import count
from fingpt.runs.run import Run, Stage
from fingpt.runs.run import complete_key as stage_complete_key
from fingpt.runs.stage import finished
from fingpt.runs.state import AttemptRecord, attempts
from fingpt.storage import ObjectStore
from fingpt.sweeps.finals import final_runs
from fingpt.sweeps.records import (
    Ask,
    Choice,
    Report,
    SweepManifest,
    Tell,
    choice_key,
    complete_key,
    sweep_key,
    sweep_prefix,
)
from fingpt.sweeps.sweep import Sweep, asked_run, completed, load_sweep

R = TypeVar("R", bound=Frozen)
A = TypeVar("A")
B = TypeVar("B")

_READERS = 16
_RECORD = re.compile(
    r"(?P<model>[^/]+)/(?P<kind>asks|tells|reports)/(?P<number>[0-9]{6,})(-(?P<rung>[0-9]{2,}))?\.json"
)
_KINDS: dict[str, type[Ask | Tell | Report]] = {"asks": Ask, "tells": Tell, "reports": Report}


@dataclass(frozen=True)
class TrialRead:
    """One trial: its ask, how it ended (None: not over), what it reported at rungs, and when it trained."""

    ask: Ask
    tell: Tell | None
    reports: tuple[Report, ...]
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class FinalRead:
    """One run after the search, as far as it is; `reason`: why it failed. `seconds` of training and evaluation."""

    run: Run
    chosen: bool
    train: TrainManifest | None
    evaluation: EvalManifest | None
    seconds: float
    reason: str
    latest: datetime | None = None


@dataclass(frozen=True)
class StudyRead:
    """The search of one model: all that the store holds of it."""

    sweep: Sweep
    model: str
    trials: tuple[TrialRead, ...]
    choice: Choice | None
    finals: tuple[FinalRead, ...]
    complete: bool
    openings: int | None
    dataset: str


@dataclass
class Reading:
    """The studies in the order of the sweeps and of their models, and key → sha256 of every record that was read."""

    studies: list[StudyRead] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    latest: datetime | None = None


def read_sweeps(store: ObjectStore, sweep_ids: Sequence[str]) -> Reading:
    """Read the named sweeps, over or not.

    MissingInputError for one that is not there, StorageError naming a record that is torn, foreign or misplaced.
    """
    reading = Reading()
    for sweep_id in sweep_ids:
        sweep = load_sweep(store, sweep_id)
        _note(store, reading, sweep_key(sweep_id))
        manifest = completed(store, sweep)
        if manifest is not None:
            _note(store, reading, complete_key(sweep_id))
        folder = f"{sweep_prefix(sweep_id)}/"
        found = [(key, _RECORD.fullmatch(key.removeprefix(folder))) for key in store.keys(folder)]
        names = [(key, match) for key, match in found if match]
        for model in sorted(sweep.bases, key=list(MODELS).index):
            mine = [(key, match) for key, match in names if match["model"] == model]
            reading.studies.append(_study(store, reading, (sweep, model), mine, manifest))
    return reading


def _study(
    store: ObjectStore,
    reading: Reading,
    which: tuple[Sweep, str],
    names: Sequence[tuple[str, re.Match[str]]],
    manifest: SweepManifest | None,
) -> StudyRead:
    sweep, model = which
    asks: dict[int, Ask] = {}
    tells: dict[int, Tell] = {}
    reports: dict[int, list[Report]] = {}
    for one in _parallel(lambda name: _numbered(store, reading, *name), names):
        if isinstance(one, Ask):
            asks[one.number] = one
        elif isinstance(one, Tell):
            tells[one.number] = one
        else:
            reports.setdefault(one.number, []).append(one)
    runs = {number: _trial_run(sweep, model, ask) for number, ask in asks.items()}
    times = dict(_parallel(lambda item: (item[0], _times(store, item[1])), runs.items()))
    trials = tuple(
        TrialRead(
            ask=asks[number],
            tell=tells.get(number),
            reports=tuple(sorted(reports.get(number, ()), key=lambda one: one.rung)),
            started=times[number][0],
            ended=times[number][1],
        )
        for number in sorted(asks)
    )
    choice = _record(store, reading, Choice, choice_key(sweep.id, model))
    finals = tuple(_finals(store, reading, (sweep, model), choice, manifest)) if choice else ()
    reading.runs += [run.id for run in runs.values()] + [final.run.id for final in finals]
    every = [when for trial in trials for when in (trial.started, trial.ended)]
    every += [final.latest for final in finals] + [reading.latest]
    reading.latest = max(filter(None, every), default=None)
    dataset = next((final.train.dataset for final in finals if final.train), "")
    return StudyRead(
        *(sweep, model, trials, choice, finals),
        complete=manifest is not None,
        openings=count(store, dataset) if dataset else None,
        dataset=dataset,
    )


def _numbered(
    store: ObjectStore, reading: Reading, key: str, match: re.Match[str]
) -> Ask | Tell | Report:
    """A record of a trial; StorageError where it is of another trial than its key says."""
    data = store.read(key)
    reading.inputs[key] = sha256_bytes(data)
    found = decode(_KINDS[match["kind"]], data, key)
    rung = found.rung if isinstance(found, Report) else None
    if found.number != int(match["number"]) or (match["rung"] and rung != int(match["rung"])):
        raise StorageError(
            f"{key} holds the record of trial {found.number}: it was moved or copied; restore the object."
        )
    return found


def _trial_run(sweep: Sweep, model: str, ask: Ask) -> Run:
    run = asked_run(sweep, model, ask)
    if (run.id, run.sha256) != (ask.run_id, ask.run_sha256):
        raise StorageError(
            f"Trial {ask.number} of {model} in sweep {sweep.id} names run {ask.run_id}, but its settings are those of "
            f"run {run.id}: the record was changed; restore it."
        )
    return run


def _finals(
    store: ObjectStore,
    reading: Reading,
    which: tuple[Sweep, str],
    choice: Choice,
    manifest: SweepManifest | None,
) -> Iterable[FinalRead]:
    sweep, model = which
    sides = [
        (chosen, [located(store, run) for run in final_runs(sweep, model, settings)])
        for chosen, settings in ((True, choice.settings), (False, {}))
    ]
    failed: dict[str, str] = {}
    if manifest is not None:
        told = manifest.finals[model]
        failed = told.failed
        for (chosen, runs), ids in zip(sides, (told.chosen, told.default), strict=True):
            if tuple(run.id for run in runs) != tuple(ids):
                raise StorageError(
                    f"{complete_key(sweep.id)} names other finals of {model} than its choice makes "
                    f"({'chosen' if chosen else 'default'} setting); restore the object."
                )
    for chosen, runs in sides:
        for run in runs:
            train = _stage(store, reading, run, Stage.TRAIN)
            evaluation = _stage(store, reading, run, Stage.EVAL)
            tried = [
                one for stage in (Stage.TRAIN, Stage.EVAL) for one in attempts(store, run.id, stage)
            ]
            yield FinalRead(
                run=run,
                chosen=chosen,
                train=train if isinstance(train, TrainManifest) else None,
                evaluation=evaluation if isinstance(evaluation, EvalManifest) else None,
                seconds=sum(map(_seconds, tried)),
                reason=failed.get(run.id, ""),
                latest=max(filter(None, map(_last_sign, tried)), default=None),
            )


def _stage(
    store: ObjectStore, reading: Reading, run: Run, stage: Stage
) -> TrainManifest | EvalManifest | None:
    manifest = finished(store, run, stage)
    if not isinstance(manifest, TrainManifest | EvalManifest):
        return None
    _note(store, reading, stage_complete_key(run.id, stage))
    return manifest


def _record(store: ObjectStore, reading: Reading, kind: type[R], key: str) -> R | None:
    if not store.exists(key):
        return None
    data = store.read(key)
    reading.inputs[key] = sha256_bytes(data)
    return decode(kind, data, key)


def _note(store: ObjectStore, reading: Reading, key: str) -> None:
    reading.inputs[key] = sha256_bytes(store.read(key))


def _times(store: ObjectStore, run: Run) -> tuple[datetime | None, datetime | None]:
    """When the first attempt at the training began, and the last one ended; None where nobody recorded it."""
    tried = attempts(store, run.id, Stage.TRAIN)
    if not tried:
        return None, None
    return _moment(tried[0].started), _moment(tried[-1].ended)


def _seconds(attempt: AttemptRecord) -> float:
    start, end = _moment(attempt.started), _moment(attempt.ended or attempt.beat)
    return max((end - start).total_seconds(), 0.0) if start and end else 0.0


def _last_sign(attempt: AttemptRecord) -> datetime | None:
    """When an attempt ended, or else was last heard of."""
    return _moment(attempt.ended) or _moment(attempt.beat) or _moment(attempt.started)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _parallel(work: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """Ten thousand small reads, one after the other, would take minutes."""
    with ThreadPoolExecutor(_READERS, "sweep-report") as pool:
        return list(pool.map(work, items))
