"""The backend of a cluster: a run is frozen with the site's images, its inputs are checked, its stages become Jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from shlex import quote

from fingpt import log
from fingpt.cluster import drive
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.follow import blocked, finish
from fingpt.cluster.job import DRIVE, to_yaml
from fingpt.config import Environment, RunConfig
from fingpt.errors import ConfigError, Interrupted
from fingpt.models import ModelSpec, spec
from fingpt.runs.backend import Backend, Mode
from fingpt.runs.freeze import freeze
from fingpt.runs.local import LocalBackend
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore


def open_backend(store: ObjectStore, mode: Mode, environment: Environment) -> Backend:
    """This machine for `Mode.LOCAL` and for a store in a folder, else the cluster of the current kube context.

    Raises what `Cluster.connect` and `Cluster.site` raise.
    """
    if mode is Mode.LOCAL or (store.uri.startswith("file:") and mode is not Mode.DRY_RUN):
        return LocalBackend(store)
    from fingpt.cluster.api.cluster import Cluster

    cluster = Cluster.connect(environment.namespace)
    return ClusterBackend(cluster, store, dry_run=mode is Mode.DRY_RUN)


class ClusterBackend:
    """`backend.Backend` by Jobs of a cluster; the site's settings are read once.

    With `dry_run` it writes and creates nothing and returns the Jobs as YAML.
    """

    def __init__(self, cluster: ClusterApi, store: ObjectStore, *, dry_run: bool = False) -> None:
        self._cluster, self._store, self._dry_run = cluster, store, dry_run
        self._site = cluster.site()

    def freeze(self, config: RunConfig) -> Run:
        """The run of `config` by the site's images; ConfigError when the cluster's pods use another store."""
        self._require_same_store()
        images = self._site.images.model_dump()
        return Run.of(config, images) if self._dry_run else freeze(self._store, config, images)

    def bring_base(self, model: ModelSpec) -> str:
        """Bring base weights by a Job and follow it; one under way is followed as it is."""
        if self._dry_run:
            return to_yaml(drive.plan_base(model, self._site))
        self._require_same_store()
        self._announce(model=model.key)
        with _detachable(f"the Job for {model.key} goes on", "the same command"):
            drive.bring_base(self._cluster, self._store, model, self._site, blocked)
        return ""

    def bring_rows(self, source: str) -> str:
        """Bring rows from the hub by a Job and follow it; one under way is followed as it is."""
        if self._dry_run:
            return to_yaml(drive.plan_rows(source, self._site))
        self._require_same_store()
        self._announce(rows=source)
        with _detachable(f"the Job for {source} goes on", "the same command"):
            drive.bring_rows(self._cluster, self._store, source, self._site, blocked)
        return ""

    def execute(self, run: Run, stages: Sequence[Stage], *, follow: bool) -> str:
        """Create the Job of one stage, or of drive for several, which is always followed.

        Ctrl-C while following leaves the Jobs alone and says how to come back.
        """
        if self._dry_run:
            return self._plan(run, stages)
        whole = len(stages) > 1
        self._announce(run=run.id, stages=", ".join(stages))
        if all(finished(self._store, run, stage) is not None for stage in stages):
            log.event("already complete, nothing to do", run=run.id)
            return run.id
        drive.require_inputs(self._store, run, stages)
        name = DRIVE if whole else str(stages[0])
        (job,) = drive.plan(run, [name], self._site, self._store.uri)
        drive.start(self._cluster, job)
        if not follow and not whole:
            log.event("submitted", run=run.id, next=f"make status RUN={run.id}")
            return run.id
        work = (
            drive.run_work(self._store, run)
            if whole
            else drive.stage_work(self._store, run, stages[0])
        )
        with _detachable(f"{run.id} goes on", f"make status RUN={run.id} or the same command"):
            finish(self._cluster, work, blocked)
        return run.id

    def _plan(self, run: Run, stages: Sequence[Stage]) -> str:
        """The Jobs as YAML documents."""
        whole, model = len(stages) > 1, spec(run.config.model)
        names = [*map(str, stages), *([DRIVE] if whole else [])]
        jobs = [drive.plan_base(model, self._site)] if whole and model.tiny else []
        jobs += drive.plan(run, names, self._site, self._store.uri)
        return "---\n".join(map(to_yaml, jobs))

    def _require_same_store(self) -> None:
        """ConfigError when this command and the cluster's pods use different stores."""
        mine, theirs = self._store.uri.rstrip("/"), self._site.store.rstrip("/")
        if mine != theirs:
            raise ConfigError(
                f"This command uses the store {mine}, the cluster's pods use {theirs}; set STORE={quote(theirs)}."
            )

    def _announce(self, **fields: str) -> None:
        log.event(
            f"in the cluster {self._cluster.where}", namespace=self._cluster.namespace, **fields
        )


@contextmanager
def _detachable(what: str, how: str) -> Iterator[None]:
    """Ctrl-C ends the following and nothing else."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Detached; {what} in the cluster. Come back with {how}.") from None
