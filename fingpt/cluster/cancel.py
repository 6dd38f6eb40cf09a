"""Take the Jobs of a run, or the Job that brings a model's base weights, off a cluster; the bucket is not touched."""

from __future__ import annotations

from shlex import quote

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import DRIVE
from fingpt.errors import ConfigError
from fingpt.models import MODELS, spec


def instance_of(run: str, model: str) -> str:
    """What `make cancel` names, a run or a model; ConfigError unless it is exactly one of both."""
    if run and model:
        raise ConfigError(
            f"Cancel one at a time: make cancel RUN={quote(run)}, or make cancel MODEL={quote(model)} for its base "
            "weights."
        )
    if run in MODELS:
        raise ConfigError(
            f"'{run}' is a model, not a run; the Job that brings its base weights: make cancel MODEL={run}."
        )
    if not run and not model:
        raise ConfigError(
            "Name the run: make cancel RUN=id (make list shows the ids), or the model whose base weights are on their "
            "way: make cancel MODEL=llama31."
        )
    return run or spec(model).key


def cancel(cluster: ClusterApi, instance: str) -> None:
    """Delete the Jobs of a run or a model; their pods get time to commit a checkpoint."""
    # Drive first: while it lives, it would miss the Jobs of its stages.
    jobs = sorted(cluster.jobs(instance), key=lambda job: job.stage != DRIVE)
    for job in jobs:
        cluster.delete_job(job.name)
        log.event("job deleted", job=job.name, active=job.active)
    if not jobs:
        log.event("nothing to cancel", of=instance, namespace=cluster.namespace)
