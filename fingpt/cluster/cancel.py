"""Take the Jobs of a run or sweep, or the one that brings base weights or rows, off a cluster; the bucket stays."""

from __future__ import annotations

from shlex import quote

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import DRIVE, SEARCH, rows_instance
from fingpt.errors import ConfigError
from fingpt.models import MODELS, spec


def instance_of(run: str, model: str, data: str = "", sweep: str = "") -> str:
    """What `make cancel` names: a run, a sweep, a model, or rows of the hub; ConfigError unless it is exactly one."""
    named = {"RUN": run, "SWEEP": sweep, "MODEL": model, "DATA": data}
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
            "Name the run: make cancel RUN=id (make list shows the ids) or SWEEP=id, or what is on its way from "
            "the hub: make cancel MODEL=llama31 for base weights, make cancel DATA=hub:owner/name@revision for rows."
        )
    if data and not data.startswith("hub:"):
        raise ConfigError(
            f"DATA={quote(data)} is not on the hub, so no Job brings it; a run's Jobs: make cancel RUN=id."
        )
    return rows_instance(data) if data else run or sweep or spec(model).key


def cancel_sweep(cluster: ClusterApi, sweep_id: str) -> None:
    """Delete the controller's Job of a sweep and every Job that it has made; pods get time to commit a checkpoint."""
    # The controller first: while it lives, it would make the Jobs of trials anew. Drive makes those of its stages.
    jobs = sorted(cluster.jobs(sweep=sweep_id), key=lambda job: job.stage != SEARCH)
    for job in jobs:
        cluster.delete_job(job.name)
        log.event("job deleted", job=job.name, active=job.active)
        if job.stage == DRIVE:
            cancel(cluster, job.run_id)
    if not jobs:
        cluster.require_namespace()
        log.event("nothing to cancel", of=sweep_id, namespace=cluster.namespace)


def cancel(cluster: ClusterApi, instance: str) -> None:
    """Delete the Jobs of a run, a model or hub rows; their pods get time to commit a checkpoint."""
    # Drive first: while it lives, it would miss the Jobs of its stages.
    jobs = sorted(cluster.jobs(instance), key=lambda job: job.stage != DRIVE)
    for job in jobs:
        cluster.delete_job(job.name)
        log.event("job deleted", job=job.name, active=job.active)
    if not jobs:
        cluster.require_namespace()
        log.event("nothing to cancel", of=instance, namespace=cluster.namespace)
