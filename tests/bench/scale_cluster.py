"""An Indexed Job of many trials on simulated nodes, by our client and by bare kubectl, one after the other.

Nodes are KWOK's: the API server, the controllers, the scheduler and Kueue are real, and pods end by themselves. Ours
submits, watches and asks for the status as `make sweep` and `make status SWEEP=` do; the peer is `kubectl create` and
`kubectl wait` of the same object under another name.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.job import CONFIG_SHA256, MANIFESTS, QUEUE, load_template
from fingpt.errors import SetupError
from fingpt.storage import LocalStore
from fingpt.sweeps.status import sweep_status
from tests.bench import invented
from tests.bench.figures import line, own_memory, p99

SWEEP = "invented-0a1b2c3d"
SIMULATED = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
STATUS_PAUSE = 2.0
DEADLINE = 3 * 3600


def measure(folder: Path, trials: int) -> list[dict[str, Any]]:
    """Time of both ways, requests of ours by kind, its memory, and the 99th percentile of a status."""
    nodes = simulated_nodes()
    namespace = f"fingpt-bench-{os.getpid()}"
    kubectl("create", "namespace", namespace)
    try:
        queue = queues(namespace, nodes)
        lines = _compare(folder, namespace, queue, (trials, nodes))
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")
        for kind, name in (("clusterqueue", namespace), ("resourceflavor", namespace)):
            kubectl("delete", kind, name, "--ignore-not-found", "--wait=false", check=False)
    return lines


def _compare(
    folder: Path, namespace: str, queue: str, size: tuple[int, int]
) -> list[dict[str, Any]]:
    trials, nodes = size
    store = LocalStore(folder)
    for key, data in invented.sweep_objects(SWEEP, trials, 0, 0):
        store.create(key, data)
    peer = by_kubectl(folder, namespace, trial_job("by-kubectl", "peer", queue, size))
    ours, requests, statuses = by_client(store, namespace, trial_job("by-us", SWEEP, queue, size))
    name = f"{trials} trials on {nodes} simulated nodes{', Kueue' if queue else ''}"
    lists = {
        f"{name}: {kind}": count
        for kind, count in requests.items()
        if kind.startswith(("list", "watch"))
    }
    return [
        line(f"{name}: from submit to the end", ours, "s", peer=peer, limit=2 * peer),
        line(f"{name}: p99 of status SWEEP=", p99(statuses), "s", limit=2.0),
        line(
            f"{name}: memory of the process that submits, watches and asks",
            own_memory(),
            "MiB",
            limit=300,
        ),
        line(
            f"{name}: lists of all pods",
            float(requests["list pods"]),
            "requests",
            limit=ours / 30 + 1,
        ),
        *(line(each, float(count), "requests") for each, count in sorted(lists.items())),
    ]


def by_kubectl(folder: Path, namespace: str, job: dict[str, Any]) -> float:
    """Seconds until the peer's Job is Complete."""
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    began = time.monotonic()
    kubectl("create", "-n", namespace, "-f", str(path))
    name = f"job/{job['metadata']['name']}"
    kubectl("wait", "-n", namespace, "--for=condition=complete", f"--timeout={DEADLINE}s", name)
    return time.monotonic() - began


def by_client(
    store: LocalStore, namespace: str, job: dict[str, Any]
) -> tuple[float, Counter[str], list[float]]:
    """Seconds until ours is Complete; requests by verb and resource; seconds of each status meanwhile."""
    cluster = Cluster.connect(namespace)
    requests = counted(cluster)
    statuses = []
    began = time.monotonic()
    cluster.apply_job(job)
    asked = 0.0
    for state in cluster.watch_job(job["metadata"]["name"]):
        if state.is_final():
            assert state.outcome is not None
            assert state.outcome.type == "Complete", state.outcome
            break
        if time.monotonic() - asked > STATUS_PAUSE:
            before = time.monotonic()
            found = sweep_status(store, SWEEP, datetime.now(UTC), cluster)
            asked = time.monotonic()
            statuses.append(asked - before)
            assert found.studies
    return time.monotonic() - began, requests, statuses


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


def trial_job(name: str, instance: str, queue: str, size: tuple[int, int]) -> dict[str, Any]:
    """The Job of a study's trials for simulated nodes, one GPU each, as many at a time as they have GPUs."""
    trials, nodes = size
    stage = "trial" if (MANIFESTS / "trial.yaml").is_file() else "train"
    job: dict[str, Any] = json.loads(json.dumps(load_template(stage)))
    spec, labels = job["spec"], job["metadata"]["labels"]
    labels |= {
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/component": "trial",
        "fingpt-jobs/model": invented.MODELS[0],
    }
    job["metadata"] |= {"name": name, "annotations": {CONFIG_SHA256: "0" * 64}}
    if queue:
        labels[QUEUE] = queue
    spec.pop("backoffLimit", None)
    spec |= {
        "completionMode": "Indexed",
        "completions": trials,
        "parallelism": min(trials, 8 * nodes),
        "backoffLimitPerIndex": 6,
        "maxFailedIndexes": min(trials, 10_000),
    }
    pod = spec["template"]["spec"]
    spec["template"]["metadata"]["labels"] = {k: v for k, v in labels.items() if k != QUEUE}
    pod |= {"tolerations": [SIMULATED], "nodeSelector": {"type": "kwok"}}
    pod["serviceAccountName"] = "default"
    for amounts in pod["containers"][0]["resources"].values():
        amounts.pop("ephemeral-storage", None)  # simulated nodes have none
    return job


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
