"""The status of a run from the bucket and, where there is one, the cluster; on one screen or as JSON.

The bucket says how far a run is, the cluster why it does not go on. Reads only; the cluster may be absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.diagnosis.exits import exit_of
from fingpt.cluster.diagnosis.explain import exit_state, explain, pod_end
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State
from fingpt.cluster.job import DRIVE, MIRROR
from fingpt.errors import FingptError
from fingpt.log import cell
from fingpt.runs.progress import Progress
from fingpt.runs.state import AttemptRecord, RunRecord, StageRecord, seconds_since


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage as shown: `why` explains its state, `past` says how earlier attempts and pods ended, oldest first."""

    stage: str
    why: Explanation
    attempt: int = 0
    node: str = ""
    pod: str = ""
    progress: Progress = field(default_factory=Progress)
    past: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """A run as shown; `cluster` is empty when only the bucket was asked."""

    run: str
    model: str
    store: str
    cluster: str
    stages: tuple[StageStatus, ...]

    @property
    def current(self) -> StageStatus:
        """The stage that keeps the run from going on: the first that is not complete, or the last one."""
        waiting = (each for each in self.stages if each.why.state is not State.COMPLETE)
        return next(waiting, self.stages[-1])

    def as_json(self) -> dict[str, Any]:
        """Plain data with the fields' own names; `state` and `stage` are those of the current stage."""
        return {**asdict(self), "state": str(self.current.why.state), "stage": self.current.stage}


def status(
    record: RunRecord, store: str, now: datetime, cluster: ClusterApi | None = None, where: str = ""
) -> Status:
    """Join a run's record with the cluster's view; of the cluster only the current stage and drive are asked for.

    Where it does not tell (this user may not ask, it is away) the bucket alone is shown, with a warning.
    """
    snapshot = driver = None
    if cluster and not record.complete:
        try:
            snapshot = cluster.stage_snapshot(record.run.id, record.current.stage, complete=False)
            driver = cluster.stage_snapshot(record.run.id, DRIVE, complete=None)
            if snapshot.job is None and driver.job is None:
                cluster.require_namespace()
        except FingptError as fault:
            bucket_alone(fault)
            cluster, where, snapshot = None, "", None
    stages = [
        _stage(each, snapshot if each is record.current else None, now) for each in record.stages
    ]
    if cluster and snapshot and driver and driver.job:
        drive = StageStatus(DRIVE, explain(driver), node=_node(driver))
        if snapshot.job is None:
            current = record.stages.index(record.current)
            base = cluster.stage_snapshot(record.run.config.model, MIRROR, complete=None)
            stages[current] = _driven(stages[current], drive.why, base)
        stages.append(drive)
    return Status(record.run.id, record.run.config.model, store, where, tuple(stages))


def bucket_alone(fault: FingptError) -> None:
    """Say why a screen does without the cluster."""
    log.warning(f"The bucket alone is shown: {fault}")


def from_bucket(stage: StageRecord, now: datetime) -> Explanation:
    """What the bucket alone says of a stage."""
    last = stage.last
    if stage.fault:
        return Explanation(
            State.PERMANENT, "its record is damaged", stage.fault, "make verify RUN=…"
        )
    if stage.complete:
        return Explanation(State.COMPLETE, f"COMPLETE is in the bucket since {stage.finished_at}")
    if last is None:
        return Explanation(State.ABSENT, "no attempt has begun")
    if stage.paused:
        return Explanation(
            State.PAUSED,
            "its sweep compares it with other trials, and lets it go on or not",
            stage.paused,
        )
    if last.code is not None:
        meaning, state = exit_of(last.code), exit_state(last.code)
        action = meaning.action if state is State.PERMANENT else "the same command resumes"
        return Explanation(state, f"{meaning.summary} (exit {last.code})", last.message, action)
    return _without_ending(last, now)


def _without_ending(last: AttemptRecord, now: datetime) -> Explanation:
    seconds = seconds_since(last.beat or last.started, now)
    ago = f"{_duration(seconds)} ago" if seconds is not None else "at an unknown time"
    where = f" on {last.node}" if last.node else ""
    found = {
        "working": (State.RUNNING, f"attempt {last.number} works{where}, last heartbeat {ago}", ""),
        "died": (
            State.RETRYABLE,
            f"attempt {last.number} was killed{where} and left no ending",
            "the same command resumes",
        ),
        "silent": (
            State.RETRYABLE,
            f"attempt {last.number}{where} had its last heartbeat {ago} and left no ending: killed, or cut off",
            "the same command resumes; it stops if that attempt is still alive",
        ),
        "unknown": (
            State.RUNNING,
            f"attempt {last.number}{where} has left no ending: it works, or was killed",
            "the same command resumes; it stops if that attempt is still alive",
        ),
    }
    state, summary, action = found[last.state(now)]
    return Explanation(state, summary, action=action)


def _stage(record: StageRecord, snapshot: JobSnapshot | None, now: datetime) -> StageStatus:
    why = explain(snapshot) if snapshot else from_bucket(record, now)
    if why.state is State.ABSENT and record.attempts:
        why = from_bucket(record, now)
    if why.state is State.SILENT and record.paused:
        why = from_bucket(record, now)
    if snapshot and why.state is State.RUNNING:
        why = _waiting_for_claim(record, snapshot) or why
    last = record.last
    return StageStatus(
        stage=str(record.stage),
        why=why,
        attempt=last.number if last else 0,
        node=(_node(snapshot) if snapshot else "") or (last.node if last else ""),
        pod=_pod(snapshot) or (last.pod if last else ""),
        progress=record.progress,
        past=tuple(_past(record, snapshot)),
    )


def _driven(stage: StageStatus, drive: Explanation, base: JobSnapshot) -> StageStatus:
    """A stage without a Job has drive's state, unless it runs or has ended elsewhere.

    While drive waits for a tiny model's base weights, it has the state of their Job.
    """
    if drive.state is State.RUNNING and base.job is not None and base.job.outcome is None:
        why = explain(base)
        return replace(stage, why=replace(why, summary=f"base weights come first: {why.summary}"))
    if drive.state is State.RUNNING and stage.why.state in (State.ABSENT, State.RETRYABLE):
        return replace(stage, why=Explanation(State.WAITING, "drive runs and creates its Job next"))
    if stage.why.state is not State.ABSENT or drive.state is State.COMPLETE:
        return stage
    return replace(
        stage, why=replace(drive, summary=f"drive has to create its Job: {drive.summary}")
    )


def _waiting_for_claim(record: StageRecord, snapshot: JobSnapshot) -> Explanation | None:
    """The state of a pod that runs but has not claimed its stage, while another pod's last claim has no ending."""
    last, pod = record.last, snapshot.pods[-1].name if snapshot.pods else ""
    if (
        snapshot.pods and snapshot.pods[-1].index is not None
    ):  # of several nodes the first one claims
        pod = next((each.name for each in reversed(snapshot.pods) if each.index == 0), "")
    if last is None or last.code is not None or not pod or last.pod in ("", pod):
        return None
    return Explanation(
        State.WAITING,
        f"pod {pod} checks for 30 s whether attempt {last.number} of pod {last.pod}, which left no ending, is alive; "
        "then it takes over, or stops",
        action="nothing; it goes on by itself",
    )


def _past(record: StageRecord, snapshot: JobSnapshot | None) -> Iterator[str]:
    for attempt in record.attempts:
        if attempt.code is not None and not (record.complete and attempt is record.last):
            summary = exit_of(attempt.code).summary
            message = f": {attempt.message}" if attempt.message else ""
            yield f"attempt {attempt.number}: {summary} (exit {attempt.code}){message}"
        elif attempt is not record.last:
            yield f"attempt {attempt.number}: killed, left no ending"
    for pod in snapshot.pods if snapshot else ():
        if pod.ended and pod.phase == "Failed":
            end = pod_end(pod)
            which = "" if pod.index is None else f" (node {pod.index} on {pod.node})"
            yield f"pod {pod.name}{which}: {end.state}: {end.summary}"


def _node(snapshot: JobSnapshot) -> str:
    """The newest pod's node; those of all nodes of a training, in their order."""
    pods = snapshot.pods[-snapshot.job.nodes :] if snapshot.job else snapshot.pods[-1:]
    return ", ".join(pod.node for pod in sorted(pods, key=lambda pod: pod.index or 0) if pod.node)


def _pod(snapshot: JobSnapshot | None) -> str:
    """The newest pod, of several nodes the first one's."""
    pods = snapshot.pods if snapshot else ()
    first = [pod.name for pod in pods if pod.index == 0]
    return first[-1] if first else pods[-1].name if pods else ""


def render(found: Status) -> RenderableType:
    """One screen: a table of the stages, then why the current one is in its state, and what to do."""
    table = Table(title=f"{found.run}  ({found.cluster or 'bucket only'})", title_justify="left")
    for name in ("stage", "state", "attempt", "done", "loss", "left", "last commit", "node"):
        table.add_column(name, no_wrap=name in ("stage", "state"))
    for each in found.stages:
        table.add_row(each.stage, str(each.why.state), *map(cell, _cells(each)))
    return Group(table, *_lines(found))


def _cells(each: StageStatus) -> Sequence[str]:
    at = each.progress
    done = "" if at.done is None else f"{at.done} of {at.total or '?'}"
    return (
        str(each.attempt or ""),
        done,
        "" if at.loss is None else f"{at.loss:.4f}",
        "" if at.seconds_left is None else f"≥ {_duration(at.seconds_left)}",
        f"{at.commit} (step {at.committed})" if at.commit else "",
        each.node,
    )


def _lines(found: Status) -> Iterator[Text]:
    others = [each for each in found.stages if each.why.action and each is not found.current]
    for each in (found.current, *others):
        why = each.why
        yield cell(f"{each.stage}: {why.state}: {why.summary}")
        if why.message:
            often = f"  ({why.times} times, last {why.last})" if why.times else ""
            yield cell(f"  message: {why.message}{often}")
        if why.action:
            yield cell(f"  what to do: {why.action}".replace("RUN=…", f"RUN={found.run}"))
    for each in found.stages:
        for line in each.past[-5:]:
            yield cell(f"  earlier, {each.stage} {line}")
    yield cell(f"store: {found.store}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
