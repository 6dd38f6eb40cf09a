"""Submit to the cluster: freeze a run with the site's images, check its inputs, create Jobs, follow if asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fingpt import log
from fingpt.cluster import drive
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.follow import blocked, finish
from fingpt.cluster.job import DRIVE, to_yaml
from fingpt.cluster.site import Site
from fingpt.config import RunConfig
from fingpt.errors import ConfigError, Interrupted
from fingpt.models import ModelSpec, spec
from fingpt.runs.freeze import create_run, freeze_source
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore


def require_same_store(site: Site, store: ObjectStore) -> None:
    """ConfigError when this command and the cluster's pods use different stores."""
    if site.store.rstrip("/") != store.uri.rstrip("/"):
        raise ConfigError(
            f"This command uses the store {store.uri}, the cluster's pods use {site.store}; set STORE={site.store}."
        )


def freeze(store: ObjectStore, config: RunConfig, site: Site, *, dry: bool) -> Run:
    """The run of `config` on the site's images, frozen into the store unless `dry`.

    ConfigError when this command and the cluster's pods use different stores.
    """
    require_same_store(site, store)
    if dry:
        return Run.of(config, site.images.model_dump())
    run = Run.of(freeze_source(store, config), site.images.model_dump())
    create_run(store, run)
    return run


def submit(
    cluster: ClusterApi, store: ObjectStore, run: Run, stages: Sequence[Stage], *, follow: bool
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
    work = drive.run_work(store, run) if whole else drive.stage_work(store, run, stages[0])
    with _detachable(f"{run.id} goes on", f"make status RUN={run.id} or the same command"):
        finish(cluster, work, blocked)


def bring_base(cluster: ClusterApi, store: ObjectStore, model: ModelSpec) -> None:
    """Bring base weights into the bucket by a Job of the cluster, and follow it; one under way is followed as it is."""
    site = cluster.site()
    require_same_store(site, store)
    with _detachable(f"the Job for {model.key} goes on", "the same command"):
        drive.bring_base(cluster, store, model, site, blocked)


def dry_run(run: Run, stages: Sequence[Stage], site: Site, store_uri: str) -> str:
    """The Jobs as YAML documents; nothing is created."""
    whole, model = len(stages) > 1, spec(run.config.model)
    jobs = [drive.plan_base(model, site)] if whole and model.tiny else []
    jobs += drive.plan(run, [*map(str, stages), *([DRIVE] if whole else [])], site, store_uri)
    return "---\n".join(map(to_yaml, jobs))


def dry_run_base(model: ModelSpec, site: Site) -> str:
    """The same for base weights."""
    return to_yaml(drive.plan_base(model, site))


@contextmanager
def _detachable(what: str, how: str) -> Iterator[None]:
    """Ctrl-C ends the following and nothing else."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Detached; {what} in the cluster. Come back with {how}.") from None
