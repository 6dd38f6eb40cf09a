"""JobSets at an API server in this process: asked for only where there is no Job of that name, read as Jobs."""

from __future__ import annotations

import pytest

from fingpt.cluster.api.objects import JobState
from fingpt.cluster.drive import plan
from fingpt.cluster.site import Site
from fingpt.errors import PermissionDeniedError, RunConflictError, SetupError
from tests.cluster.api_server import JOB, answer, job_json, lines, listed, refusal
from tests.cluster.sites import run_of, site_data


def jobset_json(*conditions: str, sha: str = "", restarts: int = 0) -> dict:
    return {
        "kind": "JobSet",
        "metadata": {"name": JOB, "uid": "s1", "annotations": {"fingpt-jobs/run-sha256": sha}},
        "spec": {"replicatedJobs": [{"template": {"spec": {"parallelism": 2}}}]},
        "status": {
            "restarts": restarts,
            "conditions": [{"type": each, "status": "True"} for each in conditions],
        },
    }


def made() -> dict:
    run = run_of("llama31", "train.nodes=2")
    return plan(run, ["train"], Site.of(site_data()), "s3://bucket")[0]


def test_a_jobset_is_created_as_one(cluster, api):
    api.say("create jobsets", answer({}))
    assert cluster.apply_job(made())
    assert api.requests[-1][2]["kind"] == "JobSet"
    assert api.asked("create jobs") == 0


def test_a_cluster_without_the_kind_or_of_another_version_is_told_with_the_command_that_helps(
    cluster, api
):
    api.say("create jobsets", refusal(404, "the server could not find the requested resource"))
    with pytest.raises(SetupError, match=r"does not serve jobset.x-k8s.io/v1alpha2; .*kubectl app"):
        cluster.apply_job(made())


def test_who_may_not_make_jobsets_is_told_so(cluster, api):
    api.say("create jobsets", refusal(403, "jobsets is forbidden"))
    with pytest.raises(PermissionDeniedError, match="You may not create jobsets"):
        cluster.apply_job(made())


def test_the_same_jobset_is_left_alone_and_another_run_s_is_no_place_for_this_one(cluster, api):
    api.say("create jobsets", refusal(409, "exists"))
    api.say("list jobs", listed())
    sha = made()["metadata"]["annotations"]["fingpt-jobs/run-sha256"]
    api.say("list jobsets", listed(jobset_json(sha=sha)), listed(jobset_json(sha="b" * 64)))
    assert not cluster.apply_job(made())
    with pytest.raises(RunConflictError, match="belongs to another configuration"):
        cluster.apply_job(made())


def test_a_job_is_found_without_asking_for_jobsets(cluster, api):
    api.say("list jobs", listed(job_json()))
    assert cluster.job(JOB).nodes == 1
    assert api.asked("list jobsets") == 0


@pytest.mark.parametrize("status", [403, 404])
def test_without_the_kind_or_the_right_to_it_there_is_none(cluster, api, status):
    api.say("list jobs", listed())
    api.say("list jobsets", refusal(status, "no"))
    api.say("delete jobs", refusal(404, "not found"))
    api.say("delete jobsets", refusal(status, "no"))
    assert cluster.job(JOB) is None
    assert cluster.jobs() == ()
    assert cluster.delete_job(JOB) is False


def test_a_jobset_is_watched_to_its_end_and_deleted_with_its_pods(cluster, api):
    api.say("list jobs", listed())
    api.say("list jobsets", listed(jobset_json()))
    changes = [
        {"type": "MODIFIED", "object": jobset_json(restarts=1)},
        {"type": "MODIFIED", "object": jobset_json("Completed", restarts=1)},
    ]
    api.say("watch jobsets", lines(*changes))
    seen = list(cluster.watch_job(JOB))
    assert [each.failed for each in seen] == [0, 1, 1]
    assert seen[-1].outcome.type == "Complete"
    api.say("delete jobs", refusal(404, "not found"))
    api.say("delete jobsets", answer({}))
    assert cluster.delete_job(JOB)
    assert cluster.jobs()[0].name == JOB


def test_a_jobset_is_well_once_its_job_has_all_its_pods_ready():
    one = jobset_json()
    for status, well in (({"active": 1}, False), ({"active": 1, "ready": 1}, True)):
        one["status"]["replicatedJobsStatus"] = [status]
        assert JobState.of_jobset(one).is_well() is well


def test_the_versions_that_a_cluster_serves_are_asked_for(cluster, api):
    api.say("list v1alpha2", answer({"resources": [{"name": "jobsets"}]}), refusal(404, "no"))
    assert cluster.serves_jobsets()
    assert not cluster.serves_jobsets()
