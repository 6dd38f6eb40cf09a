"""All checks of doctor: this machine and the store, how it would work, or the cluster where the store is a bucket."""

from __future__ import annotations

from collections.abc import Iterator

from fingpt.config import Environment, RunConfig
from fingpt.doctor.checks import Check, failed
from fingpt.doctor.evaluation import evaluation_check
from fingpt.doctor.local import local_checks
from fingpt.doctor.training import training_check
from fingpt.errors import FingptError
from fingpt.runs.run import Run
from fingpt.storage import open_store


def examine(config: RunConfig, environment: Environment) -> Iterator[Check]:
    """Each check as soon as it is done; a cluster that cannot be reached is one failed check."""
    store = open_store(environment.store)
    yield from local_checks(store, config, environment)
    if store.uri.startswith("file:"):
        yield training_check(config)
        yield evaluation_check(config)
        return
    from fingpt.cluster.api.cluster import Cluster
    from fingpt.doctor.cluster import cluster_checks

    try:
        cluster = Cluster.connect(environment.namespace)
        yield from cluster_checks(
            cluster, lambda site: Run.of(config, site.images.model_dump()), store.uri
        )
    except FingptError as fault:
        yield failed("cluster", fault)
