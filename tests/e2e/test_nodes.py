"""A training on two nodes under the real JobSet controller: pods deleted and killed, a node drained, a queue.

Nothing of it is lost: its adapter has the bytes of two processes on one machine. Without JobSet (`make kind-e2e
JOBSET=manifest`) these are skipped, and without Kueue the one about the queue.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from fingpt.runs.run import Stage, node_key
from fingpt.storage import open_store
from tests.e2e.chart_lab import CHART, apply, image, kubectl, run
from tests.e2e.run_lab import CONTROL_PLANE, STORE, RunLab, nodes, until
from tests.e2e.training import MODEL, SETTINGS, SUPERVISOR, Training, training

pytestmark = [pytest.mark.e2e, pytest.mark.part5]

KILL = """
for pid in found(sys.argv[1]):
    os.kill(pid, signal.SIGKILL)
"""
MORE = ("train.max_steps=150", "train.save_every=10", "train.lora.dropout=0")
TWO_NODES = (*MORE, "train.accumulation=2", "train.nodes=2")
TWO_PROCESSES = (*MORE, "train.accumulation=1", "train.processes=2")
QUEUE = "e2e-nodes"
PLACES = "v1beta1.visibility.kueue.x-k8s.io"
PLACES_PATH = "/apis/visibility.kueue.x-k8s.io/v1beta1"


@pytest.fixture(scope="module")
def lab(run_lab: RunLab) -> Iterator[RunLab]:
    """The chart with what trainings on several nodes need."""
    if run("kubectl", "get", "crd", "jobsets.jobset.x-k8s.io").returncode:
        pytest.skip("The cluster has no JobSet: make kind-e2e JOBSET=manifest.")
    run_lab.upgrade("upgrade", "--set", "nodes.enabled=true")
    done = run_lab.command("submit", "tiny", "--model", MODEL, "--mode", "local")
    assert done.returncode == 0, done.stderr
    yield run_lab
    run_lab.upgrade("upgrade")


@cache
def two_processes() -> bytes:
    """The adapter that two processes of this machine train from the same rows."""
    pairs = [word for each in (*SETTINGS, *TWO_PROCESSES) for word in ("--set", each)]
    words = ("--model", MODEL, "--mode", "local", *pairs)
    for stage in ("prep", "train"):
        command = [sys.executable, "-m", "jobs.submit", stage, *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, cwd=CHART.parents[1]
        )
        assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[-1]
    return open_store(STORE).read(f"runs/{run_id}/train/adapter/adapter_model.safetensors")


@pytest.fixture
def workers() -> Iterator[list[str]]:
    """Two nodes at least, all in use again afterwards."""
    found = [
        name for name, node in nodes().items() if CONTROL_PLANE not in node["metadata"]["labels"]
    ]
    if len(found) < 2:
        pytest.skip(f"The cluster has {len(found)} workers; two nodes of a training take two.")
    yield found
    for name in found:
        kubectl("uncordon", name)


def pod_of(one: Training, rank: int) -> dict:
    """The pod of a node of the training that is there now."""
    label = "batch.kubernetes.io/job-completion-index"
    found = [each for each in one.pods() if each["metadata"]["labels"][label] == str(rank)]
    return found[-1]


def goes_on(one: Training, attempt: int) -> int:
    """Wait until that attempt has committed something of its own; the number of commits."""
    until(150, f"attempt {attempt} claims the run", lambda: one.claims() == attempt)
    before = one.commits()
    until(120, f"attempt {attempt} commits", lambda: one.commits() > before + 1)
    return one.commits()


def restarts_that_count(one: Training) -> int:
    path = "jsonpath={.status.restartsCountTowardsMax}"
    return int(kubectl("get", "jobset", one.job, "-n", one.lab.namespace, "-o", path) or 0)


def test_a_deleted_pod_a_killed_one_and_a_drained_node_cost_no_byte(lab, workers):
    with training(lab, "two nodes: pod 1 deleted, pod 0 killed, a node drained", *TWO_NODES) as one:
        goes_on(one, 1)
        assert all(lab.store.exists(node_key(one.run.id, 1, rank)) for rank in (0, 1))
        assert {pod_of(one, 0)["spec"]["nodeName"], pod_of(one, 1)["spec"]["nodeName"]} <= {
            *workers
        }
        one.say("kubectl delete pod of node 1")
        name = pod_of(one, 1)["metadata"]["name"]
        kubectl("delete", "pod", name, "-n", lab.namespace, "--wait=false")
        assert one.exit_of(name) == 143
        goes_on(one, 2)
        assert restarts_that_count(one) == 0, "a deleted pod stops in good order"
        name = pod_of(one, 0)["metadata"]["name"]
        one.say(f"kill -9 of the supervisor in {name}")
        one.inside(name, KILL, SUPERVISOR)
        goes_on(one, 3)
        assert restarts_that_count(one) == 1
        node = pod_of(one, 1)["spec"]["nodeName"]
        one.say(f"kubectl drain {node}")
        words = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
        ours = "--pod-selector=app.kubernetes.io/name=fingpt-jobs"
        kubectl("drain", node, ours, *words)
        until(150, "attempt 4 claims the run", lambda: one.claims() == 4)
        kubectl("uncordon", node)
        one.finish()
        one.prove(two_processes())
        assert restarts_that_count(one) == 1, "a drained node cost a restart"
    said = one.seen.text()
    assert "2 of 2 pods run: node 0 on " in said
    assert "node 1: " in said
    assert "all nodes restart together" in said or "another pod follows" in said
    assert {"running", "disrupted"} <= set(one.seen.states())


def test_a_queue_admits_it_as_a_whole_and_takes_it_back_as_a_whole(lab, workers, queued):
    occupy(lab)
    with training(lab, "a queue with room for two pods of it, or for another", *TWO_NODES) as one:
        until(60, "it waits", lambda: "waiting" in one.seen.states())
        assert one.pods() == [], "a part of it was admitted"
        free(lab)
        goes_on(one, 1)
        assert len(one.pods()) == 2
        occupy(lab)
        until(120, "it is taken back as a whole", lambda: not one.pods())
        until(30, "status says so", lambda: one.now()["state"] == "waiting")
        assert "the queue has no room yet" in why(one)["summary"]
        assert why(one)["message"]
        free(lab)
        one.finish()
        one.prove(two_processes())
        assert one.claims(Stage.TRAIN) == 2
        assert restarts_that_count(one) == 0


def test_those_that_wait_in_a_queue_are_told_their_places_and_move_up(lab, workers, queued):
    served = ("wait", "--for=condition=Available", "apiservice", PLACES, "--timeout=60s")
    # A condition that holds is not enough: where a gateway answers any address, an API server that asked before
    # kube-proxy knew the service goes on asking the gateway, whose answer is 404.
    if run("kubectl", *served).returncode or run("kubectl", "get", "--raw", PLACES_PATH).returncode:
        pytest.skip(f"This cluster does not serve Kueue's {PLACES}, so nobody knows places.")
    occupy(lab)
    with (
        training(lab, "the first in a queue without room", *TWO_NODES) as first,
        training(lab, "one behind it", *TWO_NODES) as second,
    ):
        until(
            60, "the first one's place", lambda: f"next in queue {QUEUE}" in why(first)["summary"]
        )
        assert "more needed" in why(first)["message"]
        behind = f"1 before it in queue {QUEUE}"
        until(60, "the second one's place", lambda: behind in why(second)["summary"])
        assert lab.command("cancel", "--run", first.run.id).returncode == 0
        until(60, "it moves up", lambda: f"next in queue {QUEUE}" in why(second)["summary"])
        assert first.pods() == second.pods() == []
        free(lab)
        until(120, "it is admitted as a whole", lambda: len(second.pods()) == 2)
        assert lab.command("cancel", "--run", second.run.id).returncode == 0


@pytest.fixture
def queued(lab: RunLab) -> Iterator[None]:
    """The queue, in which the chart's Jobs and JobSets stand."""
    if run("kubectl", "get", "crd", "clusterqueues.kueue.x-k8s.io").returncode:
        pytest.skip("The cluster has no Kueue: make kind-e2e KUEUE=manifest.")
    kubectl("apply", "-f", "-", stdin=json.dumps(queue(lab.namespace)))
    lab.upgrade("upgrade", "--set", f"nodes.enabled=true,queue.name={QUEUE}")
    yield
    free(lab)
    lab.upgrade("upgrade", "--set", "nodes.enabled=true")
    kubectl("delete", "clusterqueue,resourceflavor,workloadpriorityclass", QUEUE)


def why(one: Training) -> dict[str, str]:
    """What status says of its training now."""
    (found,) = (each["why"] for each in one.now()["stages"] if each["stage"] == "train")
    return found


def queue(namespace: str) -> dict:
    """A queue with room for one training on two nodes, in which what has priority goes first."""
    version = "kueue.x-k8s.io/v1beta1"
    quotas = [{"name": "cpu", "nominalQuota": "1700m"}, {"name": "memory", "nominalQuota": "4Gi"}]
    quotas += [{"name": "ephemeral-storage", "nominalQuota": "8Gi"}]
    spec = {
        "namespaceSelector": {},
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [
            {
                "coveredResources": [each["name"] for each in quotas],
                "flavors": [{"name": QUEUE, "resources": quotas}],
            }
        ],
    }
    items = [
        # With node labels Kueue changes the pods' template as it admits them, and back when it takes them back.
        {"kind": "ResourceFlavor", "spec": {"nodeLabels": {"kubernetes.io/os": "linux"}}},
        {"kind": "WorkloadPriorityClass", "value": 100, "description": "for a test"},
        {"kind": "ClusterQueue", "spec": spec},
        {"kind": "LocalQueue", "spec": {"clusterQueue": QUEUE}},
    ]
    for each in items:
        where = {"namespace": namespace} if each["kind"] == "LocalQueue" else {}
        each |= {"apiVersion": version, "metadata": {"name": QUEUE, **where}}
    return {"apiVersion": "v1", "kind": "List", "items": items}


def occupy(lab: RunLab) -> None:
    """A Job of higher priority takes the queue's room; it only waits."""
    amounts = {"cpu": "200m", "memory": "64Mi", "ephemeral-storage": "64Mi"}
    container = {
        "name": "wait",
        "image": image("FINGPT_E2E_PREP"),
        "command": ["python", "-c", "import time; time.sleep(900)"],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    labels = {"kueue.x-k8s.io/queue-name": QUEUE, "kueue.x-k8s.io/priority-class": QUEUE}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": QUEUE, "labels": labels},
        "spec": {"suspend": True, "template": {"spec": pod}},
    }
    apply(lab.namespace, job)
    words = ("get", "job", QUEUE, "-n", lab.namespace, "-o", "jsonpath={.status.active}")
    until(60, "the other Job has the queue's room", lambda: kubectl(*words) == "1")


def free(lab: RunLab) -> None:
    kubectl("delete", "job", QUEUE, "-n", lab.namespace, "--ignore-not-found")
