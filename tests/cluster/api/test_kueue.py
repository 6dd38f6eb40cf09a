"""What Kueue is asked of a Job that it holds back, and what its answers, or their absence, become."""

from __future__ import annotations

import time

import pytest

from fingpt.cluster.api.objects import Admission, JobState
from tests.cluster.api_server import NAMESPACE, answer, hang_up, job_json, listed, refusal

NO_ROOM = "insufficient unused quota for nvidia.com/gpu"
WORKLOAD = {
    "metadata": {"name": "job-x-1a2b3"},
    "spec": {"queueName": "gpus"},
    "status": {
        "conditions": [
            {"type": "Finished", "status": "True", "message": "no"},
            {"type": "QuotaReserved", "status": "False", "message": NO_ROOM},
        ]
    },
}


def pending(*places: tuple[str, int, int]) -> dict:
    return {
        "items": [
            {"metadata": {"name": n}, "positionInLocalQueue": own, "positionInClusterQueue": all_}
            for n, own, all_ in places
        ]
    }


def held(cluster) -> Admission:
    return cluster.admission(JobState.of(job_json()))


def test_a_job_that_is_held_back_has_a_reason_and_a_place(api, cluster):
    api.say("list workloads", listed(WORKLOAD))
    api.say("get localqueues", answer(pending(("job-other", 0, 4), ("job-x-1a2b3", 1, 5))))
    assert held(cluster) == Admission(NO_ROOM, "gpus", 1, 5)
    assert api.requests[-2][1]["labelSelector"] == "kueue.x-k8s.io/job-uid=u1"


@pytest.mark.parametrize(
    "given",
    [answer(pending(("job-other", 0, 0))), refusal(403, "forbidden"), refusal(404, "no"), hang_up],
)
def test_without_a_place_the_reason_stays(api, cluster, given):
    api.say("list workloads", listed(WORKLOAD))
    api.say("get localqueues", given)
    assert held(cluster) == Admission(NO_ROOM, "gpus")


def test_places_that_nobody_tells_are_not_waited_for(api, cluster):
    api.say("list workloads", listed(WORKLOAD))
    api.say("get localqueues", refusal(503, "the server is currently unable to handle the request"))
    began = time.monotonic()
    assert held(cluster).before is None
    assert time.monotonic() - began < 5
    assert api.asked("get localqueues") == 2


@pytest.mark.parametrize("given", [refusal(404, "404 page not found"), refusal(403, "forbidden")])
def test_without_kueue_or_rights_nothing_is_said(api, cluster, given):
    api.say("list workloads", given)
    assert held(cluster) == Admission()


def test_a_newer_kueue_is_asked_in_its_own_version(api, cluster):
    gone = refusal(404, "the server could not find the requested resource")
    api.say("list workloads", gone, listed(WORKLOAD))
    api.say("get localqueues", gone, answer(pending(("job-x-1a2b3", 0, 0))))
    assert held(cluster) == Admission(NO_ROOM, "gpus", 0, 0)


def test_the_place_is_asked_for_by_its_whole_path(api, cluster, monkeypatch):
    paths = []
    handle = api.handle
    monkeypatch.setattr(api, "handle", lambda h: (paths.append(h.path), handle(h)))
    api.say("list workloads", listed(WORKLOAD))
    held(cluster)
    assert [path for path in paths if "visibility" in path] == [
        f"/apis/visibility.kueue.x-k8s.io/{version}/namespaces/{NAMESPACE}/localqueues/gpus/pendingworkloads"
        for version in ("v1beta1", "v1beta2")
    ]
