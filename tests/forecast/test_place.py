"""Where a request is answered: here without a cluster, there by a Job that is checked by its records."""

from __future__ import annotations

import pytest

from fingpt.cluster.api.objects import Condition
from fingpt.cluster.site import Site
from fingpt.config import Environment
from fingpt.errors import ConfigError, DivergedError, StageFailedError
from fingpt.forecast import place as placing
from fingpt.forecast.answer import answer
from fingpt.forecast.place import Here, InCluster, open_place
from fingpt.forecast.record import keep_request
from fingpt.runs.backend import Mode
from tests.cluster.fake_cluster import FakeCluster, job_state
from tests.cluster.sites import site_data


class Bucket:
    """The test's folder under the name of the site's bucket."""

    uri = "s3://bucket"

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


class Carrying(FakeCluster):
    """A cluster whose Jobs end at once with `condition`, after `work`."""

    def __init__(self, work, condition: str = "Complete") -> None:
        super().__init__()
        self.work, self.condition, self.jobs_seen = work, condition, []

    def apply_job(self, job):
        self.jobs_seen.append(job)
        name = job["metadata"]["name"]
        self.work()
        self.created.append(name)
        self.there[name] = job_state(name, Condition(self.condition, true=True), uid="1")
        return True


@pytest.fixture
def bucket(world):
    return Bucket(world.store)


def in_cluster(cluster, bucket) -> InCluster:
    return InCluster(cluster, bucket, Site.of(site_data()))


def test_a_folder_and_local_are_answered_in_this_process(world, bucket):
    def never(_: str):
        raise AssertionError("asked for a cluster")

    site = Environment(store="", cache=world.folder)
    assert isinstance(open_place(world.store, Mode.SUBMIT, site, never), Here)
    assert isinstance(open_place(bucket, Mode.LOCAL, site, never), Here)
    assert isinstance(open_place(bucket, Mode.SUBMIT, site, lambda _: FakeCluster()), InCluster)


def test_a_job_answers_with_nothing_but_the_store(world, bucket, evaluated, request_of, site):
    request = request_of("AAPL", "MSFT")
    keep_request(bucket, request)
    cluster = Carrying(lambda: answer(world.store, evaluated, request, site))
    records = in_cluster(cluster, bucket).answer(evaluated, request)
    assert [record.symbol for record in records] == ["AAPL", "MSFT"]
    (job,) = cluster.jobs_seen
    (container,) = job["spec"]["template"]["spec"]["containers"]
    uri = f"s3://bucket/runs/{evaluated.id}/run.json"
    assert container["args"] == ["answer", request.key, "--run", uri, "--sha256", evaluated.sha256]
    assert not {each["name"] for each in container["env"]} & {"HF_TOKEN_PATH", "HF_ENDPOINT"}


def test_what_is_answered_already_starts_no_job(world, bucket, evaluated, request_of, site):
    request = request_of("AAPL")
    first = answer(world.store, evaluated, request, site)
    cluster = Carrying(lambda: None)
    assert in_cluster(cluster, bucket).answer(evaluated, request) == first
    assert cluster.created == []


def test_a_job_that_is_complete_without_records_is_a_silent_failure(bucket, evaluated, request_of):
    with pytest.raises(DivergedError, match="a silent failure"):
        in_cluster(Carrying(lambda: None), bucket).answer(evaluated, request_of("AAPL"))


def test_a_job_that_failed_is_told_by_its_name(bucket, evaluated, request_of):
    with pytest.raises(StageFailedError, match=r"Stage forecast-[0-9a-f]{8} ended"):
        in_cluster(Carrying(lambda: None, "Failed"), bucket).answer(evaluated, request_of("AAPL"))


def test_a_store_that_the_pods_do_not_use_is_refused_before_any_job(world, evaluated, request_of):
    cluster = Carrying(lambda: None)
    with pytest.raises(ConfigError, match="the cluster's pods use s3://bucket"):
        in_cluster(cluster, world.store).answer(evaluated, request_of("AAPL"))
    assert cluster.created == []


def test_a_dry_run_is_the_job_that_would_be_sent(bucket, evaluated, request_of, monkeypatch):
    monkeypatch.setattr(placing, "_connect", lambda _: FakeCluster())
    text = placing.planned(evaluated, request_of("AAPL"), bucket, "")
    assert "jobs.forecast" in text
    assert request_of("AAPL").key in text
