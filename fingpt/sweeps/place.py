"""A sweep in a cluster: the controller is a pod that makes Jobs, or, before that, a person who makes the controller's.

Grid and random searches by the answer loss are one Indexed Job per model. Searches by labels, whose trials have an eval
of another image besides, and Bayesian ones have a Job for each trial.
"""

from __future__ import annotations

from fingpt.cluster import drive
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.follow import Work, finish, unpullable
from fingpt.cluster.job import SEARCH, load_template
from fingpt.cluster.site import Site
from fingpt.cluster.sweep_job import build_controller_job, mark, sweep_name
from fingpt.models import spec
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore
from fingpt.sweeps.indexed import IndexedSearch, address, trial_job
from fingpt.sweeps.local import leaders
from fingpt.sweeps.planned import run_plan
from fingpt.sweeps.pods import ClusterWorkers
from fingpt.sweeps.records import Tell, complete_key
from fingpt.sweeps.sweep import Sweep, completed
from fingpt.weights.base import read_base_manifest


class ClusterPlace:
    """`controller.Place` by Jobs of a cluster."""

    def __init__(self, cluster: ClusterApi, store: ObjectStore, sweep: Sweep, site: Site) -> None:
        self._cluster, self._store, self._sweep, self._site = cluster, store, sweep, site
        pausing = sweep.definition.pruning is not None
        self.workers = ClusterWorkers(
            cluster, store, sweep.id, leaders(store, sweep), site, pausing=pausing
        )

    def prepare(self, leader: Run) -> None:
        """Make the base of a tiny model and the data set, each by a Job, where they are missing."""
        own = self._cluster.job(sweep_name(self._sweep.id))
        since, model = own.created if own is not None else "", spec(leader.config.model)
        if model.tiny:
            drive.bring_base(self._cluster, self._store, model, self._site, unpullable, since)
        read_base_manifest(self._store, model)
        leader = create_run(self._store, leader)
        if finished(self._store, leader, Stage.PREP) is None:
            (job,) = drive.plan(leader, [Stage.PREP], self._site, self._store.uri)
            drive.start(self._cluster, mark(job, self._sweep.id), since=since)
            finish(self._cluster, drive.stage_work(self._store, leader, Stage.PREP), unpullable)

    def search(self, sweep: Sweep, model: str) -> tuple[Tell, ...]:
        """Carry out the plan: as one Indexed Job where trials are trained alone."""
        if is_indexed(sweep):
            return IndexedSearch(self._cluster, self._store, sweep, model).carry_out(self._site)
        return run_plan(sweep, model, self._store, self.workers)


def is_indexed(sweep: Sweep) -> bool:
    """Whether the trials of a model are one Job."""
    return sweep.definition.method != "tpe" and sweep.definition.objective == "loss"


def controller_job(store: ObjectStore, sweep: Sweep, site: Site) -> dict[str, object]:
    """The Job that carries out the sweep."""
    return build_controller_job(address(store, sweep), sweep.images, load_template(SEARCH), site)


def sweep_jobs(store: ObjectStore, sweep: Sweep, site: Site) -> list[dict[str, object]]:
    """What `DRY_RUN=1` prints: the controller, and the Jobs of trials that are known before."""
    models = sweep.bases if is_indexed(sweep) else ()
    return [
        *(trial_job(store, sweep, model, site) for model in models),
        controller_job(store, sweep, site),
    ]


def sweep_work(store: ObjectStore, sweep: Sweep) -> Work:
    """The controller's Job, which is done when the sweep is complete."""
    key = complete_key(sweep.id)
    return Work(sweep.id, SEARCH, key, lambda: completed(store, sweep) is not None)
