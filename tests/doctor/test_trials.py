"""Doctor's trials: Jobs that take nothing, end by themselves, are always deleted, and show what a run would meet."""

from __future__ import annotations

import pytest

from fingpt.cluster.api.objects import Event, JobState, PodState
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.site import Site
from fingpt.doctor.checks import Grade
from fingpt.doctor.trials import ABSENT_RESOURCE, check_of, run_trials, trials
from fingpt.errors import PermissionDeniedError, TransientError
from tests.cluster.fake_cluster import FakeCluster
from tests.cluster.sites import IMAGES, full_site_data, run_of

TOKEN = "0a1b2c3d"


@pytest.fixture
def tried(full_site: Site):
    """Title → trial, of a GPU site where every key is set."""
    return {each.title: each for each in trials(run_of("llama31"), full_site, TOKEN)}


def pod_of(job: dict) -> dict:
    return job["spec"]["template"]["spec"]


def resources(job: dict) -> dict:
    return pod_of(job)["containers"][0]["resources"]


def snapshot(
    trial, *, unscheduled="", outcome="", reason="", code=None, message="", event=""
) -> JobSnapshot:
    """A trial's Job and pod: `unscheduled` by the scheduler, or ended with `code`, or `event` about the Job."""
    ended = {"type": outcome, "status": "True", "reason": reason, "message": "x"}
    job = {"metadata": {"name": trial.name}, "status": {"conditions": [ended] if outcome else []}}
    lacking = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    status: dict = {"phase": "Pending", "conditions": [{**lacking, "message": unscheduled}]}
    if code is not None:
        state = {"terminated": {"exitCode": code, "reason": "Error", "message": message}}
        status = {"phase": "Failed", "containerStatuses": [{"state": state}]}
    pods = (PodState.of({"metadata": {"name": "p"}, "spec": {}, "status": status}),)
    about = {"involvedObject": {"kind": "Job", "name": trial.name}, "reason": "FailedCreate"}
    events = (Event.of({**about, "message": event}),) if event else ()
    return JobSnapshot(job=JobState.of(job), pods=() if event else pods, events=events)


def judged(trial, **seen):
    found = snapshot(trial, **seen)
    return check_of(trial, found, explain(found))


def test_images_are_run_as_a_stage_s_pod_but_without_gpus_queue_and_cache(tried):
    for stage in ("prep", "train", "eval"):
        job = tried[f"image of {stage}"].job
        container = pod_of(job)["containers"][0]
        assert container["image"] == IMAGES[stage]
        assert set(resources(job)["limits"]) == {"cpu", "memory", "ephemeral-storage"}
        assert "runtimeClassName" not in pod_of(job)
        assert "kueue" not in str(job["metadata"])
        assert "persistentVolumeClaim" not in str(pod_of(job)["volumes"])
        assert pod_of(job)["volumes"][-1]["secret"]["secretName"] == "s3-keys"
        assert pod_of(job)["nodeSelector"] == {"pool": "gpu"}
        assert pod_of(job)["serviceAccountName"] == "fingpt-stage"
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    prep = pod_of(tried["image of prep"].job)["containers"][0]
    assert prep["command"][-2:] == ["-m", "fingpt.doctor.local"]


def test_room_is_asked_for_with_all_that_train_wants_and_what_no_node_has(tried):
    job = tried["room for train"].job
    for amounts in resources(job).values():
        assert amounts == {
            "cpu": "12",
            "memory": "96Gi",
            "ephemeral-storage": "80Gi",
            "nvidia.com/mig-3g.40gb": "1",
            ABSENT_RESOURCE: "1",
        }
    assert pod_of(job)["runtimeClassName"] == "nvidia"
    assert "weights" in str(pod_of(job)["volumes"])
    assert "kueue" not in str(job["metadata"])


def test_no_trial_is_taken_for_a_run_s_job_and_each_ends_by_itself(tried):
    assert len({each.name for each in tried.values()}) == 4
    for each in tried.values():
        spec = each.job["spec"]
        for metadata in (each.job["metadata"], spec["template"]["metadata"]):
            assert metadata["labels"]["app.kubernetes.io/name"] == "fingpt-doctor"
            # `doctor` is the pod of helm test, which alone may reach the API server.
            assert metadata["labels"]["app.kubernetes.io/component"] == "trial"
        assert spec["backoffLimit"] == 0
        assert spec["activeDeadlineSeconds"] == spec["ttlSecondsAfterFinished"] == 120


HELPLESS = (
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for "
    "scheduling."
)
ROOM = [
    (f"0/1 nodes are available: 1 Insufficient {ABSENT_RESOURCE}.{HELPLESS}", Grade.OK, 0, "now"),
    (
        f"0/1 nodes are available: 1 Insufficient {ABSENT_RESOURCE}, 1 Insufficient nvidia.com/gpu.{HELPLESS}",
        Grade.WARN,
        0,
        "0/1 nodes are available: 1 Insufficient nvidia.com/gpu",
    ),
    (
        (
            "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
            f"1 Insufficient nvidia.com/gpu, 2 Insufficient {ABSENT_RESOURCE}."
        ),
        Grade.OK,
        0,
        "now",
    ),
    (
        # One node lacks CPU, the other GPUs: neither has room.
        (
            "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu, "
            f"2 Insufficient {ABSENT_RESOURCE}."
        ),
        Grade.WARN,
        0,
        "nvidia.com/gpu free",
    ),
    (
        "0/1 nodes are available: 1 node(s) had untolerated taint {fingpt-e2e: closed}.",
        Grade.FAIL,
        78,
        "set tolerations",
    ),
    (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        Grade.FAIL,
        78,
        "nodeSelector",
    ),
]


@pytest.mark.parametrize(("message", "grade", "code", "words"), ROOM, ids=range(len(ROOM)))
def test_the_scheduler_s_message_tells_whether_there_is_room(tried, message, grade, code, words):
    check = judged(tried["room for train"], unscheduled=message)
    assert (check.grade, check.code) == (grade, code)
    assert words in f"{check.message} | {check.action}"
    assert ABSENT_RESOURCE not in check.message


SEEN = [
    ({"outcome": "Complete"}, Grade.OK, 0, "was pulled and starts"),
    (
        {
            "outcome": "Failed",
            "reason": "PodFailurePolicy",
            "code": 77,
            "message": "the secret key is not the one",
        },
        Grade.FAIL,
        77,
        "the secret key is not the one",
    ),
    (
        {"outcome": "Failed", "reason": "BackoffLimitExceeded", "code": 1, "message": "no"},
        Grade.FAIL,
        1,
        "a bug",
    ),
    (
        {"event": 'pods "x" is forbidden: exceeded quota: tight, requested: requests.cpu=100m'},
        Grade.WARN,
        0,
        "quota tight",
    ),
    (
        {"event": 'pods "x" is forbidden: violates PodSecurity "restricted:latest": y'},
        Grade.FAIL,
        78,
        "Pod Security (restricted:latest)",
    ),
    (
        {"event": 'pods "x" is forbidden: serviceaccount "fingpt-stage" not found'},
        Grade.FAIL,
        78,
        "helm install",
    ),
    ({}, Grade.WARN, 0, "no answer yet"),
]


@pytest.mark.parametrize(("seen", "grade", "code", "words"), SEEN, ids=range(len(SEEN)))
def test_what_became_of_a_trial_is_a_check(tried, seen, grade, code, words):
    check = judged(tried["image of prep"], **seen)
    assert (check.grade, check.code) == (grade, code)
    assert words in f"{check.message} | {check.action}"


class Answering(FakeCluster):
    """A cluster where Jobs are as one answer after the other says; an exception among them is raised."""

    def __init__(self, *answers) -> None:
        super().__init__()
        self.answers, self.seconds = list(answers), 0.0

    def job_snapshot(self, name):
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(given, BaseException):
            raise given
        return given

    def sleep(self, seconds):
        self.seconds += seconds

    def run(self, *tried):
        return list(run_trials(self, list(tried), sleep=self.sleep, clock=lambda: self.seconds))


def test_an_answer_ends_the_waiting_and_nothing_is_left(tried):
    image = tried["image of prep"]
    cluster = Answering(snapshot(image), snapshot(image, outcome="Complete"))
    (check,) = cluster.run(image)
    assert (check.grade, cluster.seconds) == (Grade.OK, 1.0)
    assert cluster.there == {}


def test_what_blocks_for_a_moment_is_not_told(tried):
    image = tried["image of prep"]
    passing = snapshot(image, event="exceeded quota: tight, x")
    cluster = Answering(passing, passing, snapshot(image, outcome="Complete"))
    (check,) = cluster.run(image)
    assert check.grade is Grade.OK
    cluster = Answering(passing)
    (check,) = cluster.run(image)
    assert (check.grade, cluster.seconds) == (Grade.WARN, 3.0)


def test_after_half_a_minute_it_says_what_it_still_waits_for(tried):
    image = tried["image of prep"]
    cluster = Answering(snapshot(image))
    (check,) = cluster.run(image)
    assert (check.grade, cluster.seconds) == (Grade.WARN, 30.0)
    assert "scheduler has not looked" in check.message


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_trials_are_deleted_however_it_ends(tried, stop):
    cluster = Answering(stop)
    with pytest.raises(type(stop)):
        cluster.run(*tried.values())
    assert cluster.there == {}


def test_a_refused_question_is_a_failed_check_and_the_others_go_on(tried):
    image, room = tried["image of prep"], tried["room for train"]
    cluster = Answering(PermissionDeniedError("no"), snapshot(room, unscheduled=ROOM[0][0]))
    first, second = cluster.run(image, room)
    assert (first.grade, first.code, second.grade) == (Grade.FAIL, 77, Grade.OK)


def test_a_job_that_cannot_be_made_is_a_failed_check(tried):
    class Full(Answering):
        def apply_job(self, job):
            raise TransientError("The namespace's quota leaves no room")

    (check,) = Full(snapshot(tried["image of prep"])).run(tried["image of prep"])
    assert (check.grade, check.code) == (Grade.FAIL, 75)


def test_a_full_site_names_its_login_for_pulls(tried):
    assert full_site_data()["pullSecrets"] == '["registry-login"]'
    for each in tried.values():
        assert pod_of(each.job)["imagePullSecrets"] == [{"name": "registry-login"}]
