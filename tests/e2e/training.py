"""One training in pods that something is going to hit, and what a person would see of it meanwhile.

All trainings here compute the same adapter: they differ in how eval would go on, which makes them runs of their own.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from typing import Any

from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.job import job_name
from fingpt.cluster.status import status
from fingpt.config import load_config
from fingpt.errors import FingptError
from fingpt.runs.freeze import freeze
from fingpt.runs.run import Run, Stage, claim_key, commit_key, complete_key, last_number, run_key
from fingpt.runs.state import read_run
from jobs import CONFIGS
from tests.e2e.chart_lab import kubectl, run
from tests.e2e.run_lab import STORE, RunLab, until

MODEL = "tiny-llama31"
STEPS, COMMITS = 200, 10
SETTINGS = (
    "prep.limit=16",
    f"train.max_steps={STEPS}",
    "train.batch_size=1",
    "train.max_tokens=1024",
    f"train.save_every={STEPS // COMMITS}",
    "train.eval_every=1.0",
)
_others = count(65)

# To be followed by what is to be done with `found(argument)`: the processes of a pod that were started with that word,
# the init and the asker left out.
IN_POD = """
import os, pathlib, signal, sys
def found(word):
    pids = [int(each.name) for each in pathlib.Path("/proc").iterdir() if each.name.isdigit()]
    lines = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\\0") for pid in pids}
    return sorted(pid for pid, words in lines.items() if word.encode() in words and pid not in (1, os.getpid()))
"""
SUPERVISOR, TRAINER = "jobs.train", "fingpt.train.worker"


@dataclass
class Seen:
    """What `status` said and since when, each time that it said something new."""

    started: float = field(default_factory=time.monotonic)
    lines: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)

    def note(self, found: dict[str, Any]) -> None:
        current = next(each for each in found["stages"] if each["stage"] == found["stage"])
        why = current["why"]
        line = f"{current['stage']}: {why['state']}: {why['summary']}"
        line += f" ({why['message']})" if why["message"] else ""
        if not self.lines or self.lines[-1][1] != line:
            self.lines.append((time.monotonic() - self.started, line, found))

    def states(self) -> list[str]:
        """Every state that train was in, in order, and `unknown` where status failed."""
        return [found["state"] for _, _, found in self.lines if found["stage"] == "train"]

    def text(self) -> str:
        return "\n".join(f"  {seconds:6.1f} s  {line}" for seconds, line, _ in self.lines)


@dataclass
class Training:
    """A run whose train Job is submitted; `seen` fills itself until the training is left."""

    lab: RunLab
    run: Run
    words: tuple[str, ...]
    seen: Seen = field(default_factory=Seen)
    left: threading.Event = field(default_factory=threading.Event)
    follower: subprocess.Popen[str] | None = None

    @property
    def kind(self) -> str:
        """What the cluster has of it: a Job, or a JobSet on several nodes."""
        return "job" if self.run.config.train.nodes == 1 else "jobset"

    @cached_property
    def job(self) -> str:
        return job_name(self.run.id, "train")

    @property
    def drive(self) -> str:
        return job_name(self.run.id, "drive")

    def submit_run(self) -> None:
        """`make run` on the laptop, which submits the whole run and follows it."""
        self.follower = self.lab.start("submit", "run", *self.words)

    def follow(self) -> tuple[int, str]:
        """How `make run` ended, and all that it said."""
        assert self.follower is not None
        said = self.follower.communicate(timeout=300)[0]
        self.say(f"make run ended with {self.follower.returncode}: {said.strip().splitlines()[-1]}")
        return self.follower.returncode, said

    def say(self, line: str) -> None:
        print(f"  {time.monotonic() - self.seen.started:6.1f} s  * {line}")

    def commits(self) -> int:
        return last_number(self.lab.store.exists, lambda n: commit_key(self.run.id, n))

    def claims(self, stage: Stage = Stage.TRAIN) -> int:
        return last_number(self.lab.store.exists, lambda n: claim_key(self.run.id, stage, n))

    def complete(self, stage: Stage = Stage.TRAIN) -> bool:
        return self.lab.store.exists(complete_key(self.run.id, stage))

    def pods(self, job: str = "") -> list[dict[str, Any]]:
        """Pods of its Job (or of another one), oldest first."""
        label = "batch.kubernetes.io/job-name"
        if not job and self.kind == "jobset":
            label = "jobset.sigs.k8s.io/jobset-name"
        where = ("-l", f"{label}={job or self.job}", "-o", "json")
        found = json.loads(kubectl("get", "pods", "-n", self.lab.namespace, *where))["items"]
        return sorted(found, key=lambda each: each["metadata"]["creationTimestamp"])

    def pod(self) -> str:
        """The newest pod's name."""
        name: str = self.pods()[-1]["metadata"]["name"]
        return name

    def drive_pod(self) -> str:
        """The drive pod that runs and is not being deleted; empty when there is none."""
        found = [
            each["metadata"]["name"]
            for each in self.pods(self.drive)
            if each["status"]["phase"] == "Running" and "deletionTimestamp" not in each["metadata"]
        ]
        return found[-1] if found else ""

    def node(self) -> str:
        name: str = self.pods()[-1]["spec"]["nodeName"]
        return name

    def trains(self, beyond: int = 1) -> str:
        """Wait until more than `beyond` commits are there; the pod that made the last one."""
        until(180, f"{self.run.id} commits checkpoints", lambda: self.commits() > beyond, 0.2)
        return self.pod()

    def inside(self, pod: str, code: str, *words: str) -> str:
        """Run Python in a pod of the training, beside what it does; it may end with the pod that it strikes."""
        where = ("exec", "-n", self.lab.namespace, pod, "--")
        done = run("kubectl", *where, "python", "-c", IN_POD + code, *words)
        assert done.returncode in (0, 137), done.stderr
        return done.stdout.strip()

    def exit_of(self, pod: str) -> int:
        """The exit code of a pod's container, also when the pod is gone."""
        code, reason = until(180, f"{pod} ended", lambda: self.lab.exits.get(pod))
        self.say(f"pod {pod} ended with {code} ({reason})")
        return code

    def adapter(self) -> bytes:
        return self.lab.store.read(f"runs/{self.run.id}/train/adapter/adapter_model.safetensors")

    def now(self) -> dict[str, Any]:
        """What `python -m jobs.status --run … --json` prints, without the second that a start takes."""
        cluster = Cluster.connect(self.lab.namespace)
        record = read_run(self.lab.store, self.run.id)
        return status(record, self.lab.store.uri, datetime.now(UTC), cluster, "e2e").as_json()

    def watch(self) -> None:
        """Note what status says, about once a second, until the training is left."""
        while not self.left.is_set():
            try:
                self.seen.note(self.now())
            except FingptError as fault:
                line = f"{type(fault).__name__}: {fault}"
                if not self.seen.lines or self.seen.lines[-1][1] != line:
                    self.seen.lines.append(
                        (
                            time.monotonic() - self.seen.started,
                            line,
                            {"state": "unknown", "stage": "train"},
                        )
                    )
            self.left.wait(0.7)

    def finish(self, seconds: float = 240) -> None:
        """Wait until the Job has succeeded, COMPLETE is there, and status has said so."""
        until(seconds, f"{self.run.id} completes train", self.complete)
        path = "jsonpath={.status.conditions[?(@.status=='True')].type}"
        words = ("get", self.kind, self.job, "-n", self.lab.namespace, "-o", path)
        until(120, f"{self.job} is Complete", lambda: "Complete" in kubectl(*words))
        until(30, "status says complete", lambda: self._train()["why"]["state"] == "complete")

    def _train(self) -> dict[str, Any]:
        """What status says of train now."""
        found: dict[str, Any] = next(x for x in self.now()["stages"] if x["stage"] == "train")
        return found

    def past(self) -> str:
        """What status says of earlier attempts and pods of train."""
        return "\n".join(self._train()["past"])

    def prove(self, reference: bytes) -> None:
        """The adapter is bit-equal to the undisturbed one, and verify agrees to all that train made."""
        assert self.adapter() == reference, "the adapter differs from the undisturbed run's"
        done = self.lab.command("verify", "--run", self.run.id, "--json")
        links = [json.loads(line) for line in done.stdout.splitlines()]
        unsound = [each for each in links if each["status"] in ("missing", "damaged")]
        print(f"verify: exit {done.returncode}, {len(links)} links, not ok: {unsound}")
        expected = 0 if self.complete(Stage.EVAL) else 66
        assert done.returncode == expected, done.stdout + done.stderr
        assert all("/eval/" in each["key"] for each in unsound), unsound
        past = self.past()
        print(f"status, at the end, of the past:\n{past}")


@contextmanager
def training(lab: RunLab, claim: str, *more: str) -> Iterator[Training]:
    """A training under way in a pod of the cluster, prep done before; prints what was seen when it is left.

    `more` are settings that come on top.
    """
    frozen, words = _frozen(lab, *more)
    done = lab.command("prep", "--run", f"{STORE}/{run_key(frozen.id)}")
    assert done.returncode == 0, done.stderr
    done = lab.command("submit", "train", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == frozen.id
    with _watched(Training(lab, frozen, words), claim) as one:
        yield one


@contextmanager
def running(lab: RunLab, claim: str) -> Iterator[Training]:
    """The same in a whole run, which `make run` on a laptop follows."""
    frozen, words = _frozen(lab)
    with _watched(Training(lab, frozen, words), claim) as one:
        one.submit_run()
        try:
            yield one
        finally:
            if one.follower is not None:
                one.follower.kill()
                one.follower.wait()


def _frozen(lab: RunLab, *more: str) -> tuple[Run, tuple[str, ...]]:
    """A run of its own that trains the same adapter, but for `more` settings, and the words that submit it."""
    settings = (*SETTINGS, f"eval.max_new_tokens={next(_others)}", *more)
    site = Cluster.connect(lab.namespace).site()
    frozen = freeze(
        lab.store, load_config(CONFIGS / f"{MODEL}.yaml", settings), site.images.model_dump()
    )
    pairs = [word for setting in settings for word in ("--set", setting)]
    return frozen, ("--model", MODEL, *pairs)


@contextmanager
def _watched(one: Training, claim: str) -> Iterator[Training]:
    print(f"\n{claim}\n  run {one.run.id}")
    watcher = threading.Thread(target=one.watch, daemon=True)
    watcher.start()
    try:
        yield one
    except BaseException:
        # Nothing of a failed test shall take the next one's room; what succeeded stays, to be searched for keys.
        own = ("-l", f"app.kubernetes.io/instance={one.run.id}", "--wait=false")
        run("kubectl", "delete", one.kind, "-n", one.lab.namespace, *own)
        raise
    finally:
        one.left.set()
        watcher.join(60)
        print(f"status said:\n{one.seen.text()}")
        own = {name: end for name, end in one.lab.exits.items() if name.startswith(one.run.id)}
        print(f"exit codes: {own}")
