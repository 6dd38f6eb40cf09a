"""Pods of a training are deleted, killed, starved and doubled; its adapter stays that of an undisturbed one."""

from __future__ import annotations

import json
import time

import pytest

from fingpt.runs.run import Stage, attempt_key
from tests.e2e.chart_lab import kubectl
from tests.e2e.run_lab import until
from tests.e2e.training import COMMITS, SUPERVISOR, TRAINER, Training, training

pytestmark = pytest.mark.e2e

KILL = """
(pid,) = found(sys.argv[1])
print("killing", pid, flush=True)
os.kill(pid, signal.SIGKILL)
"""

# The kernel takes first what says so of itself; this process fills the container until it has.
STARVE = """
(victim,) = found(sys.argv[1])
pathlib.Path(f"/proc/{victim}/oom_score_adj").write_text("1000")
print("victim", victim, flush=True)
held = []
while pathlib.Path(f"/proc/{victim}").exists():
    held.append(bytearray(os.urandom(4096)) * 4096)
"""

SIGNAL = """
for word in sys.argv[2:]:
    for pid in found(word):
        os.kill(pid, getattr(signal, sys.argv[1]))
        print(sys.argv[1], pid)
"""


@pytest.mark.part2
def test_a_deleted_pod_saves_a_checkpoint_and_the_next_one_resumes(run_lab, reference):
    with training(run_lab, "kubectl delete pod while it trains") as one:
        pod = one.trains()
        before = one.commits()
        one.say(f"kubectl delete pod {pod} after commit {before}")
        started = time.monotonic()
        kubectl("delete", "pod", pod, "-n", run_lab.namespace, "--wait=false")
        assert one.exit_of(pod) == 143
        one.say(f"{time.monotonic() - started:.1f} s from SIGTERM to the end")
        assert one.commits() > before, "SIGTERM saved no checkpoint"
        one.finish()
        one.prove(reference)
        assert one.claims() == 2
        assert ending(one, 1)["code"] == 143
        assert "(exit 143)" in one.past()
        assert one.exit_of(one.pod()) == 0
    assert {"running", "stopping"} <= set(one.seen.states())


@pytest.mark.parametrize(
    ("whom", "code"),
    [
        pytest.param(SUPERVISOR, 137, marks=pytest.mark.part2),
        pytest.param(TRAINER, 75, marks=pytest.mark.core),
    ],
)
def test_a_killed_process_costs_one_retry_and_no_byte(run_lab, reference, whom, code):
    with training(run_lab, f"kill -9 of {whom}") as one:
        pod = one.trains()
        one.say(f"kill -9 in {pod}: {one.inside(pod, KILL, whom)}")
        assert one.exit_of(pod) == code
        one.finish()
        one.prove(reference)
        assert one.claims() == 2
        assert one.past().startswith("attempt 1: ")
    assert {"running", "failed-retryable"} <= set(one.seen.states())
    assert f"(exit {code})" in one.seen.text()


@pytest.mark.part2
def test_a_container_out_of_memory_is_called_so_and_resumes(run_lab, reference):
    with training(run_lab, "the container's memory is filled until the kernel kills") as one:
        pod = one.trains()
        one.say(f"filling the memory of {pod}")
        one.say(one.inside(pod, STARVE, TRAINER))
        assert one.exit_of(pod) in (75, 137)
        assert run_lab.exits[pod][1] == "OOMKilled"
        one.finish()
        one.prove(reference)
        assert "most likely out of memory" in one.past()
    assert "out of memory" in one.seen.text()


@pytest.mark.part2
def test_a_second_pod_of_a_living_run_stops_and_writes_nothing(run_lab, reference):
    with training(run_lab, "a second Job of the same run while the first works") as one:
        first = one.trains()
        # Slow enough to be alive for as long as the other one looks; its supervisor goes on.
        one.say(one.inside(first, SIGNAL, "SIGSTOP", TRAINER))
        twin = second_job(one)
        try:
            (pod,) = until(60, "the second Job has a pod", lambda: one.pods(twin))
            name = pod["metadata"]["name"]
            assert one.exit_of(name) == 76
            until(20, "status calls it fenced", lambda: f"pod {name}: fenced" in one.past())
        finally:
            kubectl("delete", "job", twin, "-n", run_lab.namespace)
        one.say(one.inside(first, SIGNAL, "SIGCONT", TRAINER))
        one.finish()
        one.prove(reference)
        assert one.claims() == 1, "the second one claimed a living run"
        assert one.commits() == COMMITS, "each save is committed once"


@pytest.mark.part2
def test_a_frozen_pod_that_wakes_up_after_another_took_over_writes_nothing(run_lab, reference):
    with training(
        run_lab, "all processes of the pod stop; a second pod takes over; they wake up"
    ) as one:
        pod = one.trains()
        one.say(one.inside(pod, SIGNAL, "SIGSTOP", SUPERVISOR, TRAINER))
        frozen = one.commits()
        twin = second_job(one)
        try:
            until(120, "the second one claims the run", lambda: one.claims() == 2)
            one.trains(frozen)
            one.say(one.inside(pod, SIGNAL, "SIGCONT", SUPERVISOR, TRAINER))
            assert one.exit_of(pod) == 76
            until(120, "the second one completes train", one.complete)
            (other,) = one.pods(twin)
            assert one.exit_of(other["metadata"]["name"]) == 0
        finally:
            kubectl("delete", "job", twin, "-n", run_lab.namespace, "--ignore-not-found")
        one.finish()
        one.prove(reference)
        assert [ending(one, attempt)["code"] for attempt in (1, 2)] == [76, 0]
        assert one.commits() == COMMITS, "each save is committed once"
        assert "attempt 1: fenced" in one.past()


def ending(one: Training, attempt: int) -> dict[str, object]:
    """How an attempt says that it ended."""
    found: dict[str, object] = json.loads(
        one.lab.store.read(attempt_key(one.run.id, Stage.TRAIN, attempt))
    )
    return found


def second_job(one: Training) -> str:
    """Create a Job like the training's under another name."""
    words = ("get", "job", one.job, "-n", one.lab.namespace, "-o", "json")
    job = json.loads(kubectl(*words))
    name = f"{one.job}-again"
    labels = {
        k: v
        for k, v in job["metadata"]["labels"].items()
        if "kubernetes.io/" not in k or k.startswith("app.")
    }
    del job["status"], job["spec"]["selector"]
    job["metadata"] = {
        "name": name,
        "labels": labels,
        "annotations": job["metadata"]["annotations"],
    }
    job["spec"]["template"]["metadata"]["labels"] = labels
    kubectl("create", "-n", one.lab.namespace, "-f", "-", stdin=json.dumps(job))
    one.say(f"a second Job, {name}")
    return name
