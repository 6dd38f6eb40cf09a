"""Wait for work that was started before: a run, wherever it is carried out. Changes nothing.

In the cluster its Job is followed as by the command that made it. Without one the bucket's records are looked at again
and again: a run on another machine, or in a cluster that this one cannot reach, ends there too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.drive import run_work, stage_work
from fingpt.cluster.follow import blocked, finish
from fingpt.cluster.job import DRIVE, job_name
from fingpt.cluster.status import StageStatus, from_bucket
from fingpt.cluster.submission import detachable
from fingpt.errors import MissingInputError, StageFailedError, TransientError
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage
from fingpt.runs.seen import Seen
from fingpt.runs.state import RunRecord, StageRecord, read_asked
from fingpt.storage import ObjectStore

POLL_SECONDS = 5.0
NOTHING_SECONDS = 30.0
"""How long a stage may take to begin: a process that was just started loads its libraries before it claims."""

Sleep = Callable[[float], None]


def wait_for_run(
    store: ObjectStore, run_id: str, cluster: ClusterApi | None, sleep: Sleep = time.sleep
) -> None:
    """Return when the run is complete, the trial of a sweep when it has trained.

    Raises how it ended otherwise: the stage's error with its exit code.

    MissingInputError when there is no such run, or when nothing works on it, with the command that starts it;
    SetupError when the cluster has no such namespace;
    TransientError when its last attempt was killed. Interrupted on Ctrl-C, which ends nothing but the waiting.
    """
    record = read_asked(store, run_id)
    with detachable(f"{run_id} goes on", f"make wait RUN={run_id}", place=""):
        if not record.complete and cluster is not None and _follow(cluster, store, record.run):
            record = read_asked(store, run_id)
            if not record.complete:
                command = stage_command(store.uri, "run", record.run)
                log.event("its Job is complete; the run has more stages", run=run_id, next=command)
                return
        if not record.complete:
            _watch(store, run_id, sleep)
    log.event("complete", run=run_id)


def _follow(cluster: ClusterApi, store: ObjectStore, run: Run) -> bool:
    """Follow the run's Job to its end; False when it has none.

    One under way comes before those that have ended, drive before the Jobs that it makes.
    """
    names: list[Stage | None] = [None, *run.stages]
    jobs = {name: cluster.job(job_name(run.id, name or DRIVE)) for name in names}
    there = [(name, job) for name, job in jobs.items() if job is not None]
    under_way = [name for name, job in there if not job.is_final()]
    ended = [name for name, _ in sorted(there, key=lambda each: each[1].created, reverse=True)]
    if not there:
        cluster.require_namespace()
        return False
    name = (under_way or ended)[0]
    finish(cluster, stage_work(store, run, name) if name else run_work(store, run), blocked)
    return True


def _watch(store: ObjectStore, run_id: str, sleep: Sleep) -> None:
    """Look at the bucket until the run is complete; raises what `wait_for_run` does."""
    logged, idle = "", 0.0
    while True:
        record = read_asked(Seen(store, run_id), run_id)
        if record.complete:
            return
        now = datetime.now(UTC)
        works = _works(record.current, now)
        shown = _progress(
            StageStatus(
                record.current.stage,
                from_bucket(record.current, now),
                progress=record.current.progress,
            )
        )
        if shown != logged:
            logged = shown
            log.event(shown, run=run_id)
        idle = 0.0 if works else idle + POLL_SECONDS
        if not works and (record.current.attempts or idle > NOTHING_SECONDS):
            raise _end(store, record)
        sleep(POLL_SECONDS)


def _works(stage: StageRecord, now: datetime) -> bool:
    return stage.last is not None and stage.last.state(now) == "working"


def _progress(stage: StageStatus) -> str:
    """`train: 12 of 80, loss 1.2345`, or what the bucket says of a stage that has not begun or has ended."""
    at = stage.progress
    if stage.why.action or not at.total:
        return f"{stage.stage}: {stage.why.state}"
    loss = "" if at.loss is None else f", loss {at.loss:.4f}"
    return f"{stage.stage}: {at.done} of {at.total}{loss}"


def _end(
    store: ObjectStore, record: RunRecord
) -> MissingInputError | StageFailedError | TransientError:
    """How the work on a run ended, or that there is none, with the command that starts it."""
    stage, run = record.current, record.run
    last = stage.last
    if last is None:
        return MissingInputError(
            f"Nothing works on {run.id}: its stage {stage.stage} has not begun, and no Job of it is there; "
            f"{_remedy(store, run, 'start it')}"
        )
    if last.code:
        return StageFailedError.of(stage.stage, last.code, last.message or "its log says why.")
    return TransientError(
        f"Nothing works on {run.id}: attempt {last.number} of {stage.stage} left no ending, it was killed; "
        f"{_remedy(store, run, 'go on')}"
    )


def _remedy(store: ObjectStore, run: Run, verb: str) -> str:
    """The command for it; of a trial its sweep's, since `make run` would open the test rows for it."""
    sweep = Seen(store, run.id).trial().partition("/")[0]
    if sweep:
        return f"it is a trial, and its sweep says how that goes on: make status SWEEP={sweep}"
    return f"{verb}: {stage_command(store.uri, 'run', run)}"
