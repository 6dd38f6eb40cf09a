"""Two throw-away namespaces for the chart's tests, one of them with an S3 server; and pods that try to connect.

The cluster comes from KUBECONFIG, images by name: FINGPT_E2E_S3 (versitygw or MinIO) and FINGPT_E2E_PREP (ours, also
where a pod needs no more than Python). The cluster must have them on its nodes or be able to pull them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "helm" / "fingpt-jobs"
INSTALLER = "fingpt-e2e-installer"  # a person with the ClusterRole admin in the chart's namespace and no other right
PORT = 8080
S3_PORT = 7070
KEY, SECRET = "fingpt-e2e", "planted-key-that-must-not-show"

# What a pod needs under Pod Security restricted.
CONTAINER: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}

MAKE_BUCKET = "import os, sys; os.makedirs('/data/store/' + sys.argv[1]); os.makedirs('/data/meta')"
CREDENTIALS = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"

# Tries every address of argv and says of each whether somebody answered.
CONNECT = """
import concurrent.futures, json, socket, sys
def answers(target):
    host, port = target.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        return False
    return True
targets = sys.argv[1:]
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps(dict(zip(targets, pool.map(answers, targets)))))
"""


def image(variable: str) -> str:
    """The image that an environment variable names; skips the test without it."""
    named = os.environ.get(variable)
    if not named:
        pytest.skip(f"{variable} names no image that the cluster has.")
    return named


def run(program: str, *words: str, stdin: str | None = None) -> CompletedProcess[str]:
    """One command of kubectl or helm."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on PATH.")
    return subprocess.run(
        [program, *words], input=stdin, capture_output=True, text=True, timeout=300
    )


def kubectl(*words: str, stdin: str | None = None) -> str:
    """kubectl's answer; fails the test with its complaint."""
    done = run("kubectl", *words, stdin=stdin)
    assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
    return done.stdout


def address_towards_nodes() -> str:
    """The address of this machine by which pods may reach it: that of its way to the nodes."""
    path = "{.items[0].status.addresses[?(@.type=='InternalIP')].address}"
    node = kubectl("get", "nodes", "-o", f"jsonpath={path}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))
        address: str = probe.getsockname()[0]
    return address


def apply(namespace: str, *objects: Mapping[str, Any]) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump_all(map(dict, objects)))


@dataclass(frozen=True)
class Lab:
    """A namespace for the chart, `name`, and one for the S3 server, `storage`; both enforce Pod Security restricted."""

    name: str = field(default_factory=lambda: f"chart-dev-{uuid.uuid4().hex[:8]}")

    @property
    def storage(self) -> str:
        return f"{self.name}-s3"

    @property
    def endpoint(self) -> str:
        """The S3 server as pods see it."""
        return f"http://s3.{self.storage}.svc:{S3_PORT}"

    @property
    def values(self) -> tuple[str, ...]:
        """The least that an installation here says."""
        said = f"store.uri=s3://fingpt/e2e,store.endpoint={self.endpoint},store.secret=fingpt-s3"
        return ("--set", said)

    def open(self) -> None:
        modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        for name in (self.name, self.storage):
            metadata = {"name": name, "labels": modes}
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
            kubectl("apply", "-f", "-", stdin=yaml.safe_dump(space))
        who, here = f"--user={INSTALLER}", ("-n", self.name)
        kubectl("create", "rolebinding", "e2e-installer", "--clusterrole=admin", who, *here)
        # Nobody can grant what he does not hold, and admin does not hold Kueue's and JobSet's.
        others = [
            {
                "apiGroups": ["kueue.x-k8s.io"],
                "resources": ["localqueues", "workloads"],
                "verbs": ["get", "list"],
            },
            {
                "apiGroups": ["visibility.kueue.x-k8s.io"],
                "resources": ["localqueues/pendingworkloads"],
                "verbs": ["get"],
            },
            {
                "apiGroups": ["jobset.x-k8s.io"],
                "resources": ["jobsets"],
                "verbs": ["create", "get", "list", "watch", "delete"],
            },
        ]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": others}
        apply(self.name, {**role, "metadata": {"name": "e2e-others"}})
        kubectl("create", "rolebinding", "e2e-others", "--role=e2e-others", who, *here)

    def close(self) -> None:
        for name in (self.name, self.storage):
            run("kubectl", "delete", "namespace", name, "--wait=false")

    def helm(self, program: str, verb: str, *words: str) -> CompletedProcess[str]:
        """helm as a person who is administrator of this namespace only."""
        chart = [str(CHART)] if verb in ("install", "upgrade", "template") else []
        where = ("-n", self.name, "--kube-as-user", INSTALLER)
        return run(program, verb, "fingpt", *chart, *where, *words)

    def install(self, program: str, *words: str) -> str:
        done = self.helm(program, "install", *self.values, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def uninstall(self, program: str, *words: str) -> None:
        done = self.helm(program, "uninstall", "--wait", *words)
        assert done.returncode == 0, done.stderr

    def everything(self) -> set[str]:
        """Every object in the namespace but what Kubernetes writes by itself."""
        kinds = kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
        skipped = ("events", "endpoints", "leases", "metrics.k8s.io")
        wanted = ",".join(each for each in kinds if not each.startswith(skipped))
        return set(kubectl("get", wanted, "-n", self.name, "-o", "name").split())

    def serve_s3(self) -> None:
        """A real S3 server with one bucket, and its key as the Secret that the chart's settings name."""
        self.serve_bucket("fingpt")
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fingpt-s3"}}
        apply(self.name, {**secret, "stringData": {"credentials": CREDENTIALS}})

    def serve_bucket(self, name: str) -> None:
        """A real S3 server with one bucket; CREDENTIALS are its key."""
        folder = {"name": "data", "mountPath": "/data"}
        bucket = {
            "name": "bucket",
            "image": image("FINGPT_E2E_PREP"),
            "command": ["python3", "-c", MAKE_BUCKET, name],
        }
        gateway = {
            "name": "s3",
            "image": image("FINGPT_E2E_S3"),
            **server(S3_PORT),
        }
        spec = {
            "volumes": [{"name": "data", "emptyDir": {}}],
            "initContainers": [bucket],
            "containers": [gateway],
        }
        for each in (bucket, gateway):
            each.update(volumeMounts=[folder])
        apply(self.storage, pod("s3", {"app": "s3"}, spec), service("s3", S3_PORT))

    def start(self, names_and_labels: Mapping[str, Mapping[str, str]]) -> None:
        """Pods that listen on PORT and otherwise wait; returns when all of them and the S3 server answer."""
        listener = {
            "name": "probe",
            "image": image("FINGPT_E2E_PREP"),
            "command": ["python3", "-m", "http.server", str(PORT), "--directory", "/srv"],
        }
        account = {"serviceAccountName": "fingpt-stage", "automountServiceAccountToken": False}
        pods = [
            pod(name, labels, {**account, "containers": [dict(listener)]})
            for name, labels in names_and_labels.items()
        ]
        apply(self.name, *pods)
        ready = ("--for=condition=Ready", "--timeout=120s")
        kubectl("wait", "-n", self.storage, *ready, "pod", "--all")
        kubectl("wait", "-n", self.name, *ready, *(f"pod/{name}" for name in names_and_labels))
        self.settle(next(iter(names_and_labels)), f"s3.{self.storage}.svc:{S3_PORT}")

    def settle(self, name: str, target: str, *, answers: bool = True) -> None:
        """Wait until a connection works that must (or no longer does): name servers and policies take a moment."""
        end = time.monotonic() + 60
        while self.connects(name, target)[target] is not answers:
            assert time.monotonic() < end, f"{target} answers {name}: {not answers}"
            time.sleep(1)

    def connects(self, name: str, *targets: str) -> dict[str, bool]:
        """Which of the targets (host:port) answer the pod `name`."""
        words = ("exec", "-n", self.name, name, "--", "python3", "-c", CONNECT, *targets)
        answer: dict[str, bool] = json.loads(kubectl(*words))
        return answer

    def address(self, name: str) -> str:
        return kubectl("get", "pod", name, "-n", self.name, "-o", "jsonpath={.status.podIP}")


def server(port: int) -> dict[str, Any]:
    """How the S3 server's image, versitygw's or MinIO's, is started over the folders /data/store and /data/meta."""
    if "minio" in image("FINGPT_E2E_S3"):
        command = ["minio", "server", "/data/store", "--certs-dir", "/data/meta"]
        command += ["--address", f":{port}"]
        names = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")
    else:
        # Metadata in extended attributes: with a sidecar, a server killed during a PUT may answer 412 for ever
        # for that key, where it has no object.
        command = ["versitygw", "--port", f":{port}", "posix", "/data/store"]
        names = ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY")
    values = zip(names, (KEY, SECRET), strict=True)
    return {"command": command, "env": [{"name": n, "value": v} for n, v in values]}


def pod(name: str, labels: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
    """A pod that Pod Security restricted lets in."""
    containers = {
        kind: [
            {"imagePullPolicy": "IfNotPresent", "securityContext": CONTAINER, **each}
            for each in spec[kind]
        ]
        for kind in ("containers", "initContainers")
        if kind in spec
    }
    whole = {"securityContext": POD, "terminationGracePeriodSeconds": 0, **spec, **containers}
    metadata = {"name": name, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def rights(namespace: str, *who: str) -> set[tuple[str, str, str, frozenset[str]]]:
    """`kubectl auth can-i --list` of somebody: API group, resource, object, verbs."""
    listed = kubectl("auth", "can-i", "--list", "-n", namespace, *who)
    found = set()
    for line in listed.splitlines()[1:]:
        match = re.fullmatch(r"(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]\s*", line)
        assert match, line
        resource, _, names, verbs = match.groups()
        if resource:
            kind, _, group = resource.partition(".")
            group, slash, part = group.partition("/")  # kubectl: kind.group/subresource
            found.add((group, kind + slash + part, names, frozenset(verbs.split())))
    return found
