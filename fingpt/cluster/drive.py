"""Stages of a run as Jobs: start one, wait for it, believe the bucket and not the Job; holds no state of its own.

The same functions serve the conductor inside the cluster and a person who waits at a laptop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from fingpt import log
from fingpt.base import read_base_manifest
from fingpt.cluster.job import build_job, job_name, load_template
from fingpt.cluster.objects import JobState, PodState
from fingpt.cluster.site import Site
from fingpt.errors import DivergedError, MissingInputError, StageFailedError, TransientError
from fingpt.models import spec
from fingpt.run import Run, Stage, complete_key, run_key
from fingpt.stage import finished
from fingpt.storage import ObjectStore

DELETION_SECONDS = 120.0


class Jobs(Protocol):
    """What this module asks of the API server; `fingpt.cluster.client.Cluster` gives it."""

    def job(self, name: str) -> JobState | None:
        """The Job of that name, None when there is none."""

    def apply_job(self, job: dict[str, Any]) -> bool:
        """Create a Job; False when the very same is there already."""

    def delete_job(self, name: str) -> bool:
        """Delete a Job and its pods."""

    def watch_job(self, name: str) -> Iterator[JobState]:
        """Every state of a Job up to its end."""

    def pods(self, run_id: str = "", stage: str = "") -> tuple[PodState, ...]:
        """Pods of a run's stage, oldest first."""


def plan(run: Run, names: Sequence[str], site: Site, store_uri: str) -> list[dict[str, Any]]:
    """The Jobs that `names` (stages, or drive) would become: what `DRY_RUN=1` prints."""
    uri = f"{store_uri}/{run_key(run.id)}"
    return [build_job(run, name, load_template(name), site, uri) for name in names]


def require_inputs(store: ObjectStore, run: Run, stages: Sequence[Stage]) -> None:
    """MissingInputError, before any pod, naming everything that `stages` lack and how to get it."""
    missing = []
    if stages[-1] is not Stage.PREP:
        try:
            read_base_manifest(store, spec(run.config.model))
        except MissingInputError as error:
            missing.append(str(error))
    before = list(Stage)[: list(Stage).index(stages[0])]
    missing += [
        f"Stage {each} of {run.id} has not finished: make {each} MODEL={run.config.model}."
        for each in before
        if not store.exists(complete_key(run.id, each))
    ]
    if missing:
        raise MissingInputError(" ".join(missing))


def start(
    cluster: Jobs, job: dict[str, Any], *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Create a Job, or leave it alone while it is under way.

    One that has ended is removed first, so that it runs again. TransientError when it does not go away within two
    minutes.
    """
    name = job["metadata"]["name"]
    there = cluster.job(name)
    if there is not None and there.is_final():
        cluster.delete_job(name)
        waited = 0.0
        while (now := cluster.job(name)) is not None and now.uid == there.uid:
            if waited >= DELETION_SECONDS:
                raise TransientError(
                    f"Job {name} of an earlier attempt is being deleted for {waited:.0f} s; repeat the command later."
                )
            sleep(1.0)
            waited += 1.0
    created = cluster.apply_job(job)
    log.event("job created" if created else "job is there already", job=name)


def wait(cluster: Jobs, store: ObjectStore, run: Run, stage: Stage) -> None:
    """Wait until the stage's Job has ended and the bucket agrees.

    StageFailedError carries the pod's exit code and last line; DivergedError when the Job says Complete and the bucket
    holds no manifest.
    """
    name, said = job_name(run.id, stage), ""
    for state in cluster.watch_job(name):
        now = _words(state)
        if now != said:
            log.event(now, job=name)
            said = now
        last = state
    outcome = last.outcome
    if outcome is not None and outcome.type == "Failed":
        pods = [pod for pod in cluster.pods(run.id, stage) if pod.container.exit_code]
        code = pods[-1].container.exit_code if pods else None
        words = (pods[-1].container.message.splitlines() or [""])[-1] if pods else ""
        raise StageFailedError(
            stage, code or TransientError.exit_code, words or outcome.message or outcome.reason
        )
    if finished(store, run, stage) is None:
        raise DivergedError(
            f"Job {name} says Complete, but {complete_key(run.id, stage)} is not in {store.uri}: a silent failure; "
            f"look at its log (make logs RUN={run.id}) and submit again."
        )


def conduct(cluster: Jobs, store: ObjectStore, run: Run, site: Site) -> None:
    """Carry out every stage of `run` as Jobs, one after the other, skipping what is complete."""
    for stage in Stage:
        if finished(store, run, stage) is not None:
            log.event("already complete, skipped", stage=str(stage), run=run.id)
            continue
        (job,) = plan(run, [stage], site, store.uri)
        start(cluster, job)
        wait(cluster, store, run, stage)


def _words(state: JobState) -> str:
    if state.outcome is not None:
        return f"job {state.outcome.type.lower()}"
    if state.suspended:
        return "job waits in its queue"
    if state.active:
        return f"job active, {state.failed} pods failed before" if state.failed else "job active"
    return "job has no pod yet"
