"""A person with the chart's Role and nothing else, at a laptop that reaches the cluster's bucket by a port-forward.

Runs the project's commands as he would, and says how long an answer took. Knows nothing of what is wrong.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import yaml

from tests.e2e.chart_lab import CHART, KEY, S3_PORT, SECRET, Lab, image, kubectl

QUANT = "quant"
STORE = "s3://fingpt/e2e"
LIMIT_SECONDS = 30.0
PATIENCE_SECONDS = 90.0
_START_TRAIN = """
import sys
from fingpt.cluster import drive
from fingpt.cluster.api.cluster import Cluster
from fingpt.config import read_environment
from fingpt.runs.stage import load_run
from fingpt.storage import open_store
environment = read_environment()
store, cluster = open_store(environment.store), Cluster.connect(environment.namespace)
run = load_run(store, sys.argv[1])
drive.start(cluster, *drive.plan(run, ["train"], cluster.site(), store.uri))
"""
_AMOUNTS = {"cpu": "500m", "memory": "512Mi", "ephemeral": "1Gi"}
_LITTLE = {**_AMOUNTS, "cpu": "100m"}


@dataclass(frozen=True)
class Laptop:
    """`kubeconfig` says who it is; `changes` of its environment and the checkout at `root` a test may spoil."""

    lab: Lab
    kubeconfig: str
    port: int
    changes: dict[str, str] = field(default_factory=dict)
    root: Path = CHART.parents[1]

    def run(self, name: str, *words: str) -> CompletedProcess[str]:
        """`python -m jobs.<name>`, with the environment that the commands read and no more."""
        with self.begun(name, *words) as process:
            out, err = process.communicate(timeout=120)
        return CompletedProcess(process.args, process.returncode, out, err)

    def begun(self, name: str, *words: str) -> subprocess.Popen[str]:
        """The same, under way."""
        command = [sys.executable, "-m", f"jobs.{name}", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=self.root, env=self._environment, stdout=pipe, stderr=pipe, text=True
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "KUBECONFIG": self.kubeconfig,
            "FINGPT_STORE": STORE,
            "FINGPT_NAMESPACE": self.lab.name,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            **self.changes,
        }

    def start_train(self, run: str) -> None:
        """Create train's Job, as submit does once it has found prep's manifest and the base weights."""
        command = [sys.executable, "-c", _START_TRAIN, run]
        subprocess.run(command, cwd=self.root, env=self._environment, check=True, timeout=120)

    def submit(self, *words: str) -> str:
        """Submit a stage of the tiny model as a person does; gives the run's id."""
        done = self.run("submit", *words, "--model", "tiny-llama31")
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def status(self, run: str) -> dict[str, Any]:
        done = self.run("status", "--run", run, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def why(self, run: str, state: str, stage: str = "prep") -> dict[str, str]:
        """What status says of the stage once it says `state`; prints it with the seconds, at most 30."""
        start = time.monotonic()
        why = self.waited(run, state, stage)
        took = time.monotonic() - start
        print(f"status after {took:.1f} s: {state}: {why}")
        assert took < LIMIT_SECONDS
        return why

    def waited(self, run: str, state: str, stage: str) -> dict[str, str]:
        """What status says once the run's current stage is `stage` and its state `state`."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self.status(run)
            (why,) = (each["why"] for each in found["stages"] if each["stage"] == stage)
            if (found["stage"], found["state"]) == (stage, state):
                return dict(why)
            assert time.monotonic() < end, f"{stage} is not {state}: {found['stage']}: {why}"
            time.sleep(0.5)

    def doctor(self, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
        """Doctor's exit code and checks by name; what is not ok is printed with the seconds that all of it took."""
        start = time.monotonic()
        done = self.run("doctor", "--model", "tiny-llama31", "--json", *words)
        took = time.monotonic() - start
        checks = {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}
        print(f"doctor after {took:.1f} s: exit {done.returncode} {done.stderr}")
        for check in checks.values():
            if check["grade"] != "ok":
                print(f"  {check['grade']} {check['name']}: {check['message']} | {check['action']}")
        assert took < LIMIT_SECONDS
        return done.returncode, checks


def settings(**changes: Any) -> tuple[str, ...]:
    """What helm is told: our images, small pods, the person as user, and a test's own changes."""
    prep = image("FINGPT_E2E_PREP")
    values: dict[str, Any] = {
        "images": dict.fromkeys(("prep", "train", "eval"), prep),
        # Only prep ever runs here; the others ask for what a busy node still has.
        "resources": {**dict.fromkeys(("train", "eval", "drive"), _LITTLE), "prep": _AMOUNTS},
        "users": [{"kind": "ServiceAccount", "name": QUANT}],
        **changes,
    }
    return tuple(
        word
        for key, value in values.items()
        for word in ("--set-json", f"{key}={json.dumps(value)}")
    )


def kubeconfig_of(account: str, namespace: str, path: Path) -> str:
    """A kubeconfig of the cluster at hand for a ServiceAccount."""
    mine = yaml.safe_load(kubectl("config", "view", "--minify", "--raw", "-o", "yaml"))
    token = kubectl("create", "token", account, "-n", namespace, "--duration=1h").strip()
    mine["users"] = [{"name": mine["contexts"][0]["context"]["user"], "user": {"token": token}}]
    path.write_text(yaml.safe_dump(mine), encoding="utf-8")
    return str(path)


@contextmanager
def forwarded(namespace: str) -> Iterator[int]:
    """A port of this machine that leads to the S3 server's pod; opened again whenever kubectl gives up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    words = ["kubectl", "port-forward", "-n", namespace, "pod/s3", f"{port}:{S3_PORT}"]
    closed, current = threading.Event(), [subprocess.Popen(words, stdout=subprocess.DEVNULL)]

    def reopen() -> None:
        while not closed.wait(0.2):
            if current[0].poll() is not None:
                current[0] = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    keeper = threading.Thread(target=reopen)
    keeper.start()
    try:
        until(lambda: _answers(port), "the S3 server's answer")
        yield port
    finally:
        closed.set()
        keeper.join()
        current[0].kill()
        current[0].wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(1) != b""
    except OSError:
        return False


def until(seen: Callable[[], bool], what: str) -> None:
    """Wait half a minute at most."""
    end = time.monotonic() + 30
    while not seen():
        assert time.monotonic() < end, f"not seen: {what}"
        time.sleep(0.5)


def install(lab: Lab, verb: str, **changes: Any) -> None:
    """Install the chart, or upgrade it, with a test's own changes of the values."""
    done = lab.helm("helm", verb, *settings(**{"store": store_of(lab), **changes}))
    assert done.returncode == 0, done.stderr


def store_of(lab: Lab) -> dict[str, str]:
    """The store as the chart's values name it."""
    return {"uri": STORE, "endpoint": lab.endpoint, "secret": "fingpt-s3"}


@contextmanager
def made(lab: Lab, *words: str) -> Iterator[None]:
    """What `kubectl create` makes of the words, for a while."""
    kubectl("create", *words, "-n", lab.name)
    try:
        yield
    finally:
        kind, name = words[0], next(w for w in reversed(words) if not w.startswith("--"))
        kubectl("delete", kind, name, "-n", lab.name)


@contextmanager
def node_offers(resource: str, amount: int) -> Iterator[None]:
    """One node says that it has so many of a resource; no device is behind it."""
    node = worker()

    def patch(value: str | None) -> None:
        status = {"status": {kind: {resource: value} for kind in ("capacity", "allocatable")}}
        kubectl(
            "patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(status)
        )

    if amount:
        print(f"node {node} offers {amount} {resource}")
        patch(str(amount))
    try:
        yield
    finally:
        if amount:
            patch(None)


def worker() -> str:
    """A node that takes our pods."""
    found = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    return next(each["metadata"]["name"] for each in found if not each["spec"].get("taints"))
