"""A sweep on this machine: the controller is this process, trials are processes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fingpt.models import spec
from fingpt.runs.freeze import create_run, located
from fingpt.runs.local import LocalBackend
from fingpt.runs.run import Run, Stage, base_manifest_key
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore
from fingpt.sweeps.finals import leader
from fingpt.sweeps.planned import run_plan
from fingpt.sweeps.pool import LocalWorkers
from fingpt.sweeps.records import Tell
from fingpt.sweeps.sweep import Sweep
from fingpt.weights.base import read_base_manifest


def leaders(store: ObjectStore, sweep: Sweep) -> Callable[[Run], Run]:
    """From a run to the one whose data set it takes over, which is frozen when that is asked."""
    first = cache(lambda model: located(store, leader(sweep, model)))
    return lambda run: first(run.config.model)


class LocalPlace:
    """`controller.Place` by processes; whoever makes it calls `workers.close` at the end."""

    def __init__(self, store: ObjectStore, sweep: Sweep) -> None:
        self._store = store
        self.workers = LocalWorkers(store, leaders(store, sweep))

    def prepare(self, leader: Run) -> None:
        """Make the base of a tiny model and the data set, one process after the other, where they are missing."""
        model, backend = spec(leader.config.model), LocalBackend(self._store)
        if model.tiny and not self._store.exists(base_manifest_key(model.base_prefix)):
            backend.bring_base(model)
        read_base_manifest(self._store, model)
        leader = create_run(self._store, leader)
        if finished(self._store, leader, Stage.PREP) is None:
            backend.execute([leader], [Stage.PREP])

    def search(self, sweep: Sweep, model: str) -> tuple[Tell, ...]:
        """Carry out the plan with this place's processes."""
        return run_plan(sweep, model, self._store, self.workers)
