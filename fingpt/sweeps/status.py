"""A sweep on one screen: trials by state, the best so far, rate, time left, what holds it up.

However many trials there are, names of keys say how many were asked for and told, the Indexed Jobs say how many run,
and only so many tells are read as a second allows. Reads only; the cluster may be absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from fingpt.cluster.api.faults import NoClusterError
from fingpt.cluster.api.objects import JobState, numbers_in
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State
from fingpt.cluster.status import bucket_alone
from fingpt.cluster.sweep_job import sweep_name
from fingpt.errors import FingptError
from fingpt.log import cell
from fingpt.runs.state import seconds_since
from fingpt.storage import ObjectStore
from fingpt.sweeps.claim import who_works
from fingpt.sweeps.records import Tell, complete_key
from fingpt.sweeps.submitted import command_of
from fingpt.sweeps.sweep import Sweep, require_sweep
from fingpt.sweeps.view import Study, SweepView, read_sweep, read_tells

UNREADABLE = "unreadable"

Reached = tuple[ClusterApi | None, str]
"""A cluster and where it is; None and an empty text for the bucket alone."""

READ_SECONDS = 0.3
"""How long tells are read for one screen; those that were not are counted and said to be unread."""


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """Trials of one model: `total` planned, `asked` for, `ended` by state, `running` in the cluster (None: unknown).

    `paused`: those that wait at a rung of a search that prunes, which has no more than `parallel` under way.
    `read` of `told` tells are known. `best` is the lowest value among them with its trial. `seconds_left` is at the
    rate of the trials that ended, None without any. `why` says what its Job waits for.
    """

    model: str
    total: int
    asked: int
    told: int
    read: int
    ended: Mapping[str, int]
    running: int | None = None
    paused: int = 0
    best: float | None = None
    best_trial: int | None = None
    rate: float | None = None
    seconds_left: float | None = None
    chosen: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """A sweep as shown; `state` is one word, `controller` says how its controller's Job is.

    Without a cluster that is who works on it, as the bucket tells. It is empty once the sweep is complete.
    """

    sweep: str
    state: str
    store: str
    cluster: str
    controller: str
    action: str
    studies: tuple[StudyStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data with the fields' own names."""
        return asdict(self)


def _bucket_only() -> Reached:
    return None, ""


def sweep_status(
    store: ObjectStore,
    sweep: str,
    now: datetime,
    reach: Callable[[], Reached] = _bucket_only,
) -> SweepStatus:
    """Join the sweep's records with its Jobs: one listing of them, and one look at each that does not go on.

    Bucket and cluster, which `reach` connects to, are asked side by side, since either may be busy with ten thousand
    trials; of a complete sweep a cluster has nothing to tell. Errors as `read_sweep`.
    """
    require_sweep(store, sweep)
    if store.exists(complete_key(sweep)):
        reach = _bucket_only
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(_of_cluster, reach, sweep)
        view = read_sweep(store, sweep)
        tells = _tells(store, view)
        (cluster, where), jobs, why, fault = asked.result()
    if fault is not None:
        bucket_alone(fault)
    if view.complete:  # it ended meanwhile
        jobs, why = (), None
    studies = tuple(
        _study(view, study, tells[study.model], _job_of(jobs, study.model), (now, cluster))
        for study in view.studies
    )
    said, works = (f"{why.state}: {why.summary}" if why else ""), True
    if not view.complete and (why is None or why.state is State.ABSENT):
        # A sweep of a bucket may be at work on some machine, whatever the cluster has.
        works, who = who_works(store, sweep, now)
        said = who if works or why is None else said
        if not works and fault is not None and not isinstance(fault, NoClusterError):
            works, said = True, f"unknown, since the cluster does not tell; in the bucket {who}"
    return SweepStatus(
        sweep=sweep,
        state=_word(view, jobs, studies, why, works=works),
        store=store.uri,
        cluster=where,
        controller=said,
        action=_action(store, view, why, works=works),
        studies=studies,
    )


def _of_cluster(
    reach: Callable[[], Reached], sweep: str
) -> tuple[Reached, tuple[JobState, ...], Explanation | None, FingptError | None]:
    """The Jobs that carry a sweep out, how its controller is, and, where a cluster does not tell, why."""
    try:
        reached = reach()
        cluster, _ = reached
        if cluster is None:
            return reached, (), None, None
        jobs, name = cluster.search_jobs(sweep), sweep_name(sweep)
        if not jobs:
            cluster.require_namespace()
        controller = next((each for each in jobs if each.name == name), None)
        if controller is None:
            why = Explanation(State.ABSENT, "the cluster has no controller for it")
        else:
            why = explain(cluster.job_snapshot(name, controller))
        return reached, jobs, why, None
    except FingptError as fault:
        return _bucket_only(), (), None, fault


def _tells(store: ObjectStore, view: SweepView) -> dict[str, Mapping[int, Tell | None]]:
    """Of each model the tells that there is time for, by number; all of them where the last record has them."""
    budget = READ_SECONDS / max(len(view.studies), 1)
    told = view.manifest.tells if view.manifest else {}
    return {
        study.model: {each.number: each for each in told[study.model]}
        if study.model in told
        else read_tells(store, view.sweep.id, study, budget)
        for study in view.studies
    }


def _study(
    view: SweepView,
    study: Study,
    tells: Mapping[int, Tell | None],
    job: JobState | None,
    how: tuple[datetime, ClusterApi | None],
) -> StudyStatus:
    now, cluster = how
    definition = view.sweep.definition
    total = definition.count
    complete = {n: tell.value for n, tell in tells.items() if tell and tell.value is not None}
    best = min(complete, key=lambda n: (complete[n], n), default=None)
    ended = _ended(study, tells, job)
    rate = _rate(tells, definition.parallel, job, now)
    left = max(total - sum(ended.values()), 0)
    return StudyStatus(
        model=study.model,
        total=total,
        asked=len(study.asks),
        told=len(study.tells),
        read=len(tells),
        ended=ended,
        running=job.active if job else None,
        paused=_paused(view.sweep, study),
        best=None if best is None else complete[best],
        best_trial=best,
        rate=rate,
        seconds_left=left / rate if rate else None,
        chosen=study.model in view.chosen,
        why=_held_up(cluster, job),
    )


def _ended(study: Study, tells: Mapping[int, Tell | None], job: JobState | None) -> dict[str, int]:
    """Trials that ended, by state: as the Indexed Job counts them, or the tells; `told` are those not read."""
    if job is not None and job.succeeded + len(numbers_in(job.failed_indexes)) >= len(study.tells):
        return {"complete": job.succeeded, "failed": len(numbers_in(job.failed_indexes))}
    found = Counter(tell.state if tell else UNREADABLE for tell in tells.values())
    unread = len(study.tells) - len(tells)
    return {**dict(sorted(found.items())), **({"told, not read": unread} if unread else {})}


def _paused(sweep: Sweep, study: Study) -> int:
    if sweep.definition.pruning is None:
        return 0
    return max(len(study.asks) - len(study.tells) - sweep.definition.parallel, 0)


def _rate(
    tells: Mapping[int, Tell | None], parallel: int, job: JobState | None, now: datetime
) -> float | None:
    """Trials a second: of the Job since it began, or `parallel` at a time of the mean length of those told."""
    if job is not None:
        since = seconds_since(job.started or job.created, now)
        done = job.succeeded + len(numbers_in(job.failed_indexes))
        return done / since if since and done else None
    lengths = [tell.seconds for tell in tells.values() if tell and tell.seconds]
    return parallel * len(lengths) / sum(lengths) if lengths else None


def _job_of(jobs: tuple[JobState, ...], model: str) -> JobState | None:
    """The Indexed Job of a model's trials, where its method has one."""
    found = [each for each in jobs if each.model == model and each.indexes]
    return found[0] if found else None


def _held_up(cluster: ClusterApi | None, job: JobState | None) -> str:
    """What a Job that its queue holds back waits for. Its pods, which may be thousands, are never listed."""
    if cluster is None or job is None or job.is_final() or not job.suspended:
        return ""
    why = explain(JobSnapshot(job=job, admission=cluster.admission(job)))
    return f"{why.state}: {why.summary}" + (f" ({why.message})" if why.message else "")


def _action(store: ObjectStore, view: SweepView, why: Explanation | None, *, works: bool) -> str:
    if why is not None and why.state is not State.ABSENT:
        return why.action
    return "" if works else f"go on with it: {command_of(store, view.sweep)}"


def _word(
    view: SweepView,
    jobs: tuple[JobState, ...],
    studies: tuple[StudyStatus, ...],
    why: Explanation | None,
    *,
    works: bool,
) -> str:
    if view.complete:
        return "complete"
    if why is not None and why.state is State.BLOCKED:
        return "blocked"
    waiting = [each for each in jobs if each.indexes and not each.is_final()]
    if waiting and all(each.suspended for each in waiting):
        return "waiting"
    if not works and not any(each.running for each in studies) and any(s.asked for s in studies):
        return "stopped"
    if view.studies and len(view.chosen) == len(view.studies):
        return "finals"
    return "searching" if any(each.asked or each.running for each in studies) else "waiting"


def render(found: SweepStatus) -> RenderableType:
    """One screen: a table of the studies, then what holds them up."""
    title = f"{found.sweep}: {found.state}  ({found.cluster or 'bucket only'})"
    table = Table(title=title, title_justify="left")
    for name in (
        "model",
        "trials",
        "ended",
        "under way",
        "waiting",
        "best so far",
        "an hour",
        "left",
    ):
        table.add_column(name)
    for each in found.studies:
        table.add_row(*map(cell, _cells(each)))
    lines = [f"{each.model}: {each.why}" for each in found.studies if each.why]
    lines += [
        f"{each.model}: the best of {each.read} tells that were read, of {each.told}"
        for each in found.studies
        if each.read < each.told
    ]
    lines += [
        f"{each.model}: a tell cannot be read; which one: make verify SWEEP={found.sweep}"
        for each in found.studies
        if each.ended.get(UNREADABLE)
    ]
    lines += [f"controller: {found.controller}"] if found.controller else []
    lines += [f"  what to do: {found.action}"] if found.action else []
    return Group(table, *map(cell, [*lines, f"store: {found.store}"]))


def _cells(each: StudyStatus) -> Iterator[str]:
    ended = sum(each.ended.values())
    begun = max(each.asked - each.told - each.paused, 0)
    running = each.running if each.running is not None else begun
    yield each.model
    yield str(each.total or "?")
    yield ", ".join(f"{count} {state}" for state, count in each.ended.items()) or "none"
    yield f"{running}, {each.paused} paused" if each.paused else str(running)
    yield str(max(each.total - ended - running - each.paused, 0))
    yield "" if each.best is None else f"{each.best:.4f} (trial {each.best_trial})"
    yield "" if each.rate is None else f"{each.rate * 3600:.0f}"
    yield "chosen" if each.chosen else _duration(each.seconds_left)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
