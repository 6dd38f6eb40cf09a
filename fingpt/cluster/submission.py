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
from fingpt.cluster.site import Site
from fingpt.config import Environment, RunConfig
from fingpt.errors import ConfigError, Interrupted, StageFailedError
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
        with detachable(f"the Job for {model.key} goes on", "the same command"):
            drive.bring_base(self._cluster, self._store, model, self._site, blocked)
        return ""

    def bring_rows(self, source: str) -> str:
        """Bring rows from the hub by a Job and follow it; one under way is followed as it is."""
        if self._dry_run:
            return to_yaml(drive.plan_rows(source, self._site))
        self._require_same_store()
        self._announce(rows=source)
        with detachable(f"the Job for {source} goes on", "the same command"):
            drive.bring_rows(self._cluster, self._store, source, self._site, blocked)
        return ""

    def execute(self, runs: Sequence[Run], stages: Sequence[Stage], *, follow: bool | None) -> str:
        """Create each run's Job of one stage, or of drive for several stages, which is followed unless told not to.

        All Jobs are created before the first is followed, so whoever leaves then leaves nothing undone: Ctrl-C while
        following leaves them alone and says how to come back. One that fails does not keep the others from being
        followed; the first failure is raised at the end.
        """
        if self._dry_run:
            return self._plan(runs, stages)
        whole = len(stages) > 1
        left = [run for run in runs if self._is_left(run, stages)]
        for run in left:
            drive.require_inputs(self._store, run, stages)
        name = DRIVE if whole else str(stages[0])
        for run in left:
            (job,) = drive.plan(run, [name], self._site, self._store.uri)
            drive.start(self._cluster, job)
        if not (whole if follow is None else follow):
            for run in left:
                log.event("submitted", run=run.id, next=f"make wait RUN={run.id}")
        else:
            self._follow(left, None if whole else stages[0])
        return "\n".join(run.id for run in runs)

    def _is_left(self, run: Run, stages: Sequence[Stage]) -> bool:
        """Whether something of `stages` is to be done, which is logged."""
        self._announce(run=run.id, stages=", ".join(stages))
        done = all(finished(self._store, run, stage) is not None for stage in stages)
        if done:
            log.event("already complete, nothing to do", run=run.id)
        return not done

    def _follow(self, runs: Sequence[Run], stage: Stage | None) -> None:
        """Follow the Jobs of `stage`, or of drive for None, one after the other to their ends."""
        failures: list[StageFailedError] = []
        names = " ".join(run.id for run in runs)
        first = f"make status RUN={runs[0].id}" if runs else ""
        for run in runs:
            work = (
                drive.stage_work(self._store, run, stage)
                if stage
                else drive.run_work(self._store, run)
            )
            with detachable(f"{names} goes on", f"{first} or the same command"):
                try:
                    finish(self._cluster, work, blocked)
                except StageFailedError as fault:
                    failures.append(fault)
                    if len(runs) > 1:
                        log.warning(str(fault), run=run.id)
        if failures:
            raise failures[0]

    def _plan(self, runs: Sequence[Run], stages: Sequence[Stage]) -> str:
        """The Jobs as YAML documents."""
        whole, model = len(stages) > 1, spec(runs[0].config.model)
        names = [*map(str, stages), *([DRIVE] if whole else [])]
        jobs = [drive.plan_base(model, self._site)] if whole and model.tiny else []
        for run in runs:
            jobs += drive.plan(run, names, self._site, self._store.uri)
        return "---\n".join(map(to_yaml, jobs))

    def _require_same_store(self) -> None:
        require_same_store(self._store, self._site)

    def _announce(self, **fields: str) -> None:
        log.event(
            f"in the cluster {self._cluster.where}", namespace=self._cluster.namespace, **fields
        )


def require_same_store(store: ObjectStore, site: Site) -> None:
    """ConfigError when this command and the cluster's pods use different stores."""
    mine, theirs = store.uri.rstrip("/"), site.store.rstrip("/")
    if mine != theirs:
        raise ConfigError(
            f"This command uses the store {mine}, the cluster's pods use {theirs}; set STORE={quote(theirs)}."
        )


@contextmanager
def detachable(what: str, how: str, place: str = " in the cluster") -> Iterator[None]:
    """Ctrl-C ends the following and nothing else."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"Detached; {what}{place}. Come back with {how}.") from None
