"""Submitting over a real client: the same store on both sides, what is created, leaving without harm, dry runs."""

from __future__ import annotations

import pytest
import yaml

from fingpt.cluster import drive, follow, submission
from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.site import Site
from fingpt.config import RunConfig
from fingpt.errors import ConfigError, Interrupted, MissingInputError, StageFailedError
from fingpt.models import spec
from fingpt.runs.run import Run, Stage, run_key
from fingpt.weights.base import publish_base
from tests.cluster.api_server import ApiServer, answer
from tests.cluster.sites import IMAGES, site_data

TINY, LARGE = spec("tiny-llama31"), spec("llama31")
NOTHING = answer({"metadata": {"resourceVersion": "7"}, "items": []})


def listed(*conditions, uid="u1"):
    job = {"metadata": {"name": "x", "uid": uid}, "status": {"conditions": list(conditions)}}
    return answer({"metadata": {"resourceVersion": "7"}, "items": [job]})


FAILED = listed(
    {"type": "Failed", "status": "True", "message": "failed with exit code 77 matching"}, uid="u2"
)


class Bucket:
    """The test's folder under the name of the site's bucket."""

    uri = "s3://bucket"

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


@pytest.fixture
def bucket(store):
    return Bucket(store)


@pytest.fixture
def cluster(api: ApiServer, kubeconfig, monkeypatch):
    """A cluster whose chart is installed, without any Job; every Job that is created lives and says nothing."""
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    api.say("get configmaps", answer({"data": site_data()}))
    api.say("list pods", NOTHING)
    api.say("list events", NOTHING)
    api.say("list jobs", NOTHING, listed())
    api.say("create jobs", answer({}, 201))
    return Cluster.connect(kubeconfig=kubeconfig)


@pytest.fixture
def run(bucket):
    return submission.freeze(
        bucket, RunConfig(model="tiny-llama31"), Site.of(site_data()), dry=False
    )


def created(api):
    return [body["metadata"]["name"] for route, _, body in api.requests if route == "create jobs"]


def ctrl_c(*_):
    raise KeyboardInterrupt


def test_a_command_and_pods_with_different_stores_are_stopped_at_once(api, cluster, store):
    with pytest.raises(ConfigError, match="STORE=s3://bucket"):
        submission.freeze(store, RunConfig(model="llama31"), cluster.site(), dry=False)
    with pytest.raises(ConfigError, match="STORE=s3://bucket"):
        submission.bring_base(cluster, store, LARGE)
    assert created(api) == []
    assert list(store.keys()) == []


def test_a_dry_freeze_writes_nothing(bucket):
    frozen = submission.freeze(bucket, RunConfig(model="llama31"), Site.of(site_data()), dry=True)
    assert frozen.images == IMAGES
    assert list(bucket.keys()) == []


def test_a_run_is_frozen_before_its_job_is_made_and_not_waited_for(api, cluster, bucket, run):
    submission.submit(cluster, bucket, run, [Stage.PREP], follow=False)
    assert created(api) == [f"{run.id}-prep"]
    assert bucket.exists(run_key(run.id))
    assert api.asked("list pods") == 0


@pytest.mark.parametrize(
    ("model", "stages", "words"),
    [
        ("llama31", list(Stage), "make mirror MODEL=llama31"),
        ("tiny-llama31", [Stage.TRAIN], "make tiny MODEL=tiny-llama31"),
        ("tiny-llama31", [Stage.EVAL], "make train MODEL=tiny-llama31"),
    ],
)
def test_what_is_missing_is_said_before_any_job(api, cluster, bucket, model, stages, words):
    frozen = submission.freeze(bucket, RunConfig(model=model), cluster.site(), dry=False)
    with pytest.raises(MissingInputError, match=words):
        submission.submit(cluster, bucket, frozen, stages, follow=False)
    assert created(api) == []


def test_ctrl_c_leaves_the_conductor_alone_and_says_how_to_come_back(
    api, cluster, bucket, run, monkeypatch
):
    monkeypatch.setattr(follow.time, "sleep", ctrl_c)
    with pytest.raises(Interrupted, match=f"make status RUN={run.id} or the same command"):
        submission.submit(cluster, bucket, run, list(Stage), follow=True)
    assert created(api) == [f"{run.id}-drive"]
    assert api.asked("delete jobs") == 0


def test_base_weights_that_are_there_need_neither_job_nor_following(api, cluster, bucket):
    publish_base(bucket, LARGE, [])
    submission.bring_base(cluster, bucket, LARGE)
    assert [route for route, _, _ in api.requests if "jobs" in route] == []


def test_the_mirror_is_followed_to_its_own_exit_code(api, cluster, bucket):
    state = {"terminated": {"exitCode": 77, "message": "The licence is not accepted."}}
    ended = {
        "metadata": {"name": "pod"},
        "status": {"phase": "Failed", "containerStatuses": [{"state": state}]},
    }
    api.say("list pods", answer({"items": [ended]}))
    api.say("list jobs", NOTHING, listed(), FAILED)
    with pytest.raises(StageFailedError, match="The licence is not accepted") as caught:
        submission.bring_base(cluster, bucket, LARGE)
    assert (created(api), caught.value.exit_code) == (["mirror-llama31"], 77)


def test_a_mirror_under_way_is_followed_and_left_alone_on_ctrl_c(api, cluster, bucket, monkeypatch):
    monkeypatch.setattr(follow.time, "sleep", ctrl_c)
    marks = drive.plan_base(LARGE, cluster.site())["metadata"]["annotations"]
    there = {"metadata": {"name": "mirror-llama31", "uid": "u1", "annotations": marks}}
    api.say("list jobs", answer({"metadata": {"resourceVersion": "7"}, "items": [there]}))
    api.say("create jobs", answer({"kind": "Status", "reason": "AlreadyExists"}, 409))
    with pytest.raises(Interrupted, match="Come back with the same command"):
        submission.bring_base(cluster, bucket, LARGE)
    assert api.asked("delete jobs") == 0


def test_a_dry_run_prints_every_job_that_there_would_be():
    site = Site.of(site_data())
    run = Run.of(RunConfig(model="tiny-llama31"), site.images.model_dump())

    def names(text):
        return [job["metadata"]["name"] for job in yaml.safe_load_all(text)]

    whole = submission.dry_run(run, list(Stage), site, site.store)
    parts = ("prep", "train", "eval", "drive")
    assert names(whole) == ["mirror-tiny-llama31", *(f"{run.id}-{part}" for part in parts)]
    assert names(submission.dry_run(run, [Stage.TRAIN], site, site.store)) == [f"{run.id}-train"]
    assert names(submission.dry_run_base(LARGE, site)) == ["mirror-llama31"]
