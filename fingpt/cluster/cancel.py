"""Take the Jobs of a run, or the Job that brings base weights or rows, off a cluster; the bucket is not touched."""

from __future__ import annotations

from shlex import quote

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import DRIVE, rows_instance
from fingpt.errors import ConfigError
from fingpt.models import MODELS, spec


def instance_of(run: str, model: str, data: str = "") -> str:
    """What `make cancel` names: a run, a model, or rows of the hub; ConfigError unless it is exactly one of them."""
    named = {"RUN": run, "MODEL": model, "DATA": data}
    commands = [f"make cancel {name}={quote(value)}" for name, value in named.items() if value]
    if len(commands) > 1:
        raise ConfigError(
            f"Cancel one at a time: {', or '.join(commands)}. MODEL is the Job of its base weights, DATA that of rows."
        )
    if run in MODELS:
        raise ConfigError(
            f"'{run}' is a model, not a run; the Job that brings its base weights: make cancel MODEL={run}."
        )
    if not commands:
        raise ConfigError(
            "Name the run: make cancel RUN=id (make list shows the ids), or what is on its way from the hub: make "
            "cancel MODEL=llama31 for base weights, make cancel DATA=hub:owner/name@revision for rows."
        )
    if data and not data.startswith("hub:"):
        raise ConfigError(
            f"DATA={quote(data)} is not on the hub, so no Job brings it; a run's Jobs: make cancel RUN=id."
        )
    return rows_instance(data) if data else run or spec(model).key


def cancel(cluster: ClusterApi, instance: str) -> None:
    """Delete the Jobs of a run, a model or hub rows; their pods get time to commit a checkpoint."""
    # Drive first: while it lives, it would miss the Jobs of its stages.
    jobs = sorted(cluster.jobs(instance), key=lambda job: job.stage != DRIVE)
    for job in jobs:
        cluster.delete_job(job.name)
        log.event("job deleted", job=job.name, active=job.active)
    if not jobs:
        log.event("nothing to cancel", of=instance, namespace=cluster.namespace)
