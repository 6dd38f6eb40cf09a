"""Submitting over a real client: the same store on both sides, what is created, leaving without harm, dry runs."""

from __future__ import annotations

import pytest
import yaml

from fingpt.cluster import drive, follow, submission
from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.job import MIRROR, job_name, rows_instance
from fingpt.cluster.site import Site
from fingpt.cluster.submission import ClusterBackend, open_backend
from fingpt.config import Environment, RunConfig, load_config
from fingpt.errors import ConfigError, Interrupted, MissingInputError, StageFailedError
from fingpt.models import spec
from fingpt.runs.backend import Mode
from fingpt.runs.local import LocalBackend
from fingpt.runs.manifest import encode
from fingpt.runs.raw import HubRows, hub_key, store_raw
from fingpt.runs.run import Stage, run_key
from fingpt.weights.base import publish_base
from tests.cluster.api_server import ApiServer, answer, lines
from tests.cluster.sites import CONFIGS, IMAGES, site_data

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
    api.say("watch pods", lines({"type": "ADDED", "object": {}}))
    api.say("list events", NOTHING)
    api.say("list jobs", NOTHING, listed())
    api.say("create jobs", answer({}, 201))
    return Cluster.connect(kubeconfig=kubeconfig)


@pytest.fixture
def backend(cluster, bucket):
    return ClusterBackend(cluster, bucket)


@pytest.fixture
def run(backend):
    return backend.freeze(RunConfig(model="tiny-llama31"))


def created(api):
    return [body["metadata"]["name"] for route, _, body in api.requests if route == "create jobs"]


def ctrl_c(*_):
    raise KeyboardInterrupt


def test_a_command_and_pods_with_different_stores_are_stopped_at_once(api, cluster, store):
    backend = ClusterBackend(cluster, store)
    with pytest.raises(ConfigError, match="STORE=s3://bucket"):
        backend.freeze(RunConfig(model="llama31"))
    with pytest.raises(ConfigError, match="STORE=s3://bucket"):
        backend.bring_base(LARGE)
    assert created(api) == []
    assert list(store.keys()) == []


def test_a_dry_freeze_writes_nothing(bucket, cluster):
    frozen = ClusterBackend(cluster, bucket, dry_run=True).freeze(RunConfig(model="llama31"))
    assert frozen.images == IMAGES
    assert list(bucket.keys()) == []


def test_a_run_is_frozen_before_its_job_is_made_and_not_waited_for(api, backend, bucket, run):
    backend.execute([run], [Stage.PREP], follow=False)
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
def test_what_is_missing_is_said_before_any_job(api, backend, model, stages, words):
    frozen = backend.freeze(RunConfig(model=model))
    with pytest.raises(MissingInputError, match=words):
        backend.execute([frozen], stages, follow=False)
    assert created(api) == []


def test_ctrl_c_leaves_the_drive_job_alone_and_says_how_to_come_back(
    api, backend, run, monkeypatch
):
    monkeypatch.setattr(follow.time, "sleep", ctrl_c)
    with pytest.raises(Interrupted, match=f"make status RUN={run.id} or the same command"):
        backend.execute([run], list(Stage), follow=True)
    assert created(api) == [f"{run.id}-drive"]
    assert api.asked("delete jobs") == 0


@pytest.fixture
def seeds(backend):
    """Three runs that differ in their seed."""
    return [backend.freeze(RunConfig(model="tiny-llama31", seed=seed)) for seed in (1, 2, 3)]


def test_all_runs_are_started_before_the_first_is_followed(api, backend, seeds, monkeypatch):
    monkeypatch.setattr(follow.time, "sleep", ctrl_c)
    names = " ".join(run.id for run in seeds)
    with pytest.raises(Interrupted, match=f"{names} goes on"):
        backend.execute(seeds, list(Stage), follow=True)
    assert created(api) == [f"{run.id}-drive" for run in seeds]


def test_a_run_that_fails_does_not_keep_the_others_from_being_followed(
    api, backend, seeds, monkeypatch
):
    followed = []

    def finish(_, work, __):
        followed.append(work.instance)
        if work.instance != seeds[1].id:
            raise StageFailedError(f"{work.instance} diverged.", 70)

    monkeypatch.setattr(submission, "finish", finish)
    with pytest.raises(StageFailedError, match=seeds[0].id) as caught:
        backend.execute(seeds, list(Stage), follow=True)
    assert caught.value.exit_code == 70
    assert followed == [run.id for run in seeds]


def test_runs_that_are_complete_are_left_out_of_a_repeated_command(
    api, backend, seeds, monkeypatch
):
    done = {seeds[0].id}
    monkeypatch.setattr(submission, "finished", lambda _, run, __: run.id in done or None)
    printed = backend.execute(seeds, [Stage.PREP], follow=False)
    assert created(api) == [f"{run.id}-prep" for run in seeds[1:]]
    assert printed.splitlines() == [run.id for run in seeds]
    done.update(run.id for run in seeds)
    backend.execute(seeds, list(Stage), follow=True)
    assert len(created(api)) == 2


def test_what_one_of_several_runs_lacks_is_said_before_any_job(api, backend, seeds):
    with pytest.raises(MissingInputError, match=f"Stage prep of {seeds[0].id}"):
        backend.execute(seeds, [Stage.TRAIN], follow=False)
    assert created(api) == []


def test_base_weights_that_are_there_need_neither_job_nor_following(api, backend, bucket):
    publish_base(bucket, LARGE, [])
    backend.bring_base(LARGE)
    assert [route for route, _, _ in api.requests if "jobs" in route] == []


def test_the_mirror_is_followed_to_its_own_exit_code(api, backend):
    state = {"terminated": {"exitCode": 77, "message": "The licence is not accepted."}}
    ended = {
        "metadata": {"name": "pod"},
        "status": {"phase": "Failed", "containerStatuses": [{"state": state}]},
    }
    api.say("list pods", answer({"items": [ended]}))
    api.say("list jobs", NOTHING, listed(), FAILED)
    with pytest.raises(StageFailedError, match="The licence is not accepted") as caught:
        backend.bring_base(LARGE)
    assert (created(api), caught.value.exit_code) == (["mirror-llama31"], 77)


def test_a_mirror_under_way_is_followed_and_left_alone_on_ctrl_c(api, backend, monkeypatch):
    monkeypatch.setattr(follow.time, "sleep", ctrl_c)
    marks = drive.plan_base(LARGE, Site.of(site_data()))["metadata"]["annotations"]
    there = {"metadata": {"name": "mirror-llama31", "uid": "u1", "annotations": marks}}
    api.say("list jobs", answer({"metadata": {"resourceVersion": "7"}, "items": [there]}))
    api.say("create jobs", answer({"kind": "Status", "reason": "AlreadyExists"}, 409))
    with pytest.raises(Interrupted, match="Come back with the same command"):
        backend.bring_base(LARGE)
    assert api.asked("delete jobs") == 0


def test_rows_of_the_hub_have_a_job_of_their_own_unless_they_are_there(
    api, backend, bucket, tmp_path
):
    (tmp_path / "train.jsonl").write_text("{}")
    state = {"terminated": {"exitCode": 66, "message": "The hub has no data set."}}
    ended = {
        "metadata": {"name": "pod"},
        "status": {"phase": "Failed", "containerStatuses": [{"state": state}]},
    }
    api.say("list pods", answer({"items": [ended]}))
    api.say("list jobs", NOTHING, listed(), FAILED)
    with pytest.raises(StageFailedError, match="has no data set") as caught:
        backend.bring_rows("hub:owner/rows")
    assert (created(api), caught.value.exit_code) == (
        [job_name(rows_instance("hub:owner/rows"), MIRROR)],
        66,
    )
    raw = store_raw(bucket, [("train.jsonl", tmp_path / "train.jsonl")])
    rows = HubRows(source="hub:owner/rows", commit="a" * 40, raw=raw, files=())
    bucket.create(hub_key("owner/rows", "main"), encode(rows))
    backend.bring_rows("hub:owner/rows")
    assert len(created(api)) == 1


def test_a_run_whose_hub_rows_are_not_there_is_stopped_before_anything_is_made(
    api, backend, bucket
):
    config = load_config(CONFIGS / "llama31.yaml")
    with pytest.raises(MissingInputError, match="make mirror MODEL=llama31 DATA=hub:FinGPT/"):
        backend.freeze(config)
    assert list(bucket.keys()) == []
    assert created(api) == []


def test_a_dry_run_prints_every_job_that_there_would_be(bucket, cluster):
    backend = ClusterBackend(cluster, bucket, dry_run=True)
    run = backend.freeze(RunConfig(model="tiny-llama31"))

    def names(text):
        return [job["metadata"]["name"] for job in yaml.safe_load_all(text)]

    whole = backend.execute([run], list(Stage), follow=False)
    parts = ("prep", "train", "eval", "drive")
    assert names(whole) == ["mirror-tiny-llama31", *(f"{run.id}-{part}" for part in parts)]
    assert names(backend.execute([run], [Stage.TRAIN], follow=False)) == [f"{run.id}-train"]
    assert names(backend.bring_base(LARGE)) == ["mirror-llama31"]
    other = backend.freeze(RunConfig(model="tiny-llama31", seed=43))
    both = names(backend.execute([run, other], list(Stage), follow=False))
    ids = (run.id, other.id)
    assert both == ["mirror-tiny-llama31", *(f"{one}-{part}" for one in ids for part in parts)]
    assert list(bucket.keys()) == []


def test_the_site_is_read_once_per_command(api, backend, bucket, run):
    backend.execute([run], [Stage.PREP], follow=False)
    assert api.asked("get configmaps") == 1


def test_a_folder_s_store_is_worked_on_by_this_machine_and_needs_no_cluster(store):
    environment = Environment.model_construct(namespace="")
    for mode in (Mode.SUBMIT, Mode.WAIT, Mode.LOCAL):
        assert isinstance(open_backend(store, mode, environment), LocalBackend)
    assert isinstance(open_backend(Bucket(store), Mode.LOCAL, environment), LocalBackend)


def test_a_whole_run_that_is_not_followed_returns_once_the_cluster_has_its_job(api, backend, seeds):
    printed = backend.execute(seeds, list(Stage), follow=False)
    assert printed.splitlines() == [run.id for run in seeds]
    assert api.asked("create jobs") == len(seeds)
    assert api.asked("list pods") == api.asked("watch jobs") == 0
