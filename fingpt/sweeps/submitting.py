"""Have a sweep carried out: by this process, or by a controller in a cluster, which is followed or left alone."""

from __future__ import annotations

from collections.abc import Sequence

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.drive import start
from fingpt.cluster.follow import blocked, finish
from fingpt.cluster.job import to_yaml
from fingpt.cluster.submission import detachable, require_same_store
from fingpt.config import RunConfig, read_environment
from fingpt.errors import Interrupted
from fingpt.models import spec
from fingpt.runs.backend import Mode
from fingpt.runs.freeze import freeze_source
from fingpt.runs.local import local_images
from fingpt.runs.signals import interrupt_on_signals
from fingpt.storage import ObjectStore, open_store, probe
from fingpt.sweeps.controller import carry_out_alone
from fingpt.sweeps.definition import SweepDefinition
from fingpt.sweeps.freezing import checked, freeze_sweep
from fingpt.sweeps.local import LocalPlace
from fingpt.sweeps.place import ClusterPlace, controller_job, sweep_jobs, sweep_work
from fingpt.sweeps.pod import locate_sweep
from fingpt.sweeps.sweep import Sweep, create_sweep
from fingpt.weights.base import read_base_manifest


def submit(
    name: str,
    definition: SweepDefinition,
    configs: Sequence[RunConfig],
    mode: Mode,
    *,
    follow: bool,
) -> str:
    """Freeze a sweep and have it carried out; returns what is to be printed: its id, or with DRY_RUN the Jobs.

    This machine for `Mode.LOCAL` and for a store in a folder, else the cluster of the current kube context.
    """
    environment = read_environment()
    store = open_store(environment.store)
    if mode is Mode.LOCAL or (store.uri.startswith("file:") and mode is not Mode.DRY_RUN):
        sweep = _frozen(store, name, definition, configs, local_images())
        _here(store, sweep)
        return sweep.id
    from fingpt.cluster.api.cluster import Cluster

    cluster = Cluster.connect(environment.namespace)
    site = cluster.site()
    require_same_store(store, site)
    images = site.images.model_dump()
    if mode is Mode.DRY_RUN:
        sweep = freeze_sweep(name, definition, configs, images, lambda config: config)
        return "---\n".join(map(to_yaml, sweep_jobs(store, sweep, site)))
    for config in configs:
        if not spec(config.model).tiny:
            read_base_manifest(store, spec(config.model))
    sweep = _frozen(store, name, definition, configs, images)
    _in_cluster(cluster, store, sweep, follow=follow)
    return sweep.id


def carry_out_controller(uri: str, sha256: str) -> None:
    """Carry out the frozen sweep at `uri` in the cluster that this pod is in."""
    store, sweep = locate_sweep(uri, sha256)
    from fingpt.cluster.api.cluster import Cluster

    cluster = Cluster.connect()
    with interrupt_on_signals():
        carry_out_alone(sweep, store, ClusterPlace(cluster, store, sweep, cluster.site()))


def _frozen(
    store: ObjectStore,
    name: str,
    definition: SweepDefinition,
    configs: Sequence[RunConfig],
    images: dict[str, str],
) -> Sweep:
    """The sweep, created in the bucket with its rows.

    SetupError, before anything is written, where the store lets a second writer win: every record here is created once.
    """
    checked(name, definition, configs)
    probe(store)
    sweep = freeze_sweep(
        name, definition, configs, images, lambda config: freeze_source(store, config)
    )
    create_sweep(store, sweep)
    return sweep


def _here(store: ObjectStore, sweep: Sweep) -> None:
    """Carry a sweep out with processes of this machine; a stop lets each of them save what it has."""
    place = LocalPlace(store, sweep)
    try:
        with interrupt_on_signals():
            carry_out_alone(sweep, store, place)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Sweep {sweep.id} was interrupted; what was committed stays, the same command resumes."
        ) from None
    finally:
        place.workers.close()


def _in_cluster(cluster: ClusterApi, store: ObjectStore, sweep: Sweep, *, follow: bool) -> None:
    """Create the controller's Job, unless the sweep is over, and follow it where that is wanted."""
    log.event(f"in the cluster {cluster.where}", namespace=cluster.namespace, sweep=sweep.id)
    work = sweep_work(store, sweep)
    if work.done():
        log.event("sweep is complete, nothing to do", sweep=sweep.id)
        return
    site = cluster.site()
    start(cluster, controller_job(store, sweep, site))
    if not follow:
        log.event("submitted", sweep=sweep.id, next=f"make wait SWEEP={sweep.id}")
        return
    with detachable(f"sweep {sweep.id} goes on", "the same command"):
        finish(cluster, work, blocked)
