"""Take the Jobs of a run or sweep, or the one that brings base weights or rows, off a cluster; the bucket stays."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from fingpt import log
from fingpt.cluster.api.objects import JobState
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import DRIVE, RUN_URI, SEARCH, rows_instance
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


def cancel_sweep(cluster: ClusterApi, sweep_id: str, store: str) -> None:
    """Delete the controller's Job of a sweep and every Job that it has made; pods get time to commit a checkpoint.

    Errors as `cancel`.
    """
    # The controller first: while it lives, it would make the Jobs of trials anew. Drive makes those of its stages.
    jobs = sorted(cluster.jobs(sweep=sweep_id), key=lambda job: job.stage != SEARCH)
    _require_of_store(cluster, jobs, store)
    for job in jobs:
        _delete(cluster, job)
        if job.stage == DRIVE:
            cancel(cluster, job.run_id, store)
    if not jobs:
        _nothing(cluster, sweep_id)


def cancel(cluster: ClusterApi, instance: str, store: str) -> None:
    """Delete the Jobs of a run, a model or hub rows; their pods get time to commit a checkpoint.

    ConfigError, before any is deleted, where one works on another store than `store`, the URI that the command names;
    SetupError when there are none, and no such namespace either.
    """
    # Drive first: while it lives, it would miss the Jobs of its stages.
    jobs = sorted(cluster.jobs(instance), key=lambda job: job.stage != DRIVE)
    _require_of_store(cluster, jobs, store)
    for job in jobs:
        _delete(cluster, job)
    if not jobs:
        _nothing(cluster, instance)


def _require_of_store(cluster: ClusterApi, jobs: Sequence[JobState], store: str) -> None:
    """An id is made of what is computed alone: the same run of another store, in another namespace, has it too."""
    for job in jobs:
        uri = job.annotations.get(RUN_URI, "")
        if uri and not uri.startswith(f"{store.rstrip('/')}/"):
            raise ConfigError(
                f"Job {job.name} in namespace '{cluster.namespace}' works on {uri}, and this command names the store "
                f"{store}; nothing was cancelled: name its store (STORE=), or the namespace of yours (NAMESPACE=)."
            )


def _delete(cluster: ClusterApi, job: JobState) -> None:
    cluster.delete_job(job.name)
    log.event("job deleted", job=job.name, active=job.active)


def _nothing(cluster: ClusterApi, wanted: str) -> None:
    cluster.require_namespace()
    log.event("nothing to cancel", of=wanted, namespace=cluster.namespace)
