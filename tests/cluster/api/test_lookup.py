"""What status and doctor ask beyond the client, in which order, and how a cluster without Kueue answers."""

from __future__ import annotations

import pytest

from fingpt.cluster.api import stream
from fingpt.cluster.api.lookup import Observer
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.diagnosis.snapshot import State
from fingpt.errors import PermissionDeniedError
from tests.cluster.api_server import answer, refusal

JOB = {"metadata": {"name": "run-prep", "uid": "u1"}, "status": {}}
MADE = {
    "involvedObject": {"kind": "Job", "name": "run-prep"},
    "reason": "SuccessfulCreate",
    "message": "Created pod: run-prep-1",
}


def listed(*items: dict):
    return answer({"metadata": {"resourceVersion": "1"}, "items": list(items)})


@pytest.fixture
def observer(kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> Observer:
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    return Observer.connect(kubeconfig=kubeconfig)


def test_a_pod_whose_making_was_told_is_looked_for_afterwards(api, observer):
    """The other way round a pod made in between would be taken for a deleted one."""
    api.say("list jobs", listed(JOB))
    api.say("list events", listed(MADE))
    api.say("list pods", listed())
    snapshot = observer.look("run", "prep", complete=False)
    assert [route for route, _, _ in api.requests[-3:]] == ["list jobs", "list events", "list pods"]
    assert explain(snapshot).state is State.RETRYABLE


def test_a_job_is_looked_at_by_name_whoever_s_it_is(api, observer):
    api.say("list jobs", listed(JOB))
    api.say("list events", listed())
    api.say("list pods", listed({"metadata": {"name": "p"}, "status": {"phase": "Running"}}))
    snapshot = observer.look_at("run-prep")
    queries = {route: query for route, query, _ in api.requests}
    assert queries["list pods"]["labelSelector"] == "batch.kubernetes.io/job-name=run-prep"
    assert [pod.name for pod in snapshot.pods] == ["p"]
    assert snapshot.complete is None


@pytest.mark.parametrize(
    ("said", "there"),
    [
        (answer({"metadata": {"name": "line"}}), True),
        (refusal(404, 'localqueues.kueue.x-k8s.io "line" not found'), False),
        (refusal(404, "the server could not find the requested resource"), None),
        (answer("404 page not found\n", 404), None),
    ],
)
def test_a_queue_is_there_or_not_or_the_cluster_has_no_kueue(api, observer, said, there):
    api.say("get localqueues", said)
    assert observer.has_queue("line") is there


def test_a_queue_that_one_may_not_see_is_a_missing_right(api, observer):
    api.say("get localqueues", refusal(403, "forbidden"))
    with pytest.raises(PermissionDeniedError):
        observer.has_queue("line")
