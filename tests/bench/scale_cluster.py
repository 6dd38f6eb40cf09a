"""A search of many trials on simulated nodes, by our controller and by bare kubectl, one after the other.

Nodes are KWOK's: the API server, the controllers, the scheduler and Kueue are real, and pods end by themselves. What
trials leave in the bucket is laid down before, since simulated pods write nothing. Ours submits the Job, follows it and
tells of every trial, as the controller of `make sweep` does, while `make status SWEEP=` is asked again and again; the
peer is `kubectl create` and `kubectl wait` of the same object under another name, and of a status `kubectl get jobs`.
The controller's own Job is there too, with a pod that runs on a simulated node, so that a status has to say how it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from fingpt.sweeps.sweep import Sweep
from tests.bench import invented
from tests.bench.figures import Timed, line, own_memory, p99, timed
from tests.bench.scale_status import counted
from tests.cluster.sites import site_data

SIMULATED = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
STATUS_PAUSE = 2.0
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
    lay_down_controller(namespace, simulated(controller_job(store, sweep, site)))
    peer = by_kubectl(folder, namespace, renamed(job, "by-kubectl"))
    print(f"kubectl: {peer:.1f} s", flush=True)
    cluster = Cluster.connect(namespace)
    requests = counted(cluster)
    with asking(folder, namespace, sweep) as commands:
        began = time.monotonic()
        cluster.apply_job(job)
        tells = IndexedSearch(cluster, store, sweep, invented.MODELS[0]).carry_out(site)
        ours = time.monotonic() - began
    assert len(tells) == trials
    name = f"{trials} trials on {nodes} simulated nodes{', Kueue' if queue else ''}"
    counts = {f"controller: {kind}": count for kind, count in requests.items()}
    asked = json.loads(commands[-1][0].output.splitlines()[-1]) if commands else {}
    counts |= {f"a status: {kind}": count for kind, count in asked.items()}
    return [
        line(f"{name}: from submit to the last tell", ours, "s", peer=peer, limit=2 * peer),
        *of_commands(commands, f"{name}: status SWEEP= in a process of its own"),
        line(
            f"{name}: memory of the process that submits, follows and tells",
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
        line(f"{name}, p99 of {len(walls)}", p99(walls), "s", peer=p99(peers), limit=2.0),
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
def asking(folder: Path, namespace: str, sweep: Sweep) -> Iterator[list[tuple[Timed, float]]]:
    """Asks for the sweep's status meanwhile, from a thread: each time a process as `make status` starts one.

    After each follows kubectl's list of the same Jobs, whose seconds stand beside it.
    """
    commands: list[tuple[Timed, float]] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(STATUS_PAUSE):
            ours = timed(["-m", "tests.bench.scale_status", str(folder), namespace, sweep.id])
            began = time.monotonic()
            kubectl("get", "jobs", "-n", namespace, "-l", f"{SWEEP}={sweep.id}")
            commands.append((ours, time.monotonic() - began))

    with ThreadPoolExecutor(1) as threads:
        asker = threads.submit(ask)
        try:
            yield commands
        finally:
            over.set()
        asker.result()


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


def lay_down_controller(namespace: str, job: dict[str, Any]) -> None:
    """The controller's Job as it is while its pod runs, which simulated nodes would end at once if the Job had made it.

    So the Job is another controller's (`managedBy`), by which Kubernetes leaves its pods and its status to us.
    """
    metadata, spec = job["metadata"], job["spec"]
    name, template = metadata["name"], spec["template"]
    spec["managedBy"] = "fingpt-jobs/benchmark"
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/job-name": name}
    about = {**template["metadata"], "name": name, "labels": labels}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": template["spec"]}
    for each in (job, pod):
        kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(each))
    status = {"active": 1, "ready": 1, "startTime": "2030-01-01T00:00:00Z"}
    patch = json.dumps({"status": status})
    kubectl(
        "patch", "job", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", patch
    )


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
