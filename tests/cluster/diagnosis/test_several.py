"""Pods of several nodes: the one that keeps the training from going on is told, and where each of them is."""

from __future__ import annotations

import pytest

from fingpt.cluster.api.objects import JobState, PodState
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.diagnosis.several import telling_pod
from fingpt.cluster.diagnosis.snapshot import JobSnapshot, State
from fingpt.cluster.follow import Work, failure

RUNNING = {"running": {}}
DRAINED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


def jobset(*conditions: dict, suspend: bool = False, restarts: int = 0) -> JobState:
    return JobState.of_jobset(
        {
            "kind": "JobSet",
            "metadata": {"name": "run-train", "uid": "u1"},
            "spec": {
                "suspend": suspend,
                "replicatedJobs": [{"template": {"spec": {"parallelism": 2}}}],
            },
            "status": {
                "restarts": restarts,
                "conditions": [{"status": "True", **each} for each in conditions],
                "replicatedJobsStatus": [{"active": 1}],
            },
        }
    )


def pod(rank: int, *conditions: dict, phase="Running", state=RUNNING, deleted="") -> PodState:
    return PodState.of(
        {
            "metadata": {
                "name": f"run-train-node-0-{rank}-abcde",
                "labels": {"batch.kubernetes.io/job-completion-index": str(rank)},
                "deletionTimestamp": deleted or None,
            },
            "spec": {"nodeName": f"gpu-{rank}"},
            "status": {
                "phase": phase,
                "containerStatuses": [{"state": state}],
                "conditions": list(conditions),
            },
        }
    )


def dead(rank: int, code: int, *conditions: dict, message: str = "") -> PodState:
    end = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}
    return pod(rank, *conditions, phase="Failed", state=end)


def told(*pods: PodState, of: JobState | None = None):
    return explain(JobSnapshot(job=of or jobset(), pods=pods))


def test_a_jobset_is_read_as_the_job_that_it_stands_for():
    done = jobset({"type": "Completed", "reason": "AllJobsCompleted"}, restarts=3)
    assert (done.nodes, done.active, done.failed) == (2, 1, 3)
    assert done.outcome.type == "Complete"
    assert jobset(suspend=True).suspended
    assert not jobset({"type": "StartupPolicyCompleted"}).is_final()


def test_where_all_run_it_says_on_which_machines():
    why = told(pod(0), pod(1))
    assert why.state is State.RUNNING
    assert why.summary == "2 of 2 pods run: node 0 on gpu-0, node 1 on gpu-1"


def test_the_node_that_does_not_start_is_told_and_not_the_one_that_waits_for_it():
    image = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    why = told(pod(0), pod(1, phase="Pending", state=image))
    assert (why.state, why.summary.partition(":")[0]) == (State.BLOCKED, "node 1")
    assert told(pod(0)).summary == "1 of 2 pods are there yet"


def test_a_drained_node_is_told_before_the_stop_that_follows_from_it():
    why = told(pod(0, deleted="2030-01-01T00:00:00Z"), pod(1, DRAINED, phase="Failed"))
    assert why.state in (State.DISRUPTED, State.STUCK)
    why = told(dead(1, 143, DRAINED), pod(0))
    assert why.state is State.DISRUPTED
    assert why.summary.startswith("node 1: evicted, as kubectl drain does")
    assert why.summary.endswith("all nodes restart together")


def test_a_verdict_restarts_nothing_and_between_two_lives_there_is_no_pod():
    why = told(dead(1, 70, message="NaN"), pod(0))
    assert (why.state, "restart" in why.summary) == (State.PERMANENT, False)
    why = told(of=jobset(restarts=1))
    assert (why.state, "restart together" in why.summary) == (State.WAITING, True)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_verdict_of_any_node_is_the_jobset_s_end_and_its_code(order):
    pods = [dead(0, 143, message="stopped"), dead(1, 70, message="NaN at step 3")]
    end = jobset({"type": "Failed", "reason": "FailJobSetAction", "message": "failed"})
    snapshot = JobSnapshot(job=end, pods=tuple(pods[each] for each in order))
    why = explain(snapshot)
    assert (why.state, why.message) == (State.PERMANENT, "NaN at step 3")
    assert why.summary.startswith("node 1: ")
    fault = failure(snapshot, Work("run", "train", "COMPLETE", lambda: False))
    assert (fault.exit_code, "NaN at step 3" in str(fault)) == (70, True)


def test_used_up_restarts_are_called_so():
    end = jobset({"type": "Failed", "reason": "ReachedMaxRestarts", "message": "max"})
    why = explain(JobSnapshot(job=end, pods=(dead(0, 75), dead(1, 137))))
    assert why.state is State.PERMANENT
    assert why.summary.startswith("all retries are used up")


def test_of_pods_without_a_verdict_the_disrupted_one_tells_most():
    snapshot = JobSnapshot(pods=(dead(0, 75), dead(1, 143, DRAINED), dead(0, 143)))
    assert telling_pod(snapshot).index == 1
    assert telling_pod(JobSnapshot()) is None
