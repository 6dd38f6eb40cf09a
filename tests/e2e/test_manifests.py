"""A real API server's judgement on every Job, as shipped in k8s/ and as built for a run, under Pod Security.

Takes the cluster from KUBECONFIG. Pod Security refuses pods and only warns about Jobs, so each Job is asked for as it
is, and its pod once more by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.job import build_base_job, build_job, load_template, to_yaml
from fingpt.cluster.site import Site
from fingpt.errors import MissingInputError, RunConflictError, SetupError
from fingpt.models import spec
from tests.cluster.sites import full_site_data, run_of, site_data
from tests.cluster.sweeps import sweep_jobs_of

pytestmark = [pytest.mark.e2e, pytest.mark.core]

STAGES = ("prep", "train", "eval", "drive")
SHIPPED = [
    Path(__file__).parents[2] / "k8s" / f"{name}.yaml"
    for name in (*STAGES, "mirror", "sweep", "trial")
]
Kubectl = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def kubectl() -> Kubectl:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster; these tests need a real one.")
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH; these tests send manifests as a person would.")

    def run(*words: str, stdin: str | None = None) -> CompletedProcess[str]:
        return subprocess.run(
            ["kubectl", *words], input=stdin, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace that enforces `restricted`, with the two accounts that the chart makes; deleted afterwards."""
    name = f"jobs-dev-{uuid.uuid4().hex[:8]}"
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    things: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": modes}}
    ]
    things += [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": name},
        }
        for account in ("fingpt-stage", "fingpt-drive")
    ]
    made = kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(things))
    assert made.returncode == 0, made.stderr
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(params=["minimal", "full"])
def site(request: pytest.FixtureRequest) -> Site:
    return Site.of(site_data() if request.param == "minimal" else full_site_data())


def pod_of(job: dict[str, Any]) -> str:
    """The Job's pod by itself; the queue's and the site's own objects, which a bare namespace lacks, left aside."""
    template = job["spec"]["template"]
    spec = {name: value for name, value in template["spec"].items() if name != "runtimeClassName"}
    metadata = {**template["metadata"], "name": "alone"}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


def accepted(kubectl: Kubectl, namespace: str, text: str) -> None:
    done = kubectl("apply", "-n", namespace, "--dry-run=server", "-f", "-", stdin=text)
    assert done.returncode == 0, done.stderr
    assert "created (server dry run)" in done.stdout
    assert done.stderr == "", "the API server warns"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_manifest_and_its_pod_are_accepted_without_a_warning(kubectl, namespace, path):
    accepted(kubectl, namespace, path.read_text("utf-8"))
    accepted(kubectl, namespace, pod_of(yaml.safe_load(path.read_text("utf-8"))))


@pytest.mark.parametrize("model", ["llama31", "tiny-deepseek-r1"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_built_job_and_its_pod_are_accepted_without_a_warning(
    kubectl, namespace, stage, model, site
):
    job = build_job(run_of(model), stage, load_template(stage), site, "s3://bucket/runs/x/run.json")
    accepted(kubectl, namespace, to_yaml(job))
    accepted(kubectl, namespace, pod_of(job))


@pytest.mark.parametrize("model", ["llama31", "tiny-deepseek-r1"])
def test_a_base_s_job_and_its_pod_are_accepted_without_a_warning(kubectl, namespace, model, site):
    job = build_base_job(spec(model), load_template("mirror"), site)
    accepted(kubectl, namespace, to_yaml(job))
    accepted(kubectl, namespace, pod_of(job))


@pytest.mark.parametrize("model", ["llama31", "tiny-deepseek-r1"])
def test_a_sweep_s_jobs_and_their_pods_are_accepted_without_a_warning(
    kubectl, namespace, model, site
):
    for job in sweep_jobs_of(model, site, (10_000, 64)).values():
        accepted(kubectl, namespace, to_yaml(job))
        accepted(kubectl, namespace, pod_of(job))


@pytest.mark.parametrize(
    "break_it",
    [
        lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
        lambda pod: pod["containers"][0]["securityContext"].update(allowPrivilegeEscalation=True),
        lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ],
    ids=["capabilities kept", "escalation allowed", "host path"],
)
def test_pod_security_is_awake(kubectl, namespace, break_it):
    job = load_template("train")
    break_it(job["spec"]["template"]["spec"])
    words = ("apply", "-n", namespace, "--dry-run=server", "-f", "-")
    refused = kubectl(*words, stdin=pod_of(job))
    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr
    assert "violate PodSecurity" in kubectl(*words, stdin=to_yaml(job)).stderr


def test_the_server_knows_every_field(kubectl, namespace):
    for path in SHIPPED:
        words = ("apply", "-n", namespace, "--dry-run=server", "--validate=strict", "-f", str(path))
        done = kubectl(*words)
        assert done.returncode == 0, done.stderr


def test_the_client_and_a_real_server_agree(kubectl, namespace):
    """Create, again, conflict, watch to the end with its interim conditions, delete: a Job that can never start."""
    cluster = Cluster.connect(namespace)
    with pytest.raises(SetupError, match="helm install"):
        cluster.site()
    run = run_of("tiny-llama31")
    job = build_job(
        run, "prep", load_template("prep"), Site.of(site_data()), "s3://bucket/runs/x/run.json"
    )
    # The smallest request, so that a small cluster takes it; the Secret it mounts does not exist.
    small = {"cpu": "10m", "memory": "16Mi", "ephemeral-storage": "16Mi"}
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "requests": small,
        "limits": small,
    }
    job["spec"]["activeDeadlineSeconds"] = 4
    name = job["metadata"]["name"]
    assert cluster.can_i("create", "jobs", "batch")
    assert [cluster.apply_job(job), cluster.apply_job(job)] == [True, False]
    other = json.loads(json.dumps(job))
    other["metadata"]["annotations"]["fingpt-jobs/run-sha256"] = "0" * 64
    with pytest.raises(RunConflictError, match="belongs to another configuration"):
        cluster.apply_job(other)

    states = list(cluster.watch_job(name))
    assert states[0].outcome is None
    assert states[-1].outcome is not None
    assert (states[-1].outcome.type, states[-1].outcome.reason) == ("Failed", "DeadlineExceeded")
    interim = [each.type for state in states[:-1] for each in state.conditions]
    assert set(interim) <= {"FailureTarget"}
    assert [each.name for each in cluster.jobs(run.id)] == [name]
    reasons = {event.reason for event in cluster.events(name)}
    assert "DeadlineExceeded" in reasons
    assert [cluster.delete_job(name), cluster.job(name)] == [True, None]
    with pytest.raises(MissingInputError, match="was deleted"):
        next(cluster.watch_job(name))
