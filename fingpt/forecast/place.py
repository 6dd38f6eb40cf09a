"""Where a request is answered: in this process, or by a Job of the cluster, which is followed to its end.

The request is made where the command runs, and lies in the store by then; a Job needs nothing else, no data source and
no network but the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fingpt import log
from fingpt.cluster import drive
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.follow import GivesUp, Work, blocked, finish
from fingpt.cluster.job import (
    FORECAST,
    build_forecast_job,
    forecast_component,
    load_template,
    to_yaml,
)
from fingpt.cluster.site import Site
from fingpt.cluster.submission import detachable, require_same_store
from fingpt.config import Environment
from fingpt.forecast.record import ForecastRecord, ForecastRequest, find_records
from fingpt.runs.backend import Mode
from fingpt.runs.run import Run, run_key
from fingpt.storage import ObjectStore


class Place(Protocol):
    """Answers requests that are in the store."""

    def answer(self, run: Run, request: ForecastRequest) -> Sequence[ForecastRecord]:
        """The records of `run` for every question of `request`, in its order; what is there already is not computed."""


@dataclass(frozen=True)
class Here:
    """This process."""

    store: ObjectStore
    environment: Environment

    def answer(self, run: Run, request: ForecastRequest) -> Sequence[ForecastRecord]:
        """Load the run's model, unless all records are there."""
        from fingpt.forecast.answer import answer

        return answer(self.store, run, request, self.environment)


@dataclass(frozen=True)
class InCluster:
    """A Job for each run and request; `gives_up` says when to stop waiting for one that cannot start."""

    cluster: ClusterApi
    store: ObjectStore
    site: Site
    gives_up: GivesUp = blocked

    def answer(self, run: Run, request: ForecastRequest) -> Sequence[ForecastRecord]:
        """Create the Job, or find it under way, and follow it; errors are those of `follow.finish`."""
        require_same_store(self.store, self.site)
        found = find_records(self.store, run.id, request)
        if len(found) < len(request.questions):
            job = plan(run, request, self.site, self.store.uri)
            log.event(f"in the cluster {self.cluster.where}", run=run.id, close=str(request.as_of))
            with detachable(f"the forecast of {run.id} goes on", "the same command"):
                drive.start(self.cluster, job)
                finish(self.cluster, self._work(run, request), self.gives_up)
            found = find_records(self.store, run.id, request)
        else:
            log.event("already forecast, nothing computed", run=run.id, close=str(request.as_of))
        return [found[one.symbol] for one in request.questions]

    def _work(self, run: Run, request: ForecastRequest) -> Work:
        def done() -> bool:
            return len(find_records(self.store, run.id, request)) == len(request.questions)

        what = f"a record for each question of {request.key}"
        return Work(run.id, forecast_component(request.key), what, done)


def plan(run: Run, request: ForecastRequest, site: Site, store_uri: str) -> dict[str, Any]:
    """The Job in which `run` answers `request`."""
    uri = f"{store_uri}/{run_key(run.id)}"
    return build_forecast_job(run, request.key, load_template(FORECAST), site, uri)


def open_place(
    store: ObjectStore,
    mode: Mode,
    environment: Environment,
    connect: Callable[[str], ClusterApi] | None = None,
    gives_up: GivesUp = blocked,
) -> Place:
    """This process for `Mode.LOCAL` and for a store in a folder, else the cluster of the current kube context."""
    if mode is Mode.LOCAL or store.uri.startswith("file:"):
        return Here(store, environment)
    cluster = (connect or _connect)(environment.namespace)
    return InCluster(cluster, store, cluster.site(), gives_up)


def planned(run: Run, request: ForecastRequest, store: ObjectStore, namespace: str) -> str:
    """The Job as YAML, for the cluster of the current kube context; nothing is created."""
    return to_yaml(plan(run, request, _connect(namespace).site(), store.uri))


def _connect(namespace: str) -> ClusterApi:
    from fingpt.cluster.api.cluster import Cluster

    return Cluster.connect(namespace)
