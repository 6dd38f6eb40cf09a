"""A place to break runs in: a chart's namespace, an S3 server that can fail, and a laptop that submits and looks.

The S3 server is a pod in a namespace of its own, away from the nodes that tests drain or kill. It keeps its data when
its process is killed, and pods reach it through a gate that can answer 503 instead. Knows nothing of a particular run.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from subprocess import CompletedProcess
from typing import Any, TypeVar

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from fingpt.storage import ObjectStore, open_store
from tests.e2e import failing_s3
from tests.e2e.chart_lab import CHART, KEY, SECRET, Lab, apply, image, kubectl, server

T = TypeVar("T")

STORE = "s3://fingpt/e2e"
SIZES = {"cpu": "800m", "memory": "1536Mi", "ephemeral": "2Gi"}
SMALL = {"cpu": "100m", "memory": "512Mi", "ephemeral": "1Gi"}
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def until(seconds: float, what: str, look: Callable[[], T], pause: float = 0.5) -> T:
    """The first answer of `look` that is true; fails with the last one when there is none in time."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s; last seen: {seen!r}"
        time.sleep(pause)
    return seen


def nodes() -> dict[str, Any]:
    """Name → object of every node."""
    found = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return {each["metadata"]["name"]: each for each in found}


@dataclass
class RunLab:
    """The namespaces, the server, the laptop. `open` first, `close` last."""

    chart: Lab = field(default_factory=lambda: Lab(f"fingpt-e2e-{os.urandom(4).hex()}"))
    exits: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Pod → exit code and reason of its container, also of pods that are gone."""
    _closed: threading.Event = field(default_factory=threading.Event)
    _children: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _port: int = 0

    def open(self) -> None:
        if not os.environ.get("KUBECONFIG"):
            pytest.skip("KUBECONFIG names no cluster; these tests need a real one.")
        self._images = {kind: image(f"FINGPT_E2E_{kind.upper()}") for kind in _KINDS}
        self.chart.open()
        self._serve()
        self.upgrade("install")
        self._port = _free_port()
        ready = ("--for=condition=Ready", "pod/s3", "--timeout=180s")
        kubectl("wait", "-n", self.chart.storage, *ready)
        self._keep("forward", lambda _: None, *self._forwarding)
        self._keep("exits", self._note, *self._watching)
        os.environ.update(self.environment)
        until(60, "the bucket was made", self._make_bucket)

    def close(self) -> None:
        self._closed.set()
        for child in self._children.values():
            child.kill()
        for name in self.environment:
            os.environ.pop(name, None)
        self.chart.close()

    def upgrade(self, verb: str, *words: str) -> None:
        """Install the chart, or change what it says."""
        sizes = {**dict.fromkeys(("prep", "train", "eval", "mirror"), SIZES), "drive": SMALL}
        named = ",".join(f"images.{kind}={name}" for kind, name in self._images.items())
        settings = (
            *("--set-json", f"resources={json.dumps(sizes)}"),
            *("--set", f"{named},cache.size=1Gi,deadlineSeconds=1200"),
        )
        done = self.chart.helm("helm", verb, *self.chart.values, *settings, *words)
        assert done.returncode == 0, done.stderr

    @property
    def namespace(self) -> str:
        return self.chart.name

    @property
    def environment(self) -> dict[str, str]:
        """What a person exports to work with this cluster's bucket."""
        return {
            "FINGPT_STORE": STORE,
            "FINGPT_NAMESPACE": self.namespace,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
        }

    @cached_property
    def store(self) -> ObjectStore:
        return open_store(STORE)

    def start(self, module: str, *words: str) -> subprocess.Popen[str]:
        """One of our commands on the laptop, under way; everything it says goes to one pipe."""
        command = [sys.executable, "-m", f"jobs.{module}", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=CHART.parents[1]
        )

    def command(self, module: str, *words: str) -> CompletedProcess[str]:
        """One of our commands on the laptop, to its end."""
        command = [sys.executable, "-m", f"jobs.{module}", *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, cwd=CHART.parents[1]
        )

    def kill_server(self) -> None:
        """kill -9 of the S3 server; its container starts again over the same data, later at every repetition."""
        program = server(failing_s3.SERVER_PORT)["command"][0]
        said = self.at_gate("python", "-c", failing_s3.KILL_PROGRAM, program)
        assert "killed" in said, said

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Pods get nothing but 503 meanwhile; the laptop, which does not pass the gate, works on."""
        self.at_gate("touch", "/data/closed")
        try:
            yield
        finally:
            self.at_gate("rm", "/data/closed")

    def at_gate(self, *words: str) -> str:
        return kubectl("exec", "-n", self.chart.storage, "s3", "-c", "gate", "--", *words)

    def _serve(self) -> None:
        """The server, and its key as the Secret that the chart's settings name."""
        apply(self.chart.storage, *failing_s3.objects(_away_from_workers()))
        credentials = f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fingpt-s3"}}
        apply(self.namespace, {**secret, "stringData": {"credentials": credentials}})

    def _make_bucket(self) -> bool:
        client = boto3.client("s3")
        try:
            client.create_bucket(Bucket="fingpt")
        except (BotoCoreError, ClientError):
            return False
        return True

    @property
    def _forwarding(self) -> Sequence[str]:
        where = ("-n", self.chart.storage, "pod/s3")
        return ("port-forward", *where, f"{self._port}:{failing_s3.SERVER_PORT}")

    @property
    def _watching(self) -> Sequence[str]:
        ended = ".status.containerStatuses[0].state.terminated"
        line = f"{{.metadata.name}} {{{ended}.exitCode}} {{{ended}.reason}}{{'\\n'}}"
        return ("get", "pods", "-n", self.namespace, "--watch", "-o", f"jsonpath={line}")

    def _note(self, line: str) -> None:
        name, *end = line.split()
        if end:
            self.exits[name] = (int(end[0]), end[1] if len(end) > 1 else "")

    def _keep(self, name: str, hear: Callable[[str], None], *words: str) -> None:
        """Run kubectl again and again until the lab closes: it ends with the pod or the API server it talks to."""

        def serve() -> None:
            while not self._closed.is_set():
                child = subprocess.Popen(
                    ["kubectl", *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                self._children[name] = child
                with child:
                    for line in child.stdout or ():
                        hear(line)
                self._closed.wait(0.5)

        threading.Thread(target=serve, name=name, daemon=True).start()


_KINDS = ("prep", "train", "eval")


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


def _away_from_workers() -> dict[str, Any]:
    """Where a cluster has several nodes and shows its control plane, that is where no test drains or kills."""
    found = nodes()
    if len(found) == 1 or not any(
        CONTROL_PLANE in each["metadata"]["labels"] for each in found.values()
    ):
        return {}
    toleration = {"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}
    return {"nodeSelector": {CONTROL_PLANE: ""}, "tolerations": [toleration]}
