"""Every state of a Job, with the cluster's own message and what to do; objects as a real cluster sent them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fingpt.cluster.api.objects import Admission, Event, JobState, PodState
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.diagnosis.snapshot import JobSnapshot, State

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
JOB, POD = "run-train", "run-train-x7k2p"
ROOT = Path(__file__).parents[3]


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def job(*conditions: dict, suspend: bool = False, **status) -> JobState:
    return JobState.of(
        {
            "metadata": {"name": JOB, "creationTimestamp": at(-60)},
            "spec": {"suspend": suspend},
            "status": {"conditions": [{"status": "True", **each} for each in conditions], **status},
        }
    )


def failed(reason: str, message: str) -> JobState:
    return job({"type": "Failed", "reason": reason, "message": message})


def pod(name: str = POD, *, phase="Pending", node="gpu-1", deleted="", state=None, **status):
    containers = [{"name": "train", "state": state}] if state else []
    return PodState.of(
        {
            "metadata": {
                "name": name,
                "creationTimestamp": at(-50),
                "deletionTimestamp": deleted or None,
            },
            "spec": {"nodeName": node},
            "status": {"phase": phase, "containerStatuses": containers, **status},
        }
    )


def waiting(reason: str, message: str = "") -> dict:
    return {"waiting": {"reason": reason, "message": message}}


def dead(code: int, reason: str = "Error", message: str = "", **status) -> PodState:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return pod(phase="Failed", state=state, **status)


def disrupted(reason: str, message: str = "Eviction API: evicting") -> dict:
    return {
        "conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        ]
    }


def event(reason: str, message: str, *, about: str = POD, count: int = 3) -> Event:
    return Event.of(
        {
            "involvedObject": {"kind": "Job" if about == JOB else "Pod", "name": about},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "count": count,
            "lastTimestamp": at(-10),
        }
    )


def see(job_state=None, pods=(), events=(), **more):
    return explain(
        JobSnapshot(job=job_state, pods=tuple(pods), events=tuple(events), now=NOW, **more)
    )


NOT_SCHEDULED = [
    (
        (
            "0/4 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 "
            "nodes are available: 1 Preemption is not helpful for scheduling."
        ),
        ["nvidia.com/gpu free", "train.processes"],
    ),
    ("0/1 nodes are available: 1 Insufficient cpu.", ["cpu free", "resources.<stage>"]),
    (
        (
            "0/2 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}, 1 Insufficient "
            "nvidia.com/gpu."
        ),
        ["taint", "nvidia.com/gpu: present", "tolerations", "; or: wait"],
    ),
    ("0/1 nodes are available: 1 node(s) had untolerated taint(s).", ["taint", "tolerations"]),
    (
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
            "2 Insufficient nvidia.com/gpu."
        ),
        ["nvidia.com/gpu free"],
    ),
    (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ["nodeSelector"],
    ),
    (
        '0/1 nodes are available: persistentvolumeclaim "weights" not found. not found',
        ["volume claim weights", "cache.claim"],
    ),
    ("0/1 nodes are available: 1 node(s) were unschedulable.", ["cordoned", "uncordon"]),
    (
        (
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) had untolerated "
            "taint(s). no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful "
            "for scheduling."
        ),
        ["labels", "taint", "nodeSelector", "tolerations"],
    ),
]


@pytest.mark.parametrize(("message", "words"), NOT_SCHEDULED, ids=range(len(NOT_SCHEDULED)))
def test_a_pod_that_no_node_takes_shows_the_scheduler_s_message_and_what_to_do(message, words):
    pending = pod(
        node="",
        conditions=[
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
            }
        ],
    )
    found = see(job(active=1), [pending], [event("FailedScheduling", message, count=7)])
    assert (found.state, found.message, found.times) == (State.BLOCKED, message, 7)
    for word in words:
        assert word in f"{found.summary} | {found.action}"
    assert "None" not in found.summary + found.action


def test_the_control_plane_s_own_taint_is_never_the_reason():
    found = see(
        job(active=1),
        [
            pod(
                node="",
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "message": NOT_SCHEDULED[4][0],
                    }
                ],
            )
        ],
    )
    assert "taint" not in found.summary


NOT_STARTED = [
    (
        waiting("ErrImagePull", "rpc error"),
        event(
            "Failed",
            'Failed to pull image "registry.example/fingpt-train:nope": failed to resolve reference: failed to do '
            "request: dial tcp: lookup registry.example: no such host",
        ),
        ["cannot reach", "registry"],
    ),
    (
        waiting("ImagePullBackOff", 'Back-off pulling image "x"'),
        event("Failed", 'Failed to pull image "x": x: not found'),
        ["no such image", "push it"],
    ),
    (
        waiting("ImagePullBackOff", 'Back-off pulling image "x"'),
        event("Failed", 'Failed to pull image "x": 401 Unauthorized'),
        ["refuses the pull", "images.pullSecrets"],
    ),
    (
        waiting(
            "ErrImageNeverPull",
            'Container image "local/x:2" is not present with pull policy of Never',
        ),
        None,
        ["not loaded", "kind load docker-image"],
    ),
    (
        waiting("InvalidImageName", 'couldn\'t parse image name "Bad Name": invalid reference'),
        None,
        ["not valid"],
    ),
    (
        waiting("CreateContainerConfigError", 'configmap "settings" not found'),
        event("Failed", 'Error: configmap "settings" not found'),
        ["ConfigMap settings", "chart"],
    ),
    (
        waiting("CreateContainerConfigError", 'secret "fingpt-s3" not found'),
        event("Failed", 'Error: secret "fingpt-s3" not found'),
        ["Secret fingpt-s3", "kubectl create secret"],
    ),
    (
        waiting("ContainerCreating"),
        event(
            "FailedMount", 'MountVolume.SetUp failed for volume "s3" : secret "fingpt-s3" not found'
        ),
        ["Secret fingpt-s3"],
    ),
    (
        waiting("ContainerCreating"),
        event(
            "FailedMount",
            'MountVolume.SetUp failed for volume "s3" : references non-existent secret key: credentials',
        ),
        ["lacks a key", "'credentials'"],
    ),
    (
        waiting("ContainerCreating"),
        event(
            "FailedCreatePodSandBox",
            'Failed to create pod sandbox: no runtime for "nvidia" is configured',
        ),
        ["runtime class", "gpu.runtimeClass"],
    ),
]


@pytest.mark.parametrize(("state", "about", "words"), NOT_STARTED, ids=range(len(NOT_STARTED)))
def test_a_container_that_cannot_start_shows_the_kubelet_s_message_and_what_to_do(
    state, about, words
):
    found = see(job(active=1), [pod(state=state)], [about] if about else [])
    assert found.state is State.BLOCKED
    verbatim = [about.message if about else "", next(iter(state.values())).get("message")]
    assert found.message
    assert found.message in verbatim
    for word in words:
        assert word in f"{found.summary} | {found.action}"


NOT_CREATED = [
    (
        (
            'Error creating: pods "run-train-fvs5m" is forbidden: exceeded quota: gpus, requested: '
            "requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=4"
        ),
        ["quota gpus"],
    ),
    (
        (
            'Error creating: pods "run-train-z7tgw" is forbidden: violates PodSecurity "restricted:latest": privileged '
            '(container "train" must not set securityContext.privileged=true)'
        ),
        ["Pod Security (restricted:latest)"],
    ),
    (
        (
            'Error creating: pods "run-train-" is forbidden: error looking up service account forecasts/fingpt-stage: '
            'serviceaccount "fingpt-stage" not found'
        ),
        ["service account", "helm install"],
    ),
    (
        'Error creating: pods "x" is forbidden: failed quota: limits: must specify limits.cpu',
        ["quota limits"],
    ),
    (
        'Error creating: admission webhook "policy.example" denied the request: no',
        ["policy policy.example"],
    ),
    (
        (
            'Error creating: Internal error occurred: failed calling webhook "mpod.kb.io": failed to call webhook: '
            'Post "https://kueue-webhook-service.kueue-system.svc:443/mutate--v1-pod?timeout=10s": dial tcp '
            "10.96.114.188:443: connect: connection refused"
        ),
        ["mpod.kb.io", "no answer", "starts by itself"],
    ),
]


@pytest.mark.parametrize(("message", "words"), NOT_CREATED, ids=range(len(NOT_CREATED)))
def test_a_pod_that_may_not_be_made_shows_the_refusal_word_for_word(message, words):
    found = see(job(), (), [event("FailedCreate", message, about=JOB)])
    assert (found.state, found.message) == (State.BLOCKED, message)
    for word in words:
        assert word in f"{found.summary} | {found.action}"
    assert "None" not in found.summary + found.action


def test_a_refusal_that_is_over_is_not_shown():
    events = [event("FailedCreate", "exceeded quota: a, x", about=JOB)]
    events.append(event("SuccessfulCreate", "Created pod: x", about=JOB))
    found = see(job(active=1), [pod(state=waiting("ContainerCreating"))], events)
    assert found.state is State.STARTING


def test_a_pod_that_was_made_and_failed_is_no_refusal():
    created = event("SuccessfulCreate", "Created pod: x", about=JOB)
    assert see(job(failed=1), [dead(75)], [created]).state is State.RETRYABLE


def test_between_a_deleted_pod_and_its_successor_the_job_is_not_new():
    created = event("SuccessfulCreate", "Created pod: x", about=JOB)
    for found in (see(job(), (), [created]), see(job(failed=1))):
        assert found.state is State.RETRYABLE
        assert "another pod follows" in found.summary
    assert see(job()).state is State.WAITING


def test_an_unknown_message_is_shown_all_the_same():
    found = see(job(), (), [event("FailedCreate", "the moon is in the wrong house", about=JOB)])
    assert found.message == "the moon is in the wrong house"
    assert found.action


QUEUES = [
    ("LocalQueue forecasters doesn't exist", State.BLOCKED, "queue forecasters does not exist"),
    ("ClusterQueue main is inactive", State.BLOCKED, "cannot admit"),
    (
        (
            "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor a100, 1 "
            "more needed"
        ),
        State.WAITING,
        "no room",
    ),
    (
        (
            "couldn't assign flavors to pod set main: insufficient quota for cpu in flavor a100, request > maximum "
            "capacity (2 > 1)"
        ),
        State.BLOCKED,
        "can ever have",
    ),
    (
        (
            "couldn't assign flavors to pod set main: insufficient quota for cpu in flavor a100, request > maximum "
            "capacity (2 > 1), insufficient unused quota for cpu in flavor b, 1 more needed"
        ),
        State.WAITING,
        "no room",
    ),
    ("", State.WAITING, "Kueue"),
]


@pytest.mark.parametrize(("message", "state", "words"), QUEUES, ids=range(len(QUEUES)))
def test_a_suspended_job_says_what_its_queue_says(message, state, words):
    found = see(job({"type": "Suspended"}, suspend=True), admission=Admission(message))
    assert (found.state, found.message) == (state, message)
    assert words in found.summary


@pytest.mark.parametrize(
    ("before", "in_all", "words"),
    [
        (0, 0, "; next in queue gpus"),
        (2, 2, "; 2 before it in queue gpus"),
        (0, 3, "; next in queue gpus, 3 before it in all that share its quota"),
        (None, None, "no room yet"),
    ],
)
def test_a_job_in_a_queue_says_how_many_wait_before_it(before, in_all, words):
    waits = Admission("insufficient quota", "gpus", before, in_all)
    assert see(job({"type": "Suspended"}, suspend=True), admission=waits).summary.endswith(words)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("EvictionByEvictionAPI", "drain"),
        ("PreemptionByScheduler", "higher priority"),
        ("DeletionByTaintManager", "tainted"),
        ("DeletionByPodGC", "node is gone"),
        ("TerminationByKubelet", "shut down"),
        ("NewReasonOfTomorrow", "NewReasonOfTomorrow"),
    ],
)
def test_a_disruption_says_by_whom_and_that_it_costs_nothing(reason, words):
    found = see(job(), [dead(143, **disrupted(reason))])
    assert found.state is State.DISRUPTED
    assert words in found.summary
    assert "costs no retry" in found.summary
    leaving = pod(phase="Running", state={"running": {}}, deleted=at(100), **disrupted(reason))
    assert see(job(active=1), [leaving]).state is State.DISRUPTED


@pytest.mark.parametrize("code", [1, 74, 75, 137, 143])
def test_a_failure_that_is_retried_says_how_many_there_were(code):
    found = see(job(failed=2), [dead(code, message='{"event": "why"}')])
    assert found.state is State.RETRYABLE
    assert "failure 2" in found.summary
    assert found.message == "why", "of a line of our log the event is shown"
    assert see(job(failed=2), [dead(code, message="plain\nlast")]).message == "last"


@pytest.mark.parametrize("code", [64, 65, 66, 70, 73, 77, 78])
def test_a_verdict_is_permanent_and_carries_the_stage_s_own_last_message(code):
    message = f"Container train for pod forecasts/{POD} failed with exit code {code} matching FailJob rule at index 0"
    found = see(failed("PodFailurePolicy", message), [dead(code, message="first\nwhy it ended")])
    assert found.state is State.PERMANENT
    assert f"exit {code}" in found.summary
    assert found.message == "why it ended"
    assert found.action
    # Where the pod is gone, the Job's own message still says it.
    assert f"exit {code}" in see(failed("PodFailurePolicy", message)).summary


def test_retries_that_are_used_up_are_permanent_and_name_the_last_failure():
    found = see(
        failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"),
        [dead(75, message="the store was away")],
    )
    assert found.state is State.PERMANENT
    assert "used up" in found.summary
    assert found.message == "the store was away"


def test_a_deadline_is_named_with_the_setting():
    found = see(failed("DeadlineExceeded", "Job was active longer than specified deadline"))
    assert found.state is State.PERMANENT
    assert "deadlineSeconds" in found.action


def test_out_of_memory_is_told_from_a_plain_kill():
    found = see(job(failed=1), [dead(137, reason="OOMKilled")])
    assert "OOMKilled" in found.summary
    assert "memory" in found.action
    assert "OOMKilled" not in see(job(failed=1), [dead(137)]).summary


def test_a_full_disk_names_the_volume():
    message = 'Usage of EmptyDir volume "scratch" exceeds the limit "20Gi". '
    found = see(job(failed=1), [pod(phase="Failed", state=None, reason="Evicted", message=message)])
    assert "local disk" in found.summary
    assert found.message == message


def test_a_fenced_pod_is_no_failure():
    found = see(job(failed=1), [dead(76, message="Attempt 1 was taken over")])
    assert found.state is State.FENCED
    assert "nothing" in found.action


def test_a_pod_that_outlives_its_grace_is_on_a_stuck_node():
    lost = pod(
        phase="Running",
        state={"running": {}},
        deleted=at(-90),
        **disrupted("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),
    )
    found = see(job(active=1, terminating=1), [lost])
    assert found.state is State.STUCK
    assert "gpu-1" in found.summary
    assert "delete node gpu-1" in found.action
    assert f"delete pod {POD} --force" in found.action


def test_a_running_pod_on_a_silent_node_is_not_called_running():
    silent = pod(
        phase="Running",
        state={"running": {}},
        conditions=[{"type": "Ready", "status": "False"}],
    )
    found = see(job(active=1), [silent], [event("NodeNotReady", "Node is not ready")])
    assert found.state is State.STUCK
    back = pod(
        phase="Running",
        state={"running": {}},
        conditions=[{"type": "Ready", "status": "True"}],
    )
    found = see(job(active=1), [back], [event("NodeNotReady", "Node is not ready")])
    assert found.state is State.RUNNING


def test_a_pod_that_is_deleted_on_a_silent_node_is_stuck_before_its_grace_is_over():
    unready = {"type": "Ready", "status": "False"}
    leaving = disrupted("DeletionByTaintManager")["conditions"]
    lost = pod(
        phase="Running",
        state={"running": {}},
        deleted=at(100),
        conditions=[unready, *leaving],
    )
    found = see(job(active=1), [lost], [event("NodeNotReady", "Node is not ready")])
    assert found.state is State.STUCK
    assert "does not answer" in found.summary
    assert "ago" not in found.summary
    # On a node that answers the same pod saves a checkpoint.
    assert see(job(active=1), [lost]).state is State.DISRUPTED


def test_a_pod_that_is_being_deleted_by_hand_is_stopping():
    found = see(job(active=1), [pod(phase="Running", state={"running": {}}, deleted=at(100))])
    assert found.state is State.STOPPING


def test_only_a_pod_that_has_started_saves_a_checkpoint():
    for state, saves in (({"running": {}}, True), (waiting("ImagePullBackOff"), False)):
        for more in ({}, disrupted("EvictionByEvictionAPI")):
            found = see(job(active=1), [pod(phase="Pending", state=state, deleted=at(9), **more)])
            assert ("checkpoint" in found.summary) is saves


def test_a_job_that_is_complete_without_complete_in_the_bucket_is_a_silent_failure():
    complete = job({"type": "Complete", "message": "Reached expected number of succeeded pods"})
    assert see(complete, complete=False).state is State.SILENT
    assert see(complete, complete=True).state is State.COMPLETE
    unread = see(complete, complete=None)
    assert unread.state is State.COMPLETE
    assert "not read" in unread.summary


def test_the_bucket_has_the_last_word_on_success():
    assert see(failed("BackoffLimitExceeded", "x"), complete=True).state is State.COMPLETE
    assert see(None, complete=True).state is State.COMPLETE
    assert see(None, complete=False).state is State.ABSENT


def test_the_newest_pod_counts():
    running = pod("run-train-b", phase="Running", state={"running": {}})
    found = see(job(active=1, failed=1), [dead(75), running])
    assert found.state is State.RUNNING
    assert "gpu-1" in found.summary


def test_a_pull_that_goes_on_is_starting_and_not_a_hang():
    pulling = event("Pulling", 'Pulling image "registry.example/fingpt-train:1"')
    found = see(job(active=1), [pod(state=waiting("ContainerCreating"))], [pulling])
    assert found.state is State.STARTING
    assert "pulls" in found.summary
    assert found.last


def test_a_container_that_has_ended_a_second_before_its_pod_is_not_one_that_cannot_start():
    terminated = {"exitCode": 77, "reason": "Error", "message": "The token is refused."}
    ending = {
        "metadata": {"name": "x-1"},
        "spec": {"nodeName": "gpu-1"},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"state": {"terminated": terminated}}],
        },
    }
    seen = explain(JobSnapshot(job=JobState.of({}), pods=(PodState.of(ending),)))
    assert (seen.state, seen.summary) == (State.RUNNING, "pod x-1 on node gpu-1 is about to end")


def test_a_pod_that_has_ended_well_a_second_before_its_job_has_not_failed():
    terminated = {"exitCode": 0, "reason": "Completed"}
    ended = {
        "metadata": {"name": "x-1"},
        "status": {
            "phase": "Succeeded",
            "containerStatuses": [{"state": {"terminated": terminated}}],
        },
    }
    seen = explain(JobSnapshot(job=JobState.of({}), pods=(PodState.of(ended),)))
    assert seen.state is State.RUNNING
    assert "ended well" in seen.summary
