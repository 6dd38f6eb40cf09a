"""The README's platform engineer and quant, by the lines that README.md has for them, in a namespace of their own.

A hub on this machine, outside the cluster, stands for huggingface.co. What is put in for the README's placeholders is
named here; what a machine without GPUs needs besides is appended to its lines. Knows nothing of what they are to say.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.e2e.chart_lab import (
    CREDENTIALS,
    INSTALLER,
    KEY,
    SECRET,
    Lab,
    address_towards_nodes,
    image,
    kubectl,
)
from tests.e2e.invented_hub import hub
from tests.e2e.laptop import QUANT, forwarded, kubeconfig_of, node_offers
from tests.e2e.run_lab import nodes
from tests.hub_server import TOKEN, HubServer, serving

ROOT = Path(__file__).parents[2]
GPU = "nvidia.com/gpu"
PLATFORM, PERSON = "A platform engineer", "A quant"

_NEEDED = "Makefile fingpt jobs k8s helm images requirements pyproject.toml .venv".split()
_SIZES = {"cpu": "1", "memory": "4Gi", "ephemeral": "4Gi"}
_SMALL = {"cpu": "100m", "memory": "512Mi", "ephemeral": "1Gi"}


def lines(who: str) -> list[list[str]]:
    """The words of each line that README.md has for somebody."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split(f"**{who}**", 1)[1].split("```")[1].replace("\\\n", "")
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def target(words: list[str]) -> str:
    """What a line is about: a make target, or the program."""
    return words[1] if words[0] == "make" else words[0]


@dataclass(frozen=True)
class QuantLab:
    """A person in a checkout with the chart's Role, the bucket's keys and what the README has him export."""

    lab: Lab
    checkout: Path
    hub: HubServer
    environment: Mapping[str, str]

    def follow(self, words: list[str], *more: str) -> CompletedProcess[str]:
        """One line to its end, `more` appended; what it says is printed."""
        command = [*words, *more]
        done = subprocess.run(
            command,
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        print(f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}exit {done.returncode}")
        return done

    def shell(self, command: str) -> CompletedProcess[str]:
        """A line that a message named, as a shell takes it."""
        return self.follow(["bash", "-c", command])

    def newest(self, model: str) -> str:
        """The id of the newest run of a model."""
        python = str(self.checkout / ".venv" / "bin" / "python")
        done = self.follow([python, "-m", "jobs.list", "--json"])
        assert done.returncode == 0
        found = (json.loads(line)["run"] for line in done.stdout.splitlines())
        return next(run for run in reversed(list(found)) if run.rpartition("-")[0] == model)

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Name → Job of every Job in the namespace."""
        found = json.loads(kubectl("get", "jobs", "-n", self.lab.name, "-o", "json"))["items"]
        return {each["metadata"]["name"]: each for each in found}


@contextmanager
def opened(folder: Path) -> Iterator[QuantLab]:
    """Namespaces, S3 server, hub, chart and person; all gone afterwards."""
    lab = Lab()
    with ExitStack() as stack:
        served = stack.enter_context(serving(hub(address_towards_nodes())))
        stack.callback(lab.close)
        lab.open()
        (export,) = (words for words in lines(PERSON) if words[0] == "export")
        exported = dict(word.split("=", 1) for word in export[1:])
        lab.serve_bucket(exported["FINGPT_STORE"].split("/")[2])
        kubectl("create", "serviceaccount", QUANT, "-n", lab.name)
        _let_in(lab, served, folder)
        kubectl("wait", "-n", lab.storage, "--for=condition=Ready", "pod/s3", "--timeout=120s")
        if not any(GPU in node["status"]["allocatable"] for node in nodes().values()):
            stack.enter_context(node_offers(GPU, 1))
        port = stack.enter_context(forwarded(lab.storage))
        (folder / "home").mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "KUBECONFIG": kubeconfig_of(QUANT, lab.name, folder / "kubeconfig"),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "HF_ENDPOINT": served.url,
            **exported,
            "FINGPT_NAMESPACE": lab.name,
        }
        yield QuantLab(lab, _checkout(folder / "checkout"), served, environment)


def _let_in(lab: Lab, served: HubServer, folder: Path) -> None:
    """What the platform engineer does but for images and `helm test`: labels, Secrets, the chart."""
    keys, token = folder / "credentials", folder / "token"
    keys.write_text(CREDENTIALS)
    token.write_text(f"{TOKEN}\n")
    sizes = {**dict.fromkeys(("prep", "train", "eval", "mirror"), _SIZES), "drive": _SMALL}
    users = [{"kind": "ServiceAccount", "name": QUANT}]
    site = f"store.endpoint={lab.endpoint},hub.endpoint={served.url},cache.size=1Gi"
    appended = {
        "helm": [
            *("--set", site, "--kube-as-user", INSTALLER),
            *("--set-json", f"resources={json.dumps(sizes)}"),
            *("--set-json", f"users={json.dumps(users)}"),
        ]
    }
    placeholders = {
        r"forecasts": lab.name,
        r"credentials=FILE": f"credentials={keys}",
        r"token=FILE": f"token={token}",
        **{f"images.{each}=…": f"images.{each}={_image(each)}" for each in _STAGES},
    }
    done = []
    for words in lines(PLATFORM):
        if words[0] == "make" or words[:2] == ["helm", "test"]:
            continue
        text = shlex.join(words)
        for placeholder, meant in placeholders.items():
            text = text.replace(placeholder, meant)
        command = [*shlex.split(text), *appended.get(words[0], [])]
        print(f"$ {shlex.join(command)}")
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        done.append(" ".join(words[:2]))
    assert done == ["kubectl label", "kubectl create", "kubectl create", "helm install"]


_STAGES = ("prep", "train", "eval")


def _image(stage: str) -> str:
    return image(f"FINGPT_E2E_{stage.upper()}")


def _checkout(folder: Path) -> Path:
    """This checkout under another name: what commands write beside it, such as ./reports, stays there."""
    folder.mkdir()
    for name in _NEEDED:
        (folder / name).symlink_to(ROOT / name)
    return folder


def named_command(said: str, start: str) -> str:
    """The command of an error's message that begins with `start`, as a person copies it."""
    lines = [line for line in said.splitlines() if line.startswith("{")]
    # A log line is JSON: its quotes and backslashes are written twice, those of the message are not.
    events = [str(json.loads(line)["event"]) for line in lines]
    found = [event[event.rindex(start) :] for event in events if start in event]
    assert found, said
    return found[-1]
