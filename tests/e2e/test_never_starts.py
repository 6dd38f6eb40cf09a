"""What never starts on a real cluster is named within 30 s: by status after the submit, and by doctor before it.

Each test spoils one thing, submits as a person with the chart's Role does, and prints what it spoiled and what it saw.
The cluster comes from KUBECONFIG, images by name: FINGPT_E2E_S3, FINGPT_E2E_PREP, and for doctor on a
site where all is well FINGPT_E2E_TRAIN and FINGPT_E2E_EVAL.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.chart_lab import CHART, KEY, Lab, image, kubectl, run
from tests.e2e.laptop import (
    QUANT,
    Laptop,
    forwarded,
    install,
    kubeconfig_of,
    made,
    node_offers,
    store_of,
    until,
    worker,
)

pytestmark = pytest.mark.e2e

LIMITS = itertools.count(3)
IMAGES = ("image of prep", "image of train", "image of eval")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The chart and an S3 server with its bucket, in two namespaces of this module's own; deleted afterwards."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster; these tests need a real one.")
    lab = Lab()
    lab.open()
    lab.serve_s3()
    install(lab, "install")
    kubectl("create", "serviceaccount", QUANT, "-n", lab.name)
    kubectl("wait", "-n", lab.storage, "--for=condition=Ready", "pod/s3", "--timeout=120s")
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def laptop(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A person with the Role fingpt-user."""
    path = tmp_path_factory.mktemp("kube") / "config"
    with forwarded(lab.storage) as port:
        yield Laptop(lab, kubeconfig_of(QUANT, lab.name, path), port)


@pytest.fixture
def spoil(lab: Lab) -> Iterator[Callable[..., None]]:
    """Change what the site says, for one test; its Jobs go with it."""

    def change(**changes: Any) -> None:
        print(f"\nspoiled: {json.dumps(changes)}")
        install(lab, "upgrade", **changes)

    yield change
    kubectl("delete", "jobs", "--all", "-n", lab.name, "--wait=false")
    install(lab, "upgrade")


def rows() -> tuple[str, str]:
    """A run that no other test submits: an id is the hash of its configuration."""
    return "--limit", str(next(LIMITS))


def says(found: dict[str, str], *words: str) -> None:
    """The sentence, the cluster's message and the action hold all of `words`."""
    text = f"{found.get('summary', '')} | {found['message']} | {found['action']}"
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"


@pytest.mark.part2
def test_doctor_finds_nothing_where_all_is_well_and_leaves_nothing(lab, laptop, spoil):
    names = {kind: image(f"FINGPT_E2E_{kind.upper()}") for kind in ("prep", "train", "eval")}
    spoil(images=names)
    before = lab.everything()
    code, checks = laptop.doctor()
    assert code == 0
    bad = {name: check for name, check in checks.items() if check["grade"] == "fail"}
    assert not bad
    for name in (*IMAGES, "room for train", "store"):
        assert checks[name]["grade"] == "ok", checks[name]
    until(lambda: not lab.everything() - before, "what was there before, and nothing more")


@pytest.mark.part2
def test_a_doctor_that_is_interrupted_leaves_nothing_either(lab, laptop, spoil, request):
    # Where a shell has put the tests in the background, they and their children ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    spoil(images=dict.fromkeys(("prep", "train", "eval"), "registry.invalid/fingpt:nope"))
    owned = (
        "get",
        "jobs,pods",
        "-n",
        lab.name,
        "-l",
        "app.kubernetes.io/name=fingpt-doctor",
        "-o",
        "name",
    )
    with laptop.begun("doctor") as doctor:
        until(lambda: "pod/" in kubectl(*owned), "doctor's pods")
        doctor.send_signal(signal.SIGINT)
        assert doctor.wait(timeout=30) == 143
    until(lambda: kubectl(*owned) == "", "nothing of doctor")


@pytest.mark.core
def test_an_unknown_image(laptop, spoil):
    spoil(images=dict.fromkeys(("prep", "train", "eval"), "registry.invalid/fingpt:nope"))
    says(
        laptop.why(laptop.submit("prep", *rows()), "blocked"),
        "registry.invalid/fingpt:nope",
        "images",
    )
    code, checks = laptop.doctor()
    assert code == 78
    for name in IMAGES:
        says(checks[name], "registry.invalid/fingpt:nope", "images")


@pytest.mark.part5
@pytest.mark.parametrize("offered", [0, 2])
def test_more_gpus_than_any_node_has(lab, laptop, spoil, offered):
    """No node with GPUs at all, and a node that offers two."""
    resource, many = f"fingpt-e2e/gpu-{offered}", ("--set", "train.processes=99")
    spoil(gpu={"tiny": True, "resource": resource})
    with node_offers(resource, offered):
        run_id = laptop.submit("prep", *rows(), *many)
        laptop.waited(run_id, "absent", "train")  # prep wants no GPU and ends
        laptop.start_train(run_id)
        says(laptop.why(run_id, "blocked", "train"), f"Insufficient {resource}", "train.processes")
        if offered:
            says(nodes_check(laptop, *many), f"99 {resource} (at most 2)", "train.processes")
            code, checks = laptop.doctor("--set", "train.processes=2")
            assert (code, checks["room for train"]["grade"]) == (0, "ok")
        else:
            code, checks = laptop.doctor(*many)
            # Whoever may not see nodes cannot tell too few from busy ones.
            assert (code, checks["room for train"]["grade"]) == (0, "warn")
            says(checks["room for train"], f"Insufficient {resource}", "train.processes")
    placed = ("-l", "app.kubernetes.io/component=train", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert kubectl("get", "pods", "-n", lab.name, *placed) == ""


@pytest.mark.core
def test_an_exceeded_quota(lab, laptop, spoil):
    spoil()
    print("spoiled: a quota of 50m CPU, less than any pod asks for")
    with made(lab, "quota", "tight", "--hard=requests.cpu=50m"):
        run_id = laptop.submit("prep", *rows())
        says(laptop.why(run_id, "blocked"), "exceeded quota: tight", "have the quota raised")
        code, checks = laptop.doctor()
        assert code == 78
        says(checks["quota"], "tight: requests.cpu")
        says(checks["room for train"], "exceeded quota: tight", "have the quota raised")


@pytest.mark.core
def test_a_missing_secret(lab, laptop, spoil):
    spoil(store={**store_of(lab), "secret": "nobody-made-it"})
    says(
        laptop.why(laptop.submit("prep", *rows()), "blocked"),
        'secret "nobody-made-it" not found',
        "kubectl create",
    )
    code, checks = laptop.doctor()
    assert code == 66
    for name in IMAGES:
        says(checks[name], 'secret "nobody-made-it" not found', "kubectl create secret")


@pytest.mark.part4
def test_a_namespace_without_the_chart(lab, laptop):
    print("\nspoiled: the namespace has no ConfigMap fingpt-jobs")
    changes = {"FINGPT_NAMESPACE": lab.storage}
    admin = replace(laptop, kubeconfig=os.environ["KUBECONFIG"], changes=changes)
    done = admin.run("submit", "prep", "--model", "tiny-llama31")
    print(f"submit: exit {done.returncode}: {done.stderr}")
    assert done.returncode == 78
    assert "helm install fingpt helm/fingpt-jobs" in done.stderr
    code, checks = admin.doctor()
    assert code == 78
    says(checks["settings"], "ConfigMap 'fingpt-jobs'", "helm install")


@pytest.mark.part1
def test_a_taint_without_a_toleration(lab, laptop, spoil):
    node = worker()
    spoil(nodeSelector={"kubernetes.io/hostname": node})
    print(f"spoiled: node {node} has the taint fingpt-e2e=closed:NoSchedule")
    kubectl("taint", "node", node, "fingpt-e2e=closed:NoSchedule")
    try:
        run_id = laptop.submit("prep", *rows())
        says(laptop.why(run_id, "blocked"), "untolerated taint", "tolerations")
        code, checks = laptop.doctor()
        assert code == 78
        says(checks["room for train"], "untolerated taint", "tolerations")
        # Newer schedulers keep the taint's name to themselves; whoever may see nodes reads it there.
        says(nodes_check(laptop), "fingpt-e2e=closed:NoSchedule", "tolerations")
    finally:
        kubectl("taint", "node", node, "fingpt-e2e-")


@pytest.mark.part4
def test_a_pod_security_refusal(laptop, spoil, tmp_path):
    """The chart's own pods pass; somebody changed k8s/ in his checkout."""
    spoil()
    print("spoiled: k8s/*.yaml of the checkout ask for allowPrivilegeEscalation")
    for name in ("fingpt", "jobs", "k8s"):
        shutil.copytree(CHART.parents[1] / name, tmp_path / name)
    for path in (tmp_path / "k8s").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        changed = text.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
        path.write_text(changed, encoding="utf-8")
    careless = replace(laptop, root=tmp_path)
    run_id = careless.submit("prep", *rows())
    says(
        careless.why(run_id, "blocked"), 'violates PodSecurity "restricted', "submit unchanged ones"
    )
    code, checks = careless.doctor()
    assert code == 78
    for name in (*IMAGES, "room for train"):
        says(checks[name], 'violates PodSecurity "restricted', "submit unchanged ones")


@pytest.mark.part4
def test_wrong_s3_credentials_of_the_laptop(laptop):
    print("\nspoiled: AWS_SECRET_ACCESS_KEY here")
    wrong = replace(laptop, changes={"AWS_SECRET_ACCESS_KEY": "wrong"})
    refused(wrong, 77, "the secret key is not the one of this access key")


@pytest.mark.part4
def test_wrong_s3_credentials_of_the_pods(lab, laptop, spoil):
    spoil(store={**store_of(lab), "secret": "old-key"})
    print("spoiled: Secret old-key holds another key")
    credentials = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = wrong\n"
    with made(lab, "secret", "generic", "old-key", f"--from-literal=credentials={credentials}"):
        run_id = laptop.submit("prep", *rows())
        why = laptop.why(run_id, "failed-permanent")
        says(
            why, "exit 77", "the secret key is not the one of this access key", "correct the Secret"
        )
        ending = "jsonpath={.items[*].status.failed} {.items[*].status.conditions[*].reason}"
        seen = ("get", "jobs", "-n", lab.name, "-o", ending)
        until(lambda: kubectl(*seen).endswith("PodFailurePolicy"), "the Job's own verdict")
        assert kubectl(*seen).startswith("1 ")  # no retry
        code, checks = laptop.doctor()
        assert (code, checks["store"]["grade"]) == (77, "ok")
        says(checks["image of prep"], "exit 77", "the secret key is not the one of this access key")


@pytest.mark.part4
def test_a_bucket_that_is_missing(lab, laptop, spoil):
    spoil(store={**store_of(lab), "uri": "s3://nobody-made-it/e2e"})
    refused(
        replace(laptop, changes={"FINGPT_STORE": "s3://nobody-made-it/e2e"}),
        66,
        "the bucket does not exist",
    )


@pytest.mark.part5
def test_a_queue_that_is_missing(lab, laptop, spoil):
    if run("kubectl", "get", "crd", "localqueues.kueue.x-k8s.io").returncode:
        pytest.skip("This cluster has no Kueue: nothing waits there.")
    spoil(queue={"name": "nobody-made-it"})
    says(
        laptop.why(laptop.submit("prep", *rows()), "blocked"),
        "LocalQueue nobody-made-it doesn't exist",
        "queue.name",
    )
    code, checks = laptop.doctor()
    assert code == 78
    says(checks["queue"], "LocalQueue nobody-made-it is not in namespace", "queue.name")


def nodes_check(laptop: Laptop, *words: str) -> dict[str, str]:
    """What doctor says of nodes to somebody who may see them."""
    code, checks = replace(laptop, kubeconfig=os.environ["KUBECONFIG"]).doctor(*words)
    assert code == 78
    return checks["nodes"]


def refused(laptop: Laptop, code: int, words: str) -> None:
    """Submit and doctor say it in seconds, before there is a Job."""
    start = time.monotonic()
    done = laptop.run("submit", "prep", "--model", "tiny-llama31")
    print(f"submit after {time.monotonic() - start:.1f} s: exit {done.returncode}: {done.stderr}")
    assert done.returncode == code
    assert words in done.stderr
    found, checks = laptop.doctor()
    assert found == code
    says(checks["store"], words)
