"""Wait for a sweep that was started before, wherever it is carried out; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.follow import failure
from fingpt.cluster.submission import detachable
from fingpt.cluster.sweep_job import sweep_name
from fingpt.errors import FingptError, MissingInputError, TransientError
from fingpt.runs.run import Stage
from fingpt.runs.seen import Seen
from fingpt.runs.state import attempts
from fingpt.storage import ObjectStore
from fingpt.sweeps.claim import controller_of
from fingpt.sweeps.place import sweep_work
from fingpt.sweeps.submitted import command_of
from fingpt.sweeps.sweep import require_sweep
from fingpt.sweeps.view import SweepView, open_trials, read_sweep

POLL_SECONDS = 10.0
NOTHING_SECONDS = 60.0
"""How long nothing may work on a sweep between two trials: a process loads its libraries."""


def wait_for_sweep(
    store: ObjectStore,
    sweep: str,
    cluster: ClusterApi | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when the sweep's last record is there; raises how its controller ended otherwise.

    MissingInputError when there is no such sweep, or nothing works on it, with the command that goes on with it;
    SetupError when the cluster has no such namespace.
    Interrupted on Ctrl-C, which ends nothing but the waiting.
    """
    require_sweep(store, sweep)
    with detachable(f"{sweep} goes on", f"make wait SWEEP={sweep}", place=""):
        _wait(store, sweep, cluster, sleep)
    log.event("complete", sweep=sweep)


def _wait(
    store: ObjectStore, sweep: str, cluster: ClusterApi | None, sleep: Callable[[float], None]
) -> None:
    logged, idle = "", 0.0
    name = sweep_name(sweep)
    while not (view := read_sweep(store, sweep)).complete:
        job = cluster.job(name) if cluster else None
        if cluster and job is not None and job.is_final():
            raise _end(cluster, store, sweep)
        if cluster and job is None and not logged:
            cluster.require_namespace()
        told, asked = (
            sum(len(getattr(s, kind)) for s in view.studies) for kind in ("tells", "asks")
        )
        total = view.sweep.definition.count * len(view.studies)
        shown = f"{told} of {total} trials ended, {max(asked - told, 0)} under way"
        if shown != logged:
            log.event(shown, sweep=sweep)
            idle = 0.0
            logged = shown
        controller = controller_of(store, sweep)
        led = controller is not None and controller.works(datetime.now(UTC))
        works = job is not None or led or _one_works(store, view)
        idle = 0.0 if works else idle + POLL_SECONDS
        if idle > NOTHING_SECONDS:
            raise MissingInputError(
                f"Nothing works on {sweep}: {shown}. The command that made it goes on with it: "
                f"{command_of(store, view.sweep)}"
            )
        sleep(POLL_SECONDS)


def _one_works(store: ObjectStore, view: SweepView) -> bool:
    """Whether a trial that was asked for has a living attempt."""
    now = datetime.now(UTC)
    for run_id in open_trials(store, view):
        seen = Seen(store, run_id)
        last = [attempts(seen, run_id, stage)[-1:] for stage in Stage]
        if any(each.state(now) == "working" for found in last for each in found):
            return True
    return False


def _end(cluster: ClusterApi, store: ObjectStore, sweep: str) -> FingptError:
    """How the controller's Job ended without the sweep's last record."""
    name = sweep_name(sweep)
    snapshot = cluster.job_snapshot(name)
    work = sweep_work(store, read_sweep(store, sweep).sweep)
    return failure(snapshot, work) or TransientError(
        f"Job {name} is Complete, but {work.result} is not in {store.uri}; give the command that made the sweep again."
    )
