"""The S3 server is killed and refuses while a training commits; and what it holds is all that a run needs later.

The search for the planted key comes last in the last module, when everything has left its traces.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.chart_lab import SECRET, kubectl
from tests.e2e.run_lab import until
from tests.e2e.training import COMMITS, STEPS, training

pytestmark = pytest.mark.e2e

REFUSED_SECONDS = 30


@pytest.mark.part3
def test_a_server_killed_during_commits_costs_nothing(run_lab, reference):
    with training(run_lab, "kill -9 of the S3 server, twice, while training commits") as one:
        pod = one.trains()
        for _ in range(2):
            run_lab.kill_server()
            one.say(f"S3 server killed after commit {one.commits()}")
            one.trains(one.commits() + 1)
        one.finish()
        one.prove(reference)
        assert one.claims() == 1, "an outage of seconds cost an attempt"
        assert one.commits() == COMMITS
        assert one.exit_of(pod) == 0
        restarts = "jsonpath={.status.containerStatuses[?(@.name=='s3')].restartCount}"
        assert int(kubectl("get", "pod", "s3", "-n", run_lab.chart.storage, "-o", restarts)) >= 2
    assert set(one.seen.states()) <= {"waiting", "starting", "running"}


@pytest.mark.core
def test_half_a_minute_of_503_is_waited_out(run_lab, reference):
    with training(
        run_lab, f"S3 answers 503 for {REFUSED_SECONDS} s, also on open connections"
    ) as one:
        pod = one.trains()
        before = len(refusals(run_lab))
        with run_lab.refusing():
            one.say(f"503 from here on, after commit {one.commits()}")
            time.sleep(REFUSED_SECONDS)
            stuck = one.commits()
        one.say(f"{len(refusals(run_lab)) - before} requests were refused, now at commit {stuck}")
        assert len(refusals(run_lab)) - before > 3
        one.finish()
        one.prove(reference)
        assert one.claims() == 1
        assert one.commits() == COMMITS
        assert one.exit_of(pod) == 0
        said = kubectl("logs", pod, "-n", run_lab.namespace)
        assert "s3.retry" in said, "nothing says why it waited"
    assert set(one.seen.states()) <= {"waiting", "starting", "running"}


def refusals(lab) -> list[str]:
    return kubectl("logs", "s3", "-c", "gate", "-n", lab.chart.storage).split()


@pytest.mark.core
def test_when_its_jobs_are_gone_a_run_is_known_from_the_bucket_alone(run_lab, undisturbed):
    own = ("-n", run_lab.namespace, "-l", f"app.kubernetes.io/instance={undisturbed.run.id}")
    kubectl("delete", "job", *own, "--wait")
    until(60, "its pods are gone", lambda: not kubectl("get", "pods", *own, "-o", "name"))
    print(f"\nthe Jobs of {undisturbed.run.id} are deleted, as their time to live would")
    found = undisturbed.now()
    print({each["stage"]: each["why"]["summary"] for each in found["stages"]})
    assert [each["why"]["state"] for each in found["stages"]] == ["complete"] * 3
    (train,) = (each for each in found["stages"] if each["stage"] == "train")
    assert train["progress"]["done"] == train["progress"]["total"] == STEPS
    undisturbed.prove(undisturbed.adapter())


@pytest.mark.core
def test_a_planted_key_is_in_no_log_event_manifest_or_object(run_lab, reference):
    kinds = "configmaps,pods,jobs,events,roles,rolebindings,serviceaccounts,networkpolicies"
    for space in (run_lab.namespace, run_lab.chart.storage):
        wanted = kinds if space == run_lab.namespace else "events,configmaps,services"
        assert SECRET not in kubectl("get", wanted, "-n", space, "-o", "yaml")
    names = kubectl("get", "pods", "-n", run_lab.namespace, "-o", "name").split()
    logs = {name: kubectl("logs", name, "-n", run_lab.namespace) for name in names}
    assert [name for name, text in logs.items() if SECRET in text] == []
    keys = list(run_lab.store.keys())
    with ThreadPoolExecutor(8) as pool:
        objects = zip(keys, pool.map(run_lab.store.read, keys), strict=True)
        found = [key for key, data in objects if SECRET.encode() in data]
    print(
        f"searched {len(logs)} logs, {len(keys)} objects, and the manifests and events of both namespaces"
    )
    assert len(logs) > 1
    assert len(keys) > 100
    assert found == []
    # The control: the search does find it where it must be.
    secret = json.loads(
        kubectl("get", "secret", "fingpt-s3", "-n", run_lab.namespace, "-o", "json")
    )
    assert secret["data"]["credentials"]
