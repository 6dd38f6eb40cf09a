"""Nodes are drained, lose their kubelet or vanish, and the API server restarts, all under a training.

What only a machine's owner can do to a node is done through docker: the cluster has to be one of kind. No test leaves
a node cordoned, stopped or without its kubelet.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.e2e.chart_lab import kubectl
from tests.e2e.run_lab import CONTROL_PLANE, nodes, until
from tests.e2e.training import Training, running, training

pytestmark = pytest.mark.e2e

KUBELET_DOWN_SECONDS = 60
OURS = "app.kubernetes.io/name=fingpt-jobs"


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout


def ready(name: str) -> bool:
    conditions = nodes().get(name, {}).get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@pytest.fixture
def workers() -> Iterator[list[str]]:
    """At least two nodes that pods of ours run on, all Ready and in use again afterwards."""
    found = [
        name for name, node in nodes().items() if CONTROL_PLANE not in node["metadata"]["labels"]
    ]
    if len(found) < 2:
        pytest.skip(f"The cluster has {len(found)} workers; going on elsewhere takes two.")
    yield found
    for name in found:
        until(180, f"node {name} is back", lambda name=name: ready(name), 1)
        kubectl("uncordon", name)


@pytest.fixture
def kind(run_lab) -> list[str]:
    """Names of nodes that are docker containers of this machine."""
    if shutil.which("docker") is None:
        pytest.skip(
            "docker is not on PATH; only nodes that are containers can be stopped by a test."
        )
    running = subprocess.run(
        ["docker", "ps", "--format", "{{.Names}}"], capture_output=True, text=True
    )
    if not set(nodes()) <= set(running.stdout.split()):
        pytest.skip("The nodes are no docker containers of this machine, so no test can stop them.")
    return running.stdout.split()


@pytest.mark.core
def test_a_drained_node_hands_its_training_over(run_lab, reference, workers):
    with training(run_lab, "kubectl drain of the node it runs on") as one:
        pod = one.trains()
        node, before = one.node(), one.commits()
        one.say(f"kubectl drain {node} after commit {before}")
        words = ("--ignore-daemonsets", "--delete-emptydir-data", f"--pod-selector={OURS}")
        kubectl("drain", node, *words, "--timeout=120s")
        assert one.exit_of(pod) == 143
        one.finish()
        one.prove(reference)
        assert one.commits() > before
        assert one.node() != node
        assert one.claims() == 2
        assert failures(one) == 0, "a drain cost a retry"
    assert "disrupted" in one.seen.states()
    assert "evicted" in one.seen.text()


@pytest.mark.part1
def test_a_kubelet_that_stops_for_a_minute_costs_nothing(run_lab, reference, workers, kind):
    with training(run_lab, f"the kubelet stops for {KUBELET_DOWN_SECONDS} s") as one:
        pod = one.trains()
        node = one.node()
        one.say(f"kubelet of {node} stopped after commit {one.commits()}")
        docker("exec", node, "systemctl", "stop", "kubelet")
        try:
            until(90, "the node is called not ready", lambda: not ready(node))
            one.say("the node is called not ready")
            time.sleep(KUBELET_DOWN_SECONDS / 4)
        finally:
            docker("exec", node, "systemctl", "start", "kubelet")
        one.say("kubelet started")
        one.finish()
        one.prove(reference)
        assert one.exit_of(pod) == 0
        assert one.claims() == 1
        assert failures(one) == 0


@pytest.mark.part1
def test_a_killed_node_is_named_and_its_training_goes_on_elsewhere(
    run_lab, reference, workers, kind
):
    with training(run_lab, "docker kill of the node, then kubectl delete node") as one:
        one.trains()
        node, before = one.node(), one.commits()
        try:
            one.say(f"docker kill {node} after commit {before}")
            docker("kill", node)
            until(120, "status names the node", lambda: "stuck-node" in one.seen.states())
            one.say(f"kubectl delete node {node}")
            kubectl("delete", "node", node)
            until(180, "another attempt claims the run", lambda: one.claims() == 2)
            assert one.node() != node
        finally:
            docker("start", node)
        one.finish()
        one.prove(reference)
        assert one.commits() > before
        assert failures(one) == 0, "a lost node cost a retry"
    assert node in one.seen.text()


@pytest.mark.part1
def test_make_run_outlives_a_restart_of_the_api_server(run_lab, reference, kind):
    with running(run_lab, "kill -9 of the API server while `make run` follows") as one:
        one.trains()
        (host,) = (
            name for name, node in nodes().items() if CONTROL_PLANE in node["metadata"]["labels"]
        )
        one.say(f"kill -9 of kube-apiserver on {host}")
        docker("exec", host, "pkill", "-9", "-x", "kube-apiserver")
        code, said = one.follow()
        assert code == 0, said
        one.finish()
        one.prove(reference)
        assert one.claims() == 1


@pytest.mark.part1
def test_a_tiny_training_asks_for_a_gpu_where_one_is_offered(run_lab, reference):
    name = next(name for name, node in nodes().items() if not node["spec"].get("taints"))
    offer = {"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "1"}
    patch = ("patch", "node", name, "--subresource=status", "--type=json", "-p")
    offered = "nvidia.com/gpu" in nodes()[name]["status"]["allocatable"]
    if not offered:
        kubectl(*patch, json.dumps([offer]))
    run_lab.upgrade("upgrade", "--set", "gpu.tiny=true")
    try:
        with training(run_lab, f"the site gives tiny models GPUs, {name} offers one") as one:
            one.finish()
            one.prove(reference)
            (pod,) = one.pods()
            limits = pod["spec"]["containers"][0]["resources"]["limits"]
            assert limits["nvidia.com/gpu"] == "1"
            taken = pod["spec"]["nodeName"]
            assert "nvidia.com/gpu" in nodes()[taken]["status"]["allocatable"]
    finally:
        run_lab.upgrade("upgrade")
        if not offered:
            kubectl(*patch, json.dumps([{**offer, "op": "remove"}]))


def failures(one: Training) -> int:
    """Retries that the training's Job has counted."""
    words = ("get", "job", one.job, "-n", one.lab.namespace, "-o", "jsonpath={.status.failed}")
    return int(kubectl(*words) or 0)
