"""A run as the bucket records it: stages, attempts and how they ended, the last commit, step, loss, time left.

Reads only and needs no cluster: it works when pods, Jobs and their namespace are gone. Its times are for people; what
protects a run from a second writer is attempt.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from fingpt import log
from fingpt.errors import ConfigError, FingptError, MissingInputError
from fingpt.runs.attempt import Claim, Ending, Heartbeat, read_note
from fingpt.runs.manifest import TrainManifest
from fingpt.runs.progress import Progress, progress
from fingpt.runs.recent import each_in_order, newest_first
from fingpt.runs.run import (
    Run,
    Stage,
    attempt_key,
    claim_key,
    complete_key,
    heartbeat_key,
    last_number,
    run_key,
    trial_key,
)
from fingpt.runs.seen import Seen
from fingpt.runs.stage import finished, load_run
from fingpt.storage import ObjectStore
from fingpt.storage.keys import is_key

FRESH_SECONDS = 120.0
"""A heartbeat younger than this is a working attempt's."""

RECENT = 200
"""Among so many of the runs that were frozen last the newest is looked for, and its relatives."""

_SHOWN_ATTEMPTS = 200


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """Attempt `number` of a stage; `code` is None until it has ended, `beat` is the time of its last heartbeat.

    `pod` and `node` say where it runs. `gone` is True when its process is certainly dead: it was one of this machine.
    Times are RFC 3339 in UTC, empty when unknown.
    """

    number: int
    pod: str = ""
    node: str = ""
    started: str = ""
    beat: str = ""
    code: int | None = None
    message: str = ""
    ended: str = ""
    gone: bool = False

    def state(self, now: datetime) -> str:
        """`ended`, `died` (certainly), `working` (a fresh heartbeat), `silent`, or `unknown` without any time."""
        if self.code is not None:
            return "ended"
        if self.gone:
            return "died"
        heard = seconds_since(self.beat or self.started, now)
        if heard is None:
            return "unknown"
        return "working" if heard < FRESH_SECONDS else "silent"


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage; `fault` says why its records cannot be read."""

    stage: Stage
    complete: bool = False
    finished_at: str = ""
    attempts: tuple[AttemptRecord, ...] = ()
    progress: Progress = field(default_factory=Progress)
    fault: str = ""

    @property
    def last(self) -> AttemptRecord | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def paused(self) -> str:
        """What the newest attempt says that paused as its sweep wants; empty for a stage that is not paused."""
        paused = self.last is not None and self.last.code == 0 and not self.complete
        return self.last.message if paused and self.last else ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run and its stages, in order."""

    run: Run
    stages: tuple[StageRecord, ...]

    @property
    def complete(self) -> bool:
        """True when every stage is."""
        return all(stage.complete for stage in self.stages)

    @property
    def current(self) -> StageRecord:
        """The first stage that is not complete, or the last one."""
        return next((stage for stage in self.stages if not stage.complete), self.stages[-1])

    def of_trial(self) -> RunRecord:
        """The record of a sweep's trial: without the eval of test rows, unless somebody has begun it all the same."""
        scored = self.run.config.eval.split == "validation"
        asked = [
            each
            for each in self.stages
            if each.stage is not Stage.EVAL or scored or each.attempts or each.complete
        ]
        return replace(self, stages=tuple(asked))

    @property
    def started(self) -> str:
        """When its newest attempt of any stage began, empty when none did."""
        return max((a.started for stage in self.stages for a in stage.attempts), default="")


def read_run(store: ObjectStore, run_id: str) -> RunRecord:
    """All that the bucket records of a run; MissingInputError when it has none, DataError on a damaged run.json."""
    require_run(store, run_id)
    run = load_run(store, run_id)
    return RunRecord(run, tuple(_stage(store, run, stage) for stage in run.stages))


def read_asked(store: ObjectStore, run_id: str) -> RunRecord:
    """As `read_run`, but only the stages that anybody asks for: the trial of a sweep ends before the test."""
    record = read_run(store, run_id)
    return record.of_trial() if store.exists(trial_key(run_id)) else record


def glance(store: ObjectStore, run_id: str) -> RunRecord:
    """As `read_run`, for lists of many runs: of a complete stage only what a row shows is read.

    Of its attempts that is the number of the last one, and when that began if no later stage has any.
    """
    run = load_run(store, run_id)
    stages = [_glanced(store, run, stage) for stage in run.stages]
    newest = next((n for n in reversed(range(len(stages))) if stages[n].attempts), None)
    if newest is not None and stages[newest].complete and stages[newest].last is not None:
        stage = stages[newest]
        number = stage.attempts[-1].number
        claim = read_note(store, Claim, claim_key(run_id, stage.stage, number))
        began = replace(stage.attempts[-1], started=claim.started_at)
        stages[newest] = replace(stage, attempts=(began,))
    return RunRecord(run, tuple(stages))


def _glanced(store: ObjectStore, run: Run, stage: Stage) -> StageRecord:
    if stage is Stage.EVAL or not store.exists(complete_key(run.id, stage)):
        return _stage(store, run, stage)
    number = last_number(store.exists, lambda n: claim_key(run.id, stage, n))
    tried = (AttemptRecord(number),) if number else ()
    try:
        manifest = finished(store, run, stage)
    except FingptError as fault:
        return StageRecord(stage, attempts=tried, fault=str(fault))
    reached = Progress()
    if isinstance(manifest, TrainManifest):
        reached = Progress(manifest.steps, manifest.steps, manifest.train_loss)
    return StageRecord(stage, True, manifest.finished_at if manifest else "", tried, reached)


def require_run(store: ObjectStore, run_id: str) -> None:
    """The way to find the right one: ConfigError when no run is named, MissingInputError when the store lacks it."""
    how = "`make list` shows the runs of the store, RUN= names one, STORE= another store."
    if not run_id:
        raise ConfigError(f"No run is named; {how}")
    if not is_key(run_key(run_id)) or not store.exists(run_key(run_id)):
        sweep = f"sweeps/{run_id}/sweep.json"
        if is_key(sweep) and store.exists(sweep):
            raise MissingInputError(
                f"{run_id} is a sweep, and a run is asked for; `make list SWEEP={run_id}` shows its trials, "
                f"`make status SWEEP={run_id}` where it is."
            )
        raise MissingInputError(f"There is no run '{run_id}' in {store.uri}; {how}")


def run_ids(store: ObjectStore) -> Iterator[str]:
    """Every run in the store, by listing it; what lies under a name that no run has is passed over with a warning."""
    for key in store.keys("runs/"):
        parts = key.split("/")
        if len(parts) != 3 or parts[2] != "run.json":
            continue
        if is_key(key):
            yield parts[1]
        else:
            log.warning("no run has such a name; it is passed over", key=key, store=store.uri)


def report_keys(store: ObjectStore, run_id: str = "") -> Iterator[str]:
    """Manifest keys of all reports, or of those that name a run; found by listing, since nothing points at them."""
    for key in store.keys("reports/"):
        if not key.endswith("/manifest.json") or key.count("/") != 2:
            continue
        if not run_id or run_id.encode() in store.read(key):
            yield key


def newest_run(store: ObjectStore) -> str:
    """The run whose newest attempt started last, of the RECENT that were frozen last; MissingInputError without any."""

    def began(run_id: str) -> tuple[str, str] | None:
        seen = Seen(store, run_id)
        return (_started(seen, run_id), run_id) if seen.exists(run_key(run_id)) else None

    found = list(filter(None, each_in_order(began, newest_first(store)[:RECENT])))
    if not found:
        raise MissingInputError(no_run_in(store.uri))
    return max(found)[1]


def no_run_in(uri: str) -> str:
    """What is said of a store without runs: a mistyped STORE looks like that too."""
    return (
        f"There is no run in {uri}; start one: make run MODEL=tiny-llama31, or name another STORE."
    )


def seconds_since(stamp: str, now: datetime) -> float | None:
    """Seconds from an RFC 3339 time to `now`; None when there is no such time, never below 0."""
    try:
        return max((now - datetime.fromisoformat(stamp)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def attempts(store: ObjectStore, run_id: str, stage: Stage) -> tuple[AttemptRecord, ...]:
    """The newest 200 attempts of a stage, oldest first."""
    count = last_number(store.exists, lambda n: claim_key(run_id, stage, n))
    first = max(1, count - _SHOWN_ATTEMPTS + 1)
    return tuple(_attempt(store, run_id, stage, n) for n in range(first, count + 1))


def _started(store: ObjectStore, run_id: str) -> str:
    """When the newest attempt of the last stage that has one began."""
    for stage in reversed(Stage):
        last = last_number(store.exists, partial(claim_key, run_id, stage))
        if last:
            return read_note(store, Claim, claim_key(run_id, stage, last)).started_at
    return ""


def _stage(store: ObjectStore, run: Run, stage: Stage) -> StageRecord:
    tried = attempts(store, run.id, stage)
    try:
        manifest = finished(store, run, stage)
        reached = progress(store, run, stage, manifest)
    except FingptError as fault:
        return StageRecord(stage, attempts=tried, fault=str(fault))
    return StageRecord(
        stage,
        complete=manifest is not None,
        finished_at=manifest.finished_at if manifest else "",
        attempts=tried,
        progress=reached,
    )


def _attempt(store: ObjectStore, run_id: str, stage: Stage, number: int) -> AttemptRecord:
    claim = read_note(store, Claim, claim_key(run_id, stage, number))
    ending_key = attempt_key(run_id, stage, number)
    ended = store.exists(ending_key)
    ending = read_note(store, Ending, ending_key) if ended else Ending()
    beat = "" if ended else _last_beat(store, run_id, stage, number)
    return AttemptRecord(
        number=number,
        pod=claim.pod,
        node=claim.node,
        started=claim.started_at,
        beat=beat,
        code=ending.code,
        message=ending.message,
        ended=ending.ended_at,
        gone=not ended and claim.is_gone(),
    )


def _last_beat(store: ObjectStore, run_id: str, stage: Stage, number: int) -> str:
    """When the attempt was last alive, empty when it left no heartbeat."""
    last = last_number(store.exists, lambda n: heartbeat_key(run_id, stage, number, n))
    if not last:
        return ""
    return read_note(store, Heartbeat, heartbeat_key(run_id, stage, number, last)).at
