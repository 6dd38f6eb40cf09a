"""The client against an API server in this process: its requests, and what it makes of answers and failures."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import islice

import pytest

from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import SAMPLE
from fingpt.cluster.api.objects import JobState
from fingpt.cluster.diagnosis.explain import explain
from fingpt.cluster.diagnosis.snapshot import State
from fingpt.cluster.job import RUN_URI
from fingpt.errors import (
    ConfigError,
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
    TransientError,
)
from tests.cluster.api_server import (
    JOB,
    NAMESPACE,
    answer,
    hang_up,
    job_json,
    lines,
    listed,
    refusal,
)
from tests.cluster.sites import site_data


def change(kind: str, job: dict) -> dict:
    return {"type": kind, "object": job}


def gone() -> dict:
    return {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}


def pod_json(phase: str, state: str = "running") -> dict:
    return {
        "metadata": {"name": "pod"},
        "status": {"phase": phase, "containerStatuses": [{"state": {state: {}}}]},
    }


# Asking


def test_the_site_is_read_from_the_config_map(cluster, api):
    api.say("get configmaps", answer({"data": site_data()}))
    assert cluster.site().store == "s3://bucket"


def test_a_faulty_site_names_the_config_map_and_its_namespace(cluster, api):
    api.say("get configmaps", answer({"data": site_data(store="nonsense")}))
    with pytest.raises(ConfigError, match=f"of namespace '{NAMESPACE}': 'store' is 'nonsense'"):
        cluster.site()


def test_a_namespace_without_the_chart_says_how_to_install_it(cluster, api):
    api.say("get configmaps", refusal(404, 'configmaps "fingpt-jobs" not found'))
    api.say("get namespaces", answer({"metadata": {"name": NAMESPACE}}))
    with pytest.raises(SetupError, match=f"helm install fingpt helm/fingpt-jobs -n {NAMESPACE}"):
        cluster.site()


@pytest.mark.parametrize("ask", [lambda it: it.site(), lambda it: it.require_namespace()])
def test_a_namespace_that_is_not_there_is_named_with_its_cluster_and_how_to_make_it(
    cluster, api, ask
):
    api.say("get configmaps", refusal(404, 'configmaps "fingpt-jobs" not found'))
    api.say("get namespaces", refusal(404, f'namespaces "{NAMESPACE}" not found'))
    with pytest.raises(
        SetupError,
        match=f"no namespace '{NAMESPACE}' in context 'there' .*create namespace {NAMESPACE}$",
    ):
        ask(cluster)


def test_a_namespace_that_this_user_may_not_look_at_is_believed_to_be_there(cluster, api):
    api.say("get configmaps", refusal(404, 'configmaps "fingpt-jobs" not found'))
    api.say("get namespaces", refusal(403, 'namespaces is forbidden: User "ann" cannot get it'))
    cluster.require_namespace()
    with pytest.raises(SetupError, match="has no ConfigMap"):
        cluster.site()


def test_the_namespace_is_not_asked_for_where_the_chart_is_there(cluster, api):
    api.say("get configmaps", answer({"data": site_data()}))
    cluster.site()
    assert api.asked("get namespaces") == 0


def test_a_job_for_a_namespace_that_was_deleted_meanwhile_or_is_being_so_is_a_fault_of_setup(
    cluster, api
):
    api.say("create jobs", refusal(404, f'namespaces "{NAMESPACE}" not found'))
    with pytest.raises(SetupError, match=f"no namespace '{NAMESPACE}'"):
        cluster.apply_job(job_json())
    why = f"unable to create new content in namespace {NAMESPACE} because it is being terminated"
    api.say("create jobs", refusal(403, f'jobs.batch "x" is forbidden: {why}'))
    with pytest.raises(SetupError, match="is being deleted and takes nothing new"):
        cluster.apply_job(job_json())


def test_a_forbidden_request_names_verb_and_resource(cluster, api):
    api.say("create jobs", refusal(403, 'jobs.batch is forbidden: User "ann" cannot create it'))
    with pytest.raises(PermissionDeniedError) as caught:
        cluster.apply_job(job_json())
    assert f"You may not create jobs in namespace '{NAMESPACE}'" in str(caught.value)
    assert "ann" in str(caught.value)


def test_an_exhausted_quota_is_not_a_missing_right(cluster, api):
    api.say("create jobs", refusal(403, "exceeded quota: jobs, requested: 1, used: 5, limited: 5"))
    with pytest.raises(TransientError, match="quota leaves no room to create jobs"):
        cluster.apply_job(job_json())


def test_an_invalid_job_repeats_the_server_s_message(cluster, api):
    api.say("create jobs", refusal(422, "spec.parallelism: Invalid value"))
    with pytest.raises(ConfigError, match=r"spec\.parallelism: Invalid value"):
        cluster.apply_job(job_json())


def test_a_job_is_created_as_it_is(cluster, api):
    api.say("create jobs", answer({}, 201))
    assert cluster.apply_job(job_json()) is True
    assert api.requests[-1][2] == job_json()


def test_the_same_job_again_is_no_error(cluster, api):
    api.say("create jobs", refusal(409, "already exists"))
    api.say("list jobs", listed(job_json()))
    assert cluster.apply_job(job_json()) is False


@pytest.mark.parametrize("there", [[job_json(sha="b" * 64)], []])
def test_a_job_of_another_configuration_is_a_conflict(cluster, api, there):
    api.say("create jobs", refusal(409, "already exists"))
    api.say("list jobs", listed(*there))
    with pytest.raises(RunConflictError, match=r"yours aaaaaaaaaaaa.*kubectl delete job"):
        cluster.apply_job(job_json())


def test_the_same_job_on_the_store_that_the_namespace_had_before_is_a_conflict(cluster, api):
    mine, there = job_json(), job_json()
    mine["metadata"]["annotations"][RUN_URI] = "s3://new/runs/x/run.json"
    there["metadata"]["annotations"][RUN_URI] = "s3://old/runs/x/run.json"
    api.say("create jobs", refusal(409, "already exists"))
    api.say("list jobs", listed(there))
    with pytest.raises(RunConflictError, match=r"another store .s3://old/runs/x/run\.json"):
        cluster.apply_job(mine)
    api.say("list jobs", listed(mine))
    assert cluster.apply_job(mine) is False


def test_a_created_job_whose_answer_was_lost_counts_as_the_same(cluster, api):
    api.say("create jobs", hang_up, refusal(409, "already exists"))
    api.say("list jobs", listed(job_json()))
    assert cluster.apply_job(job_json()) is False
    assert api.asked("create jobs") == 2


def test_a_job_that_is_not_there_is_none_and_deleting_it_false(cluster, api):
    api.say("list jobs", listed())
    assert cluster.job(JOB) is None
    assert cluster.delete_job(JOB) is False


def test_a_deleted_job_takes_its_pods_along(cluster, api):
    api.say("delete jobs", answer({}))
    assert cluster.delete_job(JOB) is True
    route, query, _ = api.requests[-1]
    assert (route, query["propagationPolicy"]) == ("delete jobs", "Background")


def test_pods_are_asked_for_by_labels_and_come_oldest_first(cluster, api):
    young, old = pod_json("Running"), pod_json("Failed", "terminated")
    young["metadata"]["creationTimestamp"] = "2026-01-01T00:00:09Z"
    old["metadata"]["creationTimestamp"] = "2026-01-01T00:00:01Z"
    api.say("list pods", listed(young, old))
    assert [pod.phase for pod in cluster.pods("run-1", "train")] == ["Failed", "Running"]
    selector = api.requests[-1][1]["labelSelector"]
    assert "instance=run-1" in selector
    assert "component=train" in selector


def test_many_pods_come_in_pages_and_of_one_index_and_phase_where_that_is_asked(cluster, api):
    first = {
        "metadata": {"resourceVersion": "1", "continue": "more"},
        "items": [pod_json("Failed")],
    }
    api.say("list pods", answer(first), listed(pod_json("Failed")))
    assert len(cluster.pods("run-1", "trial", index=7, phase="Failed")) == 2
    (_, one, _), (_, two, _) = api.requests[-2:]
    assert one["labelSelector"].endswith("batch.kubernetes.io/job-completion-index=7")
    assert (one["fieldSelector"], one["limit"], "continue" in one) == (
        "status.phase=Failed",
        "500",
        False,
    )
    assert two["continue"] == "more"


def test_of_an_indexed_job_some_pods_are_looked_at(cluster, api):
    trials = {**PREP, "spec": {"completionMode": "Indexed", "completions": 10000}}
    api.say("list jobs", listed(trials))
    api.say("list events", listed())
    more = {"metadata": {"resourceVersion": "1", "continue": "more"}}
    api.say("list pods", answer({**more, "items": [pod_json("Pending")] * SAMPLE}))
    assert len(cluster.stage_snapshot("run", "trial", complete=None).pods) == SAMPLE
    assert api.asked("list pods") == 1
    assert api.asked("list events") == 1 + SAMPLE


def test_the_server_s_own_judgement_is_asked_for_rights(cluster, api):
    api.say("create selfsubjectaccessreviews", answer({"status": {"allowed": True}}, 201))
    assert cluster.can_i("create", "jobs", "batch") is True
    asked = api.requests[-1][2]["spec"]["resourceAttributes"]
    assert (asked["verb"], asked["resource"], asked["namespace"]) == ("create", "jobs", NAMESPACE)


def test_nodes_of_a_cluster_that_one_may_not_see_are_a_missing_right(cluster, api):
    api.say("list nodes", refusal(403, "forbidden"))
    with pytest.raises(PermissionDeniedError, match="You may not list nodes in context"):
        cluster.nodes()


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        ({"pod-security.kubernetes.io/enforce": "baseline"}, "baseline"),
        ({"a": "b"}, ""),
        (None, ""),
    ],
)
def test_a_namespace_says_which_pods_it_refuses(cluster, api, labels, level):
    api.say("get namespaces", answer({"metadata": {"name": NAMESPACE, "labels": labels}}))
    assert cluster.pod_security() == level


# Watching


def test_a_watch_starts_at_the_list_s_version_and_ends_with_the_job(cluster, api):
    api.say("list jobs", listed(job_json(active=1), version="42"))
    api.say("watch jobs", lines(change("MODIFIED", job_json("Complete", succeeded=1))))
    states = list(cluster.watch_job(JOB))
    assert [state.active for state in states] == [1, 0]
    assert states[-1].outcome.type == "Complete"
    query = next(query for route, query, _ in api.requests if route == "watch jobs")
    assert query["resourceVersion"] == "42"
    assert query["fieldSelector"] == f"metadata.name={JOB}"


def test_a_job_that_has_ended_needs_no_watch(cluster, api):
    api.say("list jobs", listed(job_json("Failed")))
    assert [state.outcome.type for state in cluster.watch_job(JOB)] == ["Failed"]
    assert api.asked("watch jobs") == 0


def test_interim_conditions_end_nothing(cluster, api):
    api.say("list jobs", listed(job_json(active=1)))
    api.say(
        "watch jobs",
        lines(
            change("MODIFIED", job_json("FailureTarget", active=1)),
            change("MODIFIED", job_json("FailureTarget", terminating=1)),
            change("MODIFIED", job_json("FailureTarget", "Failed")),
        ),
    )
    outcomes = [state.outcome and state.outcome.type for state in cluster.watch_job(JOB)]
    assert outcomes == [None, None, None, "Failed"]


@pytest.mark.parametrize(
    "trouble",
    [
        lines(change("MODIFIED", job_json(active=2)), broken=True),
        lines(change("MODIFIED", job_json(active=2)), gone()),
        lines(change("MODIFIED", job_json(active=2))),
        lines(change("MODIFIED", job_json(active=2)), '{"type": "MODI'),
    ],
    ids=["dropped", "410 Gone", "timed out", "cut in a line"],
)
def test_a_watch_that_ends_early_starts_over_with_a_list(cluster, api, trouble):
    api.say("list jobs", listed(job_json(active=1)), listed(job_json("Complete")))
    api.say("watch jobs", trouble)
    states = list(cluster.watch_job(JOB))
    assert [state.active for state in states] == [1, 2, 0]
    assert states[-1].outcome.type == "Complete"


def test_410_as_the_answer_to_a_watch_starts_over_too(cluster, api):
    api.say("list jobs", listed(job_json(active=1)), listed(job_json("Complete")))
    api.say("watch jobs", refusal(410, "too old resource version"))
    assert [bool(state.outcome) for state in cluster.watch_job(JOB)] == [False, True]


def test_a_state_is_told_once_however_often_it_is_listed(cluster, api):
    same = listed(job_json(active=1))
    api.say("list jobs", same, same, same, listed(job_json("Complete")))
    api.say("watch jobs", hang_up)
    assert len(list(cluster.watch_job(JOB))) == 2


def test_a_job_deleted_under_the_watch_is_an_error_and_no_endless_wait(cluster, api):
    api.say("list jobs", listed(job_json(active=1)), listed())
    api.say("watch jobs", lines(change("DELETED", job_json(active=1))))
    with pytest.raises(MissingInputError, match="was deleted, or its time to live is over"):
        list(cluster.watch_job(JOB))


def test_a_job_made_anew_under_the_watch_is_followed(cluster, api):
    api.say("list jobs", listed(job_json(active=1)), listed(job_json("Complete", uid="u2")))
    api.say("watch jobs", lines(change("DELETED", job_json(active=1))))
    assert [state.uid for state in cluster.watch_job(JOB)] == ["u1", "u2"]


def test_a_right_lost_under_the_watch_ends_it(cluster, api):
    api.say("list jobs", listed(job_json(active=1)))
    api.say("watch jobs", refusal(403, "forbidden"))
    with pytest.raises(PermissionDeniedError, match="You may not watch jobs"):
        list(cluster.watch_job(JOB))


def test_a_watch_outlives_a_server_that_is_away_but_not_for_ever(cluster, api, monkeypatch):
    api.say(
        "list jobs",
        listed(job_json(active=1)),
        *[refusal(503, "away")] * 14,
        listed(job_json("Complete")),
    )
    api.say("watch jobs", hang_up)
    assert list(cluster.watch_job(JOB))[-1].outcome.type == "Complete"

    api.say("list jobs", listed(job_json(active=1)), refusal(503, "away"))
    monkeypatch.setattr(stream, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(TransientError, match="away"):
        list(cluster.watch_job(JOB))


# Logs


def test_a_log_is_told_without_its_times(cluster, api):
    api.say("get log", lines("2026-01-01T00:00:01.5Z one", "2026-01-01T00:00:02Z two  words"))
    assert list(cluster.logs("pod")) == ["one", "two  words"]


def test_a_followed_log_has_every_line_once_over_dropped_connections(cluster, api):
    api.say(
        "get pods",
        pod_json_answer("Running"),
        pod_json_answer("Running"),
        pod_json_answer("Succeeded"),
    )
    one, two, two_too = (
        "2026-01-01T00:00:01.000000001Z one",
        "2026-01-01T00:00:02.1Z two",
        "2026-01-01T00:00:02.1Z too",
    )
    three = "2026-01-01T00:00:02.100000001Z three"
    api.say(
        "get log",
        lines(one, two, broken=True),
        lines(one, two, two_too, broken=True),
        lines(one, two, two_too, three),
    )
    assert list(cluster.logs("pod", follow=True)) == ["one", "two", "too", "three"]
    since = [query.get("sinceSeconds") for route, query, _ in api.requests if route == "get log"]
    assert since == [None, "30", "30"]


def test_following_waits_for_a_container_that_has_not_started(cluster, api):
    waiting = answer(pod_json("Pending", "waiting"))
    api.say("get pods", waiting, waiting, pod_json_answer("Succeeded"))
    api.say("get log", lines("2026-01-01T00:00:01Z one"))
    assert list(cluster.logs("pod", follow=True)) == ["one"]
    assert api.asked("get log") == 1


def test_the_log_of_a_container_that_has_not_started_is_not_there_yet(cluster, api):
    api.say("get log", refusal(400, 'container "train" in pod "pod" is waiting to start: x'))
    with pytest.raises(TransientError, match="There is no log yet"):
        list(cluster.logs("pod"))


def test_the_log_of_a_pod_that_is_gone_is_an_error(cluster, api):
    with pytest.raises(MissingInputError):
        list(cluster.logs("pod", follow=True))


def test_an_abandoned_watch_closes_its_connection(cluster, api):
    released = threading.Event()

    def never_ending(handler) -> None:
        lines(change("MODIFIED", job_json(active=2)), broken=True)(handler)
        handler.wfile.flush()
        handler.connection.settimeout(10)
        released.set() if handler.connection.recv(1) == b"" else None

    api.say("list jobs", listed(job_json(active=1)))
    api.say("watch jobs", never_ending)
    watch = cluster.watch_job(JOB)
    assert len(list(islice(watch, 2))) == 2
    watch.close()
    assert released.wait(5)


def pod_json_answer(phase: str):
    return answer(pod_json(phase))


# Snapshots and what only doctor asks

PREP = {"metadata": {"name": "run-prep", "uid": "u1"}, "status": {}}
CREATED = {
    "involvedObject": {"kind": "Job", "name": "run-prep"},
    "reason": "SuccessfulCreate",
    "message": "Created pod: run-prep-1",
}


def test_events_are_read_before_pods(api, cluster):
    """The other way round a pod made in between would be taken for a deleted one."""
    api.say("list jobs", listed(PREP))
    api.say("list events", listed(CREATED))
    api.say("list pods", listed())
    snapshot = cluster.stage_snapshot("run", "prep", complete=False)
    assert [route for route, _, _ in api.requests[-3:]] == ["list jobs", "list events", "list pods"]
    assert explain(snapshot).state is State.RETRYABLE


def test_a_snapshot_by_name_needs_no_labels_of_ours(api, cluster):
    api.say("list jobs", listed(PREP))
    api.say("list events", listed())
    api.say("list pods", listed({"metadata": {"name": "p"}, "status": {"phase": "Running"}}))
    snapshot = cluster.job_snapshot("run-prep")
    queries = {route: query for route, query, _ in api.requests}
    assert queries["list pods"]["labelSelector"] == "batch.kubernetes.io/job-name=run-prep"
    assert [pod.name for pod in snapshot.pods] == ["p"]
    assert snapshot.complete is None


def prep(**status: int) -> dict:
    return {**PREP, "status": status}


def test_of_a_job_whose_pods_all_run_no_events_are_read(api, cluster):
    """For each list of them the API server looks through every event of the namespace."""
    running = {
        "metadata": {"name": "p", "labels": {}},
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": "Running",
            "containerStatuses": [{"name": "stage", "state": {"running": {}}}],
        },
    }
    api.say("list jobs", listed(prep(active=1, ready=1)))
    api.say("list pods", listed(running))
    why = explain(cluster.stage_snapshot("run", "prep", complete=False))
    assert (why.state, why.summary) == (State.RUNNING, "pod p runs on node n1")
    assert [route for route, _, _ in lists(api)] == ["list jobs", "list pods"]


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"ready": 1},
        {"active": 1},
        {"active": 2, "ready": 1},
        {"active": 1, "ready": 1, "terminating": 1},
    ],
)
def test_of_any_other_job_events_may_say_why(api, cluster, status):
    api.say("list jobs", listed(prep(**status)))
    api.say("list events", listed())
    api.say("list pods", listed())
    cluster.stage_snapshot("run", "prep", complete=False)
    assert api.asked("list events") == 1


def lists(api):
    """What was listed; the version was asked for when the client was made."""
    return [each for each in api.requests if each[0] != "list version"]


def test_a_snapshot_of_a_job_that_is_known_asks_for_it_no_more(api, cluster):
    api.say("list events", listed())
    api.say("list pods", listed())
    snapshot = cluster.job_snapshot("run-prep", JobState.of(PREP))
    assert snapshot.job.name == "run-prep"
    assert [route for route, _, _ in lists(api)] == ["list events", "list pods"]


def test_what_carries_a_sweep_out_is_one_list_from_the_cache(api, cluster):
    """Not of its trials: of a Bayesian search those may be thousands of Jobs."""
    api.say("list jobs", listed(PREP))
    assert [each.name for each in cluster.search_jobs("grid-1")] == ["run-prep"]
    [(_, query, _)] = lists(api)
    assert query["resourceVersion"] == "0"
    assert query["labelSelector"].endswith(
        "fingpt-jobs/sweep=grid-1,app.kubernetes.io/component in (sweep,trial)"
    )


def test_that_nothing_carries_a_sweep_out_is_believed_of_a_fresh_list_alone(api, cluster):
    """The Job may have been made just now, and the cache be behind."""
    api.say("list jobs", listed(), listed(PREP))
    assert [each.name for each in cluster.search_jobs("grid-1")] == ["run-prep"]
    versions = [query.get("resourceVersion") for _, query, _ in lists(api)]
    assert versions == ["0", None]


def test_pods_of_a_job_that_is_well_come_from_the_cache_and_none_of_it_are_asked_for_again(
    api, cluster
):
    """A cache that is behind may not have them; a list that waits for it takes a busy API server a second."""
    well = replace(JobState.of(PREP), ready=1, active=1)
    assert well.is_well()
    api.say("list pods", listed(), listed(pod_json("Running")))
    found = cluster.job_snapshot(well.name, well)
    assert [each.phase for each in found.pods] == ["Running"]
    asked = [query for call, query, _ in lists(api) if call == "list pods"]
    assert [each.get("resourceVersion") for each in asked] == ["0", None]
    assert {each["labelSelector"] for each in asked} == {
        f"batch.kubernetes.io/job-name={well.name}"
    }


NO_LINE = refusal(404, 'localqueues.kueue.x-k8s.io "line" not found')
NO_VERSION = refusal(404, "the server could not find the requested resource")


@pytest.mark.parametrize(
    ("given", "there"),
    [
        ([answer({"metadata": {"name": "line"}})], True),
        ([NO_LINE], False),
        ([NO_LINE, NO_VERSION], False),
        ([NO_VERSION, NO_LINE], False),
        ([NO_VERSION, answer({"metadata": {"name": "line"}})], True),
        ([NO_VERSION], None),
        ([answer("404 page not found\n", 404)], None),
    ],
)
def test_a_queue_is_there_or_not_or_the_cluster_has_no_kueue(api, cluster, given, there):
    """Kueue serves one version of its queues or two; the first is asked for first."""
    api.say("get localqueues", *given)
    assert cluster.has_queue("line") is there


def test_a_queue_that_one_may_not_see_is_a_missing_right(api, cluster):
    api.say("get localqueues", refusal(403, "forbidden"))
    with pytest.raises(PermissionDeniedError):
        cluster.has_queue("line")
