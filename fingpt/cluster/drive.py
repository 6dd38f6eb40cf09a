"""Stages of a run, and base weights, as Jobs: start one, follow it, check the result in the bucket; holds no state.

The same functions serve the drive Job inside the cluster and a person who waits at a laptop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.follow import GivesUp, Work, finish, unpullable
from fingpt.cluster.job import (
    DRIVE,
    MIRROR,
    build_base_job,
    build_job,
    build_rows_job,
    job_name,
    load_template,
    rows_instance,
)
from fingpt.cluster.jobset import template_name
from fingpt.cluster.site import Site
from fingpt.errors import MissingInputError, TransientError
from fingpt.models import ModelSpec, spec
from fingpt.runs.raw import hub_key, parse_hub, stored_hub_rows
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage, base_manifest_key, complete_key, run_key
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore
from fingpt.weights.base import read_base_manifest

DELETION_SECONDS = 120.0


def plan(run: Run, names: Sequence[str], site: Site, store_uri: str) -> list[dict[str, Any]]:
    """The Jobs that `names` (stages, or drive) would become: what `DRY_RUN=1` prints."""
    uri = f"{store_uri}/{run_key(run.id)}"
    return [
        build_job(run, name, load_template(template_name(run, name)), site, uri) for name in names
    ]


def plan_base(model: ModelSpec, site: Site) -> dict[str, Any]:
    """The Job that would bring the base weights of `model` into the bucket."""
    return build_base_job(model, load_template(MIRROR), site)


def plan_rows(source: str, site: Site) -> dict[str, Any]:
    """The Job that would bring the rows of `hub:owner/name@revision` into the bucket."""
    return build_rows_job(source, load_template(MIRROR), site)


def require_inputs(store: ObjectStore, run: Run, stages: Sequence[Stage]) -> None:
    """MissingInputError, before any pod, naming everything that `stages` lack and how to get it.

    The base of a tiny model is made by drive, so a whole run does not lack it.
    """
    missing = []
    model = spec(run.config.model)
    if stages[-1] is not Stage.PREP and not (model.tiny and len(stages) > 1):
        try:
            read_base_manifest(store, model)
        except MissingInputError as error:
            missing.append(str(error))
    before = run.stages[: run.stages.index(stages[0])]
    missing += [
        f"Stage {each} of {run.id} has not finished: {stage_command(store.uri, each, run)}"
        for each in before
        if not store.exists(complete_key(run.id, each))
    ]
    if missing:
        raise MissingInputError("; ".join(missing))  # a command ends at it, as in a shell


def start(
    cluster: ClusterApi,
    job: dict[str, Any],
    *,
    since: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Create a Job, or leave it alone while it is under way.

    One that has ended is removed first, so that it runs again, unless it was made at or after `since`. TransientError
    when it does not go away within two minutes.
    """
    name = job["metadata"]["name"]
    there = cluster.job(name)
    if there is not None and there.is_final() and not (since and there.created >= since):
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
    log.event("job created" if created else "job exists", job=name)


def stage_work(store: ObjectStore, run: Run, stage: Stage) -> Work:
    """One stage of a run."""
    return Work(
        run.id,
        str(stage),
        complete_key(run.id, stage),
        lambda: finished(store, run, stage) is not None,
    )


def run_work(store: ObjectStore, run: Run) -> Work:
    """The drive Job of a run, which is done when every stage is."""
    return Work(
        run.id,
        DRIVE,
        complete_key(run.id, run.stages[-1]),
        lambda: all(finished(store, run, stage) is not None for stage in run.stages),
    )


def bring_base(
    cluster: ClusterApi,
    store: ObjectStore,
    model: ModelSpec,
    site: Site,
    gives_up: GivesUp,
    since: str = "",
) -> None:
    """Bring the base weights of `model` into the bucket by a Job, unless they are there; `since` is that of `start`."""
    key = base_manifest_key(model.base_prefix)
    if store.exists(key):
        log.event("base weights already in the store", model=model.key, store=store.uri)
        return
    start(cluster, plan_base(model, site), since=since)
    finish(cluster, Work(model.key, MIRROR, key, lambda: store.exists(key)), gives_up)


def bring_rows(
    cluster: ClusterApi, store: ObjectStore, source: str, site: Site, gives_up: GivesUp
) -> None:
    """Bring the rows of `hub:owner/name@revision` into the bucket by a Job, unless they are there."""
    rows = stored_hub_rows(store, source)
    if rows is not None:
        log.event("rows already in the store", source=source, frozen=rows.raw, store=store.uri)
        return
    start(cluster, plan_rows(source, site))
    key = hub_key(*parse_hub(source))
    work = Work(
        rows_instance(source), MIRROR, key, lambda: stored_hub_rows(store, source) is not None
    )
    finish(cluster, work, gives_up)


def drive(cluster: ClusterApi, store: ObjectStore, run: Run, site: Site) -> None:
    """Carry out every stage of `run` as Jobs, one after the other, skipping what is complete.

    A stage that failed for good under this drive Job stays failed: the Job's own retries, which are for API servers and
    stores that were away, must not repeat the stage's.
    """
    own = cluster.job(job_name(run.id, DRIVE))
    since = own.created if own is not None else ""
    left = [stage for stage in run.stages if finished(store, run, stage) is None]
    model = spec(run.config.model)
    if model.tiny and set(left) - {Stage.PREP}:
        bring_base(cluster, store, model, site, unpullable, since)
    for stage in run.stages:
        if stage not in left:
            log.event("already complete, skipped", stage=str(stage), run=run.id)
            continue
        (job,) = plan(run, [stage], site, store.uri)
        start(cluster, job, since=since)
        finish(cluster, stage_work(store, run, stage), unpullable)
