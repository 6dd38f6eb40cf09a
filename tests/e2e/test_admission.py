"""The chart's admission policies on a real API server: what is no pod of ours is refused with a sentence, ours get in.

Nothing runs here: all but a few pods that no node takes are sent as dry runs, which admission judges the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from fingpt.cluster.job import build_base_job, build_job, load_template
from fingpt.cluster.site import Site
from fingpt.config import load_config
from fingpt.doctor.trials import trials
from fingpt.models import spec
from fingpt.runs.run import Run
from tests.cluster.sites import CONFIGS
from tests.e2e.chart_lab import CHART, CONTAINER, INSTALLER, Lab, kubectl, run
from tests.e2e.chart_lab import pod as restricted_pod

pytestmark = [pytest.mark.e2e, pytest.mark.part4]

TEAM = "registry.example/team"
VALUES = (
    "--set",
    f"images.registry={TEAM},images.tag=v2,images.pullSecrets[0]=login,hub.secret=fingpt-hub",
)
ENFORCE = "pod-security.kubernetes.io/enforce"
LABEL = "app.kubernetes.io/name"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Lab]:
    """The chart and its policies, in a namespace without Pod Security, and a pod that was there before them."""
    lab = Lab()
    lab.open()
    policies = ""
    try:
        kubectl("label", "namespace", lab.name, f"{ENFORCE}-", "pod-security.kubernetes.io/warn-")
        lab.install("helm", *VALUES)
        kubectl("apply", "-n", lab.name, "-f", "-", stdin=yaml.safe_dump(waiting("before", {})))
        policies = rendered_policies(lab)
        kubectl("apply", "-f", "-", stdin=policies)
        wait_until_in_force(lab)
        yield lab
    finally:
        if policies:
            kubectl("delete", "--ignore-not-found", "-f", "-", stdin=policies)
        lab.close()


def rendered_policies(lab: Lab) -> str:
    """As docs/security.md tells a cluster's administrator to make them."""
    words = ("-n", lab.name, *lab.values, *VALUES, "--set", "admission.enabled=true")
    server = ("--kube-version", "1.35.0", "-s", "templates/admission.yaml")
    done = run("helm", "template", "fingpt", str(CHART), *words, *server)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_until_in_force(lab: Lab) -> None:
    """The API server takes some seconds to learn of a policy."""
    end = time.monotonic() + 60
    stranger = yaml.safe_dump(waiting("stranger", {}))
    job = yaml.safe_dump(as_job(waiting("stranger", {})))
    words = ("create", "-n", lab.name, "--dry-run=server", "-f", "-")
    while any(run("kubectl", *words, stdin=text).returncode == 0 for text in (stranger, job)):
        assert time.monotonic() < end, "the policies are not in force after a minute"
        time.sleep(1)


def waiting(name: str, labels: dict[str, str], image: str = f"{TEAM}/fingpt-prep:v2") -> Json:
    """A pod that no node takes."""
    one = {"name": "one", "image": image}
    return restricted_pod(
        name,
        labels,
        {"nodeSelector": {"fingpt-jobs/e2e": "nowhere"}, "containers": [one]},
    )


def as_job(pod: Json) -> Json:
    template = {"metadata": pod["metadata"], "spec": {**pod["spec"], "restartPolicy": "Never"}}
    metadata = {"name": pod["metadata"]["name"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {"template": template},
    }


def as_pod(job: Json) -> Json:
    """The pod that a Job would make."""
    template = job["spec"]["template"]
    metadata = {**template["metadata"], "name": job["metadata"]["name"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def site(lab: Lab) -> Site:
    found = kubectl("get", "configmap", "fingpt-jobs", "-n", lab.name, "-o", "jsonpath={.data}")
    return Site.of(json.loads(found))


def shipped(lab: Lab, images: dict[str, str] | None = None) -> dict[str, Json]:
    """Every Job that a user or drive makes here, with the site's images or older ones."""
    here = site(lab)
    config = load_config(CONFIGS / "llama31.yaml", ())
    one = Run(id="llama31-0a1b2c3d", config=config, images=images or here.images.model_dump())
    made = {
        name: build_job(
            one, name, load_template(name), here, f"{here.store}/runs/{one.id}/run.json"
        )
        for name in ("prep", "train", "eval", "drive")
    }
    for model in ("llama31", "tiny-llama31"):
        made[f"mirror {model}"] = build_base_job(spec(model), load_template("mirror"), here)
    made |= {f"trial {each.name}": each.job for each in trials(one, here, "token")}
    return made


def doctor(lab: Lab) -> Json:
    """The Job of `helm test`."""
    where = ("-n", lab.name, *lab.values, *VALUES, "--kube-version", "1.35.0")
    done = run(
        "helm", "template", "fingpt", str(CHART), *where, "-s", "templates/tests/doctor.yaml"
    )
    assert done.returncode == 0, done.stderr
    job: Json = yaml.safe_load(done.stdout)
    return job


def send(lab: Lab, each: Json) -> str:
    """What the API server says to a dry run; empty when it takes the object."""
    words = ("create", "-n", lab.name, "--dry-run=server", "--validate=strict", "-f", "-")
    done = run("kubectl", *words, stdin=yaml.safe_dump(each))
    return done.stderr if done.returncode else ""


def test_the_policies_are_typed_without_a_warning(guarded):
    for kind in ("jobs", "pods"):
        name = f"fingpt-{kind}.{guarded.name}"
        words = ("get", "validatingadmissionpolicy", name, "-o", "jsonpath={.status}")
        end = time.monotonic() + 30
        while not (status := kubectl(*words)) and time.monotonic() < end:
            time.sleep(1)
        assert "expressionWarnings" not in status, status
        assert "typeChecking" in status


def test_every_job_that_ships_gets_in_and_so_does_its_pod(guarded):
    for name, job in {**shipped(guarded), "helm test": doctor(guarded)}.items():
        assert send(guarded, job) == "", name
        assert send(guarded, as_pod(job)) == "", name


def test_a_run_that_was_frozen_with_older_images_can_still_be_resumed(guarded):
    old = {stage: f"{TEAM}/fingpt-{stage}@sha256:{7:064x}" for stage in ("prep", "train", "eval")}
    for name, job in shipped(guarded, old).items():
        assert send(guarded, job) == "", name


def _container(**fields: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"]["containers"][0].update(fields)


def _spec(**fields: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"].update(fields)


def _volume(**source: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"]["volumes"].append({"name": "more", **source})


def _labels(**labels: str) -> Callable[[Json], None]:
    return lambda pod: pod["metadata"].update(labels=labels)


def _variable(**source: Any) -> Callable[[Json], None]:
    return lambda pod: pod["spec"]["containers"][0]["env"].append({"name": "MORE", **source})


FOREIGN = {"name": "init", "image": "busybox:1", "securityContext": CONTAINER}
REFUSED: dict[str, tuple[Callable[[Json], None], str]] = {
    "privileged": (_container(securityContext={"privileged": True}), "remove hostNetwork"),
    "privileged before": (
        _spec(
            initContainers=[
                {
                    **FOREIGN,
                    "image": f"{TEAM}/fingpt-prep:v2",
                    "securityContext": {"privileged": True},
                }
            ]
        ),
        "remove hostNetwork",
    ),
    "host network": (_spec(hostNetwork=True), "remove hostNetwork"),
    "host pid": (_spec(hostPID=True), "remove hostNetwork"),
    "host ipc": (_spec(hostIPC=True), "remove hostNetwork"),
    "host path": (_volume(hostPath={"path": "/"}), "a volume is of a type that no run needs"),
    "csi": (_volume(csi={"driver": "any.example"}), "a volume is of a type that no run needs"),
    "image": (_container(image="busybox:1"), "image busybox:1 is not from this site"),
    "image alike": (_container(image=f"{TEAM}/fingpt-training:1"), "is not from this site"),
    "image of a registry called alike": (
        _container(image=f"{TEAM}/fingpt-train/evil"),
        "is not from this site",
    ),
    "image before": (_spec(initContainers=[FOREIGN]), "image busybox:1 is not from this site"),
    "secret": (_volume(secret={"secretName": "theirs"}), "Secret theirs is not for component"),
    "hub's secret": (_volume(secret={"secretName": "fingpt-hub"}), "Secret fingpt-hub is not for"),
    "projected secret": (
        _volume(projected={"sources": [{"secret": {"name": "fingpt-s3"}}]}),
        "as volumes of type secret only",
    ),
    "secret as a variable": (
        _variable(valueFrom={"secretKeyRef": {"name": "fingpt-s3", "key": "credentials"}}),
        "as volumes of type secret only",
    ),
    "secret as all variables": (
        _container(envFrom=[{"secretRef": {"name": "theirs"}}]),
        "as volumes of type secret only",
    ),
    "pull secret": (_spec(imagePullSecrets=[{"name": "theirs"}]), "not one of images.pullSecrets"),
    "drive's account": (
        _spec(serviceAccountName="fingpt-drive"),
        "only the components drive and sweep",
    ),
    "drive's account under its old name": (
        _spec(serviceAccountName=None, serviceAccount="fingpt-drive"),
        "only the components drive and sweep",
    ),
    "default account": (_spec(serviceAccountName="default"), "no other account works here"),
    "no account": (_spec(serviceAccountName=None), "no other account works here"),
    "no label": (_labels(more="1"), f"needs the label {LABEL}"),
    "another label": (_labels(**{LABEL: "mine"}), f"needs the label {LABEL}"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_pod_of_ours_is_refused_as_a_job_and_as_a_pod(guarded, case):
    change, message = REFUSED[case]
    pod = as_pod(shipped(guarded)["train"])
    change(pod)
    for each in (pod, as_job(pod)):
        said = send(guarded, each)
        assert "ValidatingAdmissionPolicy" in said, f"{each['kind']}: {said}"
        assert message in said, each["kind"]


def test_doctor_s_label_does_not_lend_drive_s_account(guarded):
    pod = as_pod(shipped(guarded)["train"])
    pod["metadata"]["labels"][LABEL] = "fingpt-doctor"
    pod["spec"]["serviceAccountName"] = "fingpt-drive"
    assert "only the components drive and sweep" in send(guarded, pod)


def test_a_pod_of_ours_can_be_neither_relabelled_nor_given_a_foreign_debugger(guarded):
    ours = waiting("ours", {LABEL: "fingpt-jobs"})
    ours["spec"]["serviceAccountName"] = "fingpt-stage"
    kubectl("apply", "-n", guarded.name, "-f", "-", stdin=yaml.safe_dump(ours))
    here = ("-n", guarded.name)
    unlabelled = run("kubectl", "label", "pod", "ours", f"{LABEL}-", *here)
    assert f"needs the label {LABEL}" in unlabelled.stderr
    patch = {"spec": {"containers": [{"name": "one", "image": "busybox:1"}]}}
    changed = run("kubectl", "patch", "pod", "ours", *here, "-p", json.dumps(patch))
    assert "busybox:1 is not from this site" in changed.stderr
    debug = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox:1"}]}}
    words = ("patch", "pod", "ours", "--subresource=ephemeralcontainers", *here, "-p")
    assert "busybox:1 is not from this site" in run("kubectl", *words, json.dumps(debug)).stderr
    debug["spec"]["ephemeralContainers"][0]["image"] = f"{TEAM}/fingpt-prep:v2"
    kubectl(*words, json.dumps(debug))
    kubectl("delete", "pod", "ours", *here)


def test_what_was_there_before_can_be_annotated_and_deleted_but_not_changed(guarded):
    here = ("-n", guarded.name)
    kubectl("annotate", "pod", "before", "any=thing", *here)
    assert (
        f"needs the label {LABEL}" in run("kubectl", "label", "pod", "before", "a=b", *here).stderr
    )
    kubectl("delete", "pod", "before", *here)


def test_other_namespaces_are_left_alone(guarded):
    pod = waiting("stranger", {}, "busybox:1")
    words = ("create", "-n", guarded.storage, "--dry-run=server", "-f", "-")
    kubectl(*words, stdin=yaml.safe_dump(pod))


def test_an_administrator_of_the_namespace_alone_is_told_what_he_lacks(guarded):
    file = rendered_policies(guarded)
    done = run("kubectl", "apply", f"--as={INSTALLER}", "-f", "-", stdin=file)
    assert done.returncode != 0
    assert "validatingadmissionpolicies" in done.stderr
