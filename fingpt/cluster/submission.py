"""Submit a run to the cluster: freeze it with the site's images, check its inputs, create Jobs, follow if asked."""

from __future__ import annotations

from collections.abc import Sequence

from fingpt import log
from fingpt.cluster import drive
from fingpt.cluster.client import Cluster
from fingpt.cluster.job import job_name, to_yaml
from fingpt.cluster.site import Site
from fingpt.config import RunConfig
from fingpt.errors import ConfigError, Interrupted, StageFailedError
from fingpt.run import Run, Stage
from fingpt.stage import finished
from fingpt.storage import ObjectStore
from fingpt.submit import create_run, freeze_source

DRIVE = "drive"


def freeze(store: ObjectStore, config: RunConfig, site: Site, *, dry: bool) -> Run:
    """The run of `config` on the site's images, frozen into the store unless `dry`.

    ConfigError when this command and the cluster's pods use different stores.
    """
    if site.store.rstrip("/") != store.uri.rstrip("/"):
        raise ConfigError(
            f"This command uses the store {store.uri}, the cluster's pods use {site.store}; set STORE={site.store}."
        )
    if dry:
        return Run.of(config, site.images.model_dump())
    run = Run.of(freeze_source(store, config), site.images.model_dump())
    create_run(store, run)
    return run


def submit(
    cluster: Cluster, store: ObjectStore, run: Run, stages: Sequence[Stage], *, follow: bool
) -> None:
    """Create the Job of one stage, or of drive for all of them, and follow it when asked.

    Ctrl-C while following leaves the Jobs alone and says how to come back.
    """
    whole = len(stages) > 1
    site = cluster.site()
    done = [stage for stage in stages if finished(store, run, stage) is not None]
    if len(done) == len(stages):
        log.event("already complete, nothing to do", run=run.id)
        return
    drive.require_inputs(store, run, stages)
    name = DRIVE if whole else str(stages[0])
    (job,) = drive.plan(run, [name], site, store.uri)
    drive.start(cluster, job)
    if not follow:
        log.event("submitted", run=run.id, next=f"make status RUN={run.id}")
        return
    try:
        _follow(cluster, store, run, stages, whole=whole)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Detached; {run.id} goes on in the cluster. Come back with make status RUN={run.id} or the same command."
        ) from None


def dry_run(run: Run, stages: Sequence[Stage], site: Site, store_uri: str) -> str:
    """The Jobs as YAML documents; nothing is created."""
    names = [*map(str, stages), *([DRIVE] if len(stages) > 1 else [])]
    return "---\n".join(to_yaml(job) for job in drive.plan(run, names, site, store_uri))


def _follow(
    cluster: Cluster, store: ObjectStore, run: Run, stages: Sequence[Stage], *, whole: bool
) -> None:
    if not whole:
        drive.wait(cluster, store, run, stages[0])
        return
    name = job_name(run.id, DRIVE)
    for state in cluster.watch_job(name):
        last = state
    if last.outcome is not None and last.outcome.type == "Failed":
        failed = [pod for pod in cluster.pods(run.id, DRIVE) if pod.container.exit_code]
        code = failed[-1].container.exit_code if failed else None
        raise StageFailedError(DRIVE, code or 75, last.outcome.message or last.outcome.reason)
