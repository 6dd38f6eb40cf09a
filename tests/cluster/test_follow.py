"""Following a Job over a real client: its lines, what it waits for, how it ended, and when to give up."""

from __future__ import annotations

import json
import threading

import pytest

from fingpt import log
from fingpt.cluster import follow
from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.follow import Work, blocked, finish, unpullable
from fingpt.errors import (
    DivergedError,
    MissingInputError,
    PermissionDeniedError,
    StageFailedError,
    StartTimeoutError,
)
from tests.cluster.api_server import answer, hang_up, lines, listed, refusal

NAME = "run-1-train"
QUOTA = "exceeded quota: small, requested: pods=1"
UNSCHEDULABLE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def work(done=True, component="train"):
    return Work("run-1", component, "runs/run-1/train/COMPLETE.json", lambda: done)


def job(outcome="", reason="", message="", version="1", **status):
    condition = {"type": outcome, "status": "True", "reason": reason, "message": message}
    return {
        "metadata": {"name": NAME, "uid": "u1", "resourceVersion": version},
        "status": {"conditions": [condition] if outcome else [], **status},
    }


def pod(name="pod-1", phase="Pending", node="gpu-1", conditions=(), **state):
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "creationTimestamp": f"2030-01-01T00:00:0{name[-1]}Z",
        },
        "spec": {"nodeName": node},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": [{"state": state or {"waiting": {}}}],
        },
    }


RUNNING = pod(phase="Running", running={})


def ended(code=0, message="", phase="Succeeded", name="pod-1"):
    return pod(name=name, phase=phase, terminated={"exitCode": code, "message": message})


def failed_by(code):
    message = f"Container train for pod x/pod-1 failed with exit code {code} matching FailJob rule"
    return job("Failed", "PodFailurePolicy", message, failed=1)


@pytest.fixture
def cluster(api, kubeconfig, monkeypatch):
    """A client of an API server in this process, without pods and events, with short waits."""
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    api.say("list pods", listed())
    api.say("list events", listed())
    api.say("watch pods", lines({"type": "ADDED", "object": pod("pod-9")}))
    return Cluster.connect(kubeconfig=kubeconfig)


@pytest.fixture
def written(capsys):
    """What was written to stderr until now, one JSON object or plain line each."""
    log.setup()

    def read():
        return capsys.readouterr().err.splitlines()

    return read


def events(texts):
    return [json.loads(text)["event"] for text in texts if text.startswith("{")]


def test_a_job_s_lines_are_passed_on_and_its_result_is_looked_for_in_the_bucket(
    api, cluster, written
):
    api.say("list jobs", listed(job()), listed(job(active=1)), listed(job("Complete")))
    api.say("list pods", listed(), listed(RUNNING), listed(ended()))
    api.say("watch jobs", lines({"type": "MODIFIED", "object": job("Complete")}))
    api.say("get pods", answer(RUNNING), answer(ended()))
    api.say("get log", lines("2030-01-01T00:00:01Z one", "2030-01-01T00:00:02Z two"))
    finish(cluster, work(), blocked)
    texts = written()
    assert [text for text in texts if text in ("one", "two")] == ["one", "two"]
    assert any(event.startswith("waiting: the Job is new") for event in events(texts))
    assert any(event.startswith("running: pod pod-1 runs on node gpu-1") for event in events(texts))

    with pytest.raises(DivergedError, match="silent failure"):
        finish(cluster, work(done=False), blocked)


def test_a_failed_stage_ends_with_its_pod_s_code_and_own_last_message(api, cluster):
    api.say("list jobs", listed(failed_by(65)))
    api.say("list pods", listed(ended(65, "first\nThe rows are wrong.", "Failed")))
    with pytest.raises(StageFailedError) as caught:
        finish(cluster, work(), blocked)
    assert str(caught.value) == "Stage train ended with exit code 65: The rows are wrong."
    assert caught.value.exit_code == 65


def test_drive_s_message_is_its_stage_s_and_is_not_wrapped_again(api, cluster):
    message = "Stage train ended with exit code 65: The rows are wrong."
    api.say("list jobs", listed(failed_by(65)))
    api.say("list pods", listed(ended(65, message, "Failed")))
    with pytest.raises(StageFailedError) as caught:
        finish(cluster, work(component="drive"), blocked)
    assert (str(caught.value), caught.value.exit_code) == (message, 65)


def test_used_up_retries_are_reported_with_what_the_last_pod_died_of(api, cluster):
    api.say("list jobs", listed(job("Failed", "BackoffLimitExceeded", "no more", failed=7)))
    killed = ended(137, "step 7", "Failed")
    killed["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] = "OOMKilled"
    api.say("list pods", listed(killed))
    with pytest.raises(StageFailedError, match="137: all retries are used up; last: out of memory"):
        finish(cluster, work(), blocked)


def test_a_failed_job_without_any_pod_left_may_be_tried_again(api, cluster):
    api.say("list jobs", listed(job("Failed", "DeadlineExceeded", "too long")))
    with pytest.raises(StageFailedError, match="longer than the site allows") as caught:
        finish(cluster, work(), blocked)
    assert caught.value.exit_code == 75


@pytest.fixture
def image_cannot_be_pulled(api):
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "none:1"'}
    api.say("list jobs", listed(job(active=1)))
    api.say("list pods", listed(pod(waiting=waiting)))


@pytest.fixture
def no_room(api):
    condition = {"type": "PodScheduled", "status": "False", "message": UNSCHEDULABLE}
    api.say("list jobs", listed(job(active=1)))
    api.say("list pods", listed(pod(node="", conditions=[condition])))


@pytest.fixture
def quota_exceeded(api):
    about = {"kind": "Job", "name": NAME}
    event = {"involvedObject": about, "type": "Warning", "reason": "FailedCreate", "message": QUOTA}
    api.say("list jobs", listed(job()))
    api.say("list events", listed(event))


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("image_cannot_be_pulled", "Back-off pulling image"),
        ("no_room", UNSCHEDULABLE),
        ("quota_exceeded", QUOTA),
    ],
)
def test_a_person_stops_waiting_for_what_does_not_start_and_the_job_stays(
    api, cluster, monkeypatch, request, written, case, words
):
    request.getfixturevalue(case)
    monkeypatch.setattr(follow, "START_SECONDS", 0.1)
    with pytest.raises(StartTimeoutError) as caught:
        finish(cluster, work(), blocked)
    assert caught.value.exit_code == 69
    assert words in str(caught.value)
    assert "The Job stays" in str(caught.value)
    assert not [route for route, _, _ in api.requests if route.startswith("delete")]
    (line,) = [
        json.loads(text) for text in written() if "blocked: " in text
    ]  # once, not every time
    assert words in line["message"]
    assert line["action"]


@pytest.mark.parametrize("case", ["no_room", "quota_exceeded"])
def test_drive_waits_for_room_as_long_as_it_takes(api, cluster, monkeypatch, request, case):
    request.getfixturevalue(case)
    monkeypatch.setattr(follow, "START_SECONDS", 0.0)
    waiting = api.script["list jobs"][0]
    api.say("list jobs", *[waiting] * 20, listed(job("Complete")))
    finish(cluster, work(), unpullable)
    assert api.asked("list jobs") == 21


def test_drive_does_not_wait_for_an_image_forever(
    api, cluster, monkeypatch, image_cannot_be_pulled
):
    monkeypatch.setattr(follow, "START_SECONDS", 0.1)
    with pytest.raises(StartTimeoutError, match="image"):
        finish(cluster, work(), unpullable)


def test_the_time_to_start_counts_anew_after_every_start(api, cluster, monkeypatch):
    clock = iter(range(0, 100_000, 600))  # two looks in vain would be too late
    monkeypatch.setattr(follow.time, "monotonic", lambda: next(clock))
    waiting = pod(waiting={"reason": "ErrImagePull", "message": "not found"})
    setting_up = pod(waiting={"reason": "ContainerCreating"})
    api.say("list jobs", *[listed(job(active=1))] * 4, listed(job("Complete")))
    api.say("list pods", *[listed(each) for each in (waiting, setting_up) * 2], listed())
    finish(cluster, work(), blocked)


@pytest.mark.parametrize("pods", [(), (RUNNING,)], ids=["while it waits", "while it is watched"])
def test_an_api_server_that_is_away_for_a_while_does_not_end_the_following(
    api, cluster, written, pods
):
    away = [hang_up] * 9  # more than one request's own tries
    api.say("list jobs", listed(job(active=1)), *away, listed(job("Complete")))
    api.say("list pods", listed(*pods))
    api.say("get pods", answer(ended()))
    api.say("get log", lines("2030-01-01T00:00:01Z one"))
    api.say("watch jobs", hang_up)
    finish(cluster, work(), blocked)
    assert any("answers again" in event for event in events(written()))


def test_a_watch_that_is_dropped_or_too_old_is_opened_again(api, cluster):
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
    api.say("list jobs", *[listed(job(active=1))] * 4, listed(job("Complete")))
    api.say("list pods", listed(RUNNING))
    api.say("watch jobs", lines(gone), lines(broken=True), lines())
    api.say("get pods", answer(ended()))
    api.say("get log", lines())
    finish(cluster, work(), blocked)
    assert api.asked("watch jobs") >= 3


def test_every_pod_s_lines_come_once_and_a_log_that_cannot_be_read_hides_nothing(
    api, cluster, written
):
    first, second = ended(75, "x", "Failed"), pod("pod-2", phase="Running", running={})
    api.say("list jobs", listed(job(active=1, failed=1)), listed(job("Complete")))
    api.say("list pods", listed(first, second))
    api.say("watch jobs", lines({"type": "MODIFIED", "object": job("Complete")}))
    api.say("get pods", answer(first), answer(ended(name="pod-2")))
    api.say("get log", lines("2030-01-01T00:00:01Z one"), refusal(404, "no such pod"))
    finish(cluster, work(), blocked)
    texts = written()
    assert texts.count("one") == 1
    assert any("No more lines of pod pod-2" in event for event in events(texts))


def test_a_job_that_was_cancelled_meanwhile_is_reported_as_gone(api, cluster):
    api.say("list jobs", listed(job()), listed())
    with pytest.raises(MissingInputError, match=r"no Job run-1-train in .* it was deleted"):
        finish(cluster, work(), blocked)


def test_no_line_of_a_pod_is_written_once_the_following_has_ended(api, cluster, written):
    """Else its thread may be writing while the process ends, which aborts the process."""
    over = threading.Event()

    def log_that_goes_on(handler):
        lines("2030-01-01T00:00:01Z one", broken=True)(handler)
        over.wait(10)
        handler.wfile.write(b"1d\r\n2030-01-01T00:00:02Z and two\n\r\n0\r\n\r\n")

    api.say("list jobs", listed(job(active=1)), listed(job(active=1)), listed())
    api.say("list pods", listed(RUNNING))
    api.say("watch jobs", lines({"type": "MODIFIED", "object": job(active=2)}))
    api.say("get pods", answer(RUNNING), answer(ended()))
    api.say("get log", log_that_goes_on)
    with pytest.raises(MissingInputError, match="it was deleted"):
        finish(cluster, work(), blocked)
    over.set()
    for thread in threading.enumerate():
        if "_relay" in thread.name:
            thread.join(10)
    assert "and two" not in written()


def test_a_refusal_ends_the_following(api, cluster):
    api.say("list jobs", refusal(403, "no"))
    with pytest.raises(PermissionDeniedError):
        finish(cluster, work(), blocked)


@pytest.mark.parametrize(
    ("last", "state"),
    [
        ("2030-01-01T11:59:59Z", "waiting"),
        ("2030-01-01T12:00:00.000001Z", "blocked"),
        ("2030-01-01T12:00:00Z", "blocked"),
    ],
)
def test_events_of_an_earlier_job_of_the_same_name_are_not_used(api, cluster, last, state):
    made = job()
    made["metadata"]["creationTimestamp"] = "2030-01-01T12:00:00Z"
    event = {"reason": "FailedCreate", "message": QUOTA, "lastTimestamp": last}
    api.say("list jobs", listed(made))
    api.say("list events", listed(event))
    assert explain(cluster.stage_snapshot("run-1", "train", complete=None)).state == state


def test_while_nothing_changes_pods_are_watched_and_listed_once_a_resync(api, cluster, monkeypatch):
    waiting = pod(
        node="", conditions=[{"type": "PodScheduled", "status": "False", "message": UNSCHEDULABLE}]
    )
    same = {"type": "ADDED", "object": waiting}
    monkeypatch.setattr(follow, "RESYNC_SECONDS", 0.5)
    api.say("list jobs", *[listed(job(active=1))] * 3, listed(job("Complete")))
    api.say("list pods", listed(waiting))
    api.say("watch pods", lines(same))
    finish(cluster, work(), blocked)
    assert api.asked("list pods") == 4
    assert api.asked("watch pods") > 4
    asked = [query for route, query, _ in api.requests if route == "watch pods"]
    assert {query["labelSelector"] for query in asked} == {
        "app.kubernetes.io/name=fingpt-jobs,app.kubernetes.io/instance=run-1,app.kubernetes.io/component=train"
    }


@pytest.mark.parametrize(
    "change",
    [
        {"type": "MODIFIED", "object": RUNNING},
        {"type": "DELETED", "object": pod()},
        {"type": "ADDED", "object": pod("pod-2")},
    ],
    ids=["runs", "is gone", "is new"],
)
def test_a_pod_that_changes_is_looked_at_at_once(api, cluster, monkeypatch, change):
    monkeypatch.setattr(follow, "RESYNC_SECONDS", 60)
    api.say("list jobs", listed(job(active=1)), listed(job("Complete")))
    api.say("list pods", listed(pod()))
    api.say("watch pods", lines({"type": "ADDED", "object": pod()}, change))
    finish(cluster, work(), blocked)
    assert (api.asked("watch pods"), api.asked("list pods")) == (1, 2)


def test_a_watch_that_is_refused_for_a_while_does_not_end_the_following(api, cluster, monkeypatch):
    monkeypatch.setattr(follow, "RESYNC_SECONDS", 60)
    api.say("list jobs", listed(job(active=1)), listed(job("Complete")))
    api.say("list pods", listed(pod()))
    api.say("watch pods", refusal(503, "restarting"))
    finish(cluster, work(), blocked)
