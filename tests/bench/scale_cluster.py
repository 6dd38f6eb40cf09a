"""A search of many trials on simulated nodes, by our controller and by bare kubectl, one after the other.

Nodes are KWOK's: the API server, the controllers, the scheduler and Kueue are real, and pods end by themselves. What
trials leave in the bucket is laid down before, since simulated pods write nothing. Ours submits the Job, follows it and
tells of every trial, as the controller of `make sweep` does, while `make status SWEEP=` is asked again and again; the
peer is `kubectl create` and `kubectl wait` of the same object under another name, and of a status `kubectl get jobs`.
The controller's own Job is there too, so that a status has to say how it is; no node takes its pod.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.job import INSTANCE, SWEEP
from fingpt.cluster.site import Site
from fingpt.errors import SetupError
from fingpt.storage import LocalStore
from fingpt.sweeps.indexed import IndexedSearch, trial_job
from fingpt.sweeps.place import controller_job
from fingpt.sweeps.status import sweep_status
from fingpt.sweeps.sweep import Sweep
from tests.bench import invented
from tests.bench.figures import Timed, line, own_memory, p99, timed
from tests.cluster.sites import site_data

SIMULATED = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
STATUS_PAUSE, COMMAND_EVERY = 2.0, 10
DEADLINE, LEAVE = 3 * 3600, 300


def measure(folder: Path, trials: int) -> list[dict[str, Any]]:
    """Time of both ways, requests of ours by kind, its memory, and the 99th percentile of a status."""
    nodes = simulated_nodes()
    namespace = f"fingpt-bench-{os.getpid()}"
    kubectl("create", "namespace", namespace)
    try:
        queue = queues(namespace, nodes)
        lines = _compare(folder, namespace, queue, (trials, nodes))
    finally:
        # It is waited for, since a pod whose simulated node is taken away before never ends, nor does its namespace.
        gone = kubectl("delete", "namespace", namespace, f"--timeout={LEAVE}s", check=False)
        if gone.returncode:
            print(f"namespace {namespace} is still there: {gone.stderr.strip()}", flush=True)
        for kind, name in (("clusterqueue", namespace), ("resourceflavor", namespace)):
            kubectl("delete", kind, name, "--ignore-not-found", "--wait=false", check=False)
    return lines


def _compare(
    folder: Path, namespace: str, queue: str, size: tuple[int, int]
) -> list[dict[str, Any]]:
    trials, nodes = size
    store = LocalStore(folder)
    sweep = invented.lay_down_search(folder, trials, min(trials, 8 * nodes))
    site = simulated_site(queue)
    job = simulated(trial_job(store, sweep, invented.MODELS[0], site))
    controller = json.dumps(homeless(simulated(controller_job(store, sweep, site))))
    kubectl("create", "-n", namespace, "-f", "-", stdin=controller)
    peer = by_kubectl(folder, namespace, renamed(job, "by-kubectl"))
    print(f"kubectl: {peer:.1f} s", flush=True)
    cluster = Cluster.connect(namespace)
    requests = counted(cluster)
    with asking(store, namespace, sweep) as (statuses, commands, asked):
        began = time.monotonic()
        cluster.apply_job(job)
        tells = IndexedSearch(cluster, store, sweep, invented.MODELS[0]).carry_out(site)
        ours = time.monotonic() - began
    assert len(tells) == trials
    name = f"{trials} trials on {nodes} simulated nodes{', Kueue' if queue else ''}"
    counts = {f"controller: {kind}": count for kind, count in requests.items()}
    counts |= {
        f"{len(statuses)} statuses: {kind}": count
        for kind, count in asked.items()
        if kind.startswith("list")
    }
    return [
        line(f"{name}: from submit to the last tell", ours, "s", peer=peer, limit=2 * peer),
        line(f"{name}: p99 of status SWEEP=", p99(statuses), "s", limit=2.0),
        *of_commands(commands, f"{name}: make status SWEEP= as a command"),
        line(
            f"{name}: memory of the process that submits, follows, tells and asks",
            own_memory(),
            "MiB",
            limit=300,
        ),
        line(
            f"{name}: lists of the trials' pods",
            float(requests["list pods"]),
            "requests",
            limit=ours / 30 + 1,
        ),
        *(
            line(f"{name}: {kind}", float(count), "requests")
            for kind, count in sorted(counts.items())
        ),
    ]


def of_commands(commands: list[tuple[Timed, float]], name: str) -> list[dict[str, Any]]:
    """The slowest and the median of some commands beside kubectl's, and the processor time that most of them take."""
    if not commands:
        return []
    walls, peers = [each.wall for each, _ in commands], [peer for _, peer in commands]
    processor = median(each.processor for each, _ in commands)
    return [
        line(f"{name}, slowest of {len(walls)}", max(walls), "s", peer=max(peers)),
        line(f"{name}, median", median(walls), "s", peer=median(peers)),
        line(f"{name}, median processor time", processor, "s"),
    ]


def by_kubectl(folder: Path, namespace: str, job: dict[str, Any]) -> float:
    """Seconds until the peer's Job is Complete."""
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    began = time.monotonic()
    kubectl("create", "-n", namespace, "-f", str(path))
    name = f"job/{job['metadata']['name']}"
    kubectl("wait", "-n", namespace, "--for=condition=complete", f"--timeout={DEADLINE}s", name)
    seconds = time.monotonic() - began
    # With more than 12,500 pods that have ended, the control plane collects the oldest, at the other way's expense.
    kubectl("delete", "-n", namespace, name, "--cascade=foreground", f"--timeout={DEADLINE}s")
    return seconds


@contextmanager
def asking(
    store: LocalStore, namespace: str, sweep: Sweep
) -> Iterator[tuple[list[float], list[tuple[Timed, float]], Counter[str]]]:
    """Asks for the sweep's status meanwhile, in a thread: seconds of each, commands now and then, requests by kind.

    After each command follows kubectl's list of the same Jobs, whose seconds stand beside it.
    """
    cluster = Cluster.connect(namespace)
    requests = counted(cluster)
    statuses: list[float] = []
    commands: list[tuple[Timed, float]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(STATUS_PAUSE):
            began = time.monotonic()
            assert sweep_status(store, sweep.id, datetime.now(UTC), cluster).studies
            statuses.append(time.monotonic() - began)
            if len(statuses) % COMMAND_EVERY == 0:
                words = ["-m", "jobs.status", "--sweep", sweep.id]
                ours = timed(words, FINGPT_STORE=store.uri, FINGPT_NAMESPACE=namespace)
                began = time.monotonic()
                kubectl("get", "jobs", "-n", namespace, "-l", f"{SWEEP}={sweep.id}")
                commands.append((ours, time.monotonic() - began))

    with ThreadPoolExecutor(1) as threads:
        asker = threads.submit(ask)
        try:
            yield statuses, commands, requests
        finally:
            over.set()
        asker.result()


def counted(cluster: Cluster) -> Counter[str]:
    """Requests of this client by verb and resource, from now on."""
    found: Counter[str] = Counter()
    transport = cluster._api
    send, lines = transport._send, transport.lines

    def counting_send(call: Any, *rest: Any, **options: Any) -> Any:
        found[f"{call.verb} {call.resource}"] += 1
        return send(call, *rest, **options)

    def counting_lines(verb: str, resource: str, *rest: Any, **options: Any) -> Any:
        found[f"{verb} {resource}"] += 1
        return lines(verb, resource, *rest, **options)

    transport._send, transport.lines = counting_send, counting_lines  # type: ignore[method-assign]
    return found


def simulated_site(queue: str) -> Site:
    """A site of simulated nodes, where tiny models ask for a GPU as others do."""
    return Site.of(
        site_data(
            queue=queue,
            tinyGpu="true",
            tolerations=json.dumps([SIMULATED]),
            nodeSelector='{"type": "kwok"}',
        )
    )


def simulated(job: dict[str, Any]) -> dict[str, Any]:
    """The Job without what simulated nodes and an empty namespace lack: local disks, and our account."""
    found: dict[str, Any] = json.loads(json.dumps(job))
    pod = found["spec"]["template"]["spec"]
    pod["serviceAccountName"] = "default"
    for amounts in pod["containers"][0]["resources"].values():
        amounts.pop("ephemeral-storage", None)
    return found


def homeless(job: dict[str, Any]) -> dict[str, Any]:
    """The Job for nodes that there are none of: simulated nodes would end its pod at once."""
    job["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "none"}
    return job


def renamed(job: dict[str, Any], name: str) -> dict[str, Any]:
    """The same Job under another name, which belongs to no sweep."""
    found: dict[str, Any] = json.loads(json.dumps(job))
    found["metadata"]["name"] = name
    for metadata in (found["metadata"], found["spec"]["template"]["metadata"]):
        metadata["labels"].pop(SWEEP)
        metadata["labels"][INSTANCE] = name
    return found


def queues(namespace: str, nodes: int) -> str:
    """A queue that admits all GPUs of the nodes; its name, empty where the cluster has no Kueue."""
    if kubectl("get", "crd", "localqueues.kueue.x-k8s.io", check=False).returncode:
        return ""
    api, quotas = "kueue.x-k8s.io/v1beta1", {"cpu": 96, "memory": "1Ti", "nvidia.com/gpu": 8}
    resources = [
        {"name": each, "nominalQuota": f"{nodes}Ti" if each == "memory" else str(amount * nodes)}
        for each, amount in quotas.items()
    ]
    resources.append({"name": "ephemeral-storage", "nominalQuota": "100Pi"})
    objects = [
        {"apiVersion": api, "kind": "ResourceFlavor", "metadata": {"name": namespace}},
        {
            "apiVersion": api,
            "kind": "ClusterQueue",
            "metadata": {"name": namespace},
            "spec": {
                "namespaceSelector": {},
                "resourceGroups": [
                    {
                        "coveredResources": [each["name"] for each in resources],
                        "flavors": [{"name": namespace, "resources": resources}],
                    }
                ],
            },
        },
        {
            "apiVersion": api,
            "kind": "LocalQueue",
            "metadata": {"name": "bench", "namespace": namespace},
            "spec": {"clusterQueue": namespace},
        },
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "-f", "-", stdin=text)
    return "bench"


def simulated_nodes() -> int:
    """How many there are; SetupError where no cluster or none of them is."""
    if not os.environ.get("KUBECONFIG") or not shutil.which("kubectl"):
        raise SetupError("no cluster is here: name one in KUBECONFIG, and have kubectl.")
    found = kubectl("get", "nodes", "-l", "type=kwok", "-o", "name", check=False)
    count = len(found.stdout.split())
    if not count:
        raise SetupError(
            "the cluster that KUBECONFIG names does not answer or has no simulated nodes (KWOK's, labelled type=kwok, "
            "with eight nvidia.com/gpu each)."
        )
    return count


def kubectl(*words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["kubectl", *words], input=stdin, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done
