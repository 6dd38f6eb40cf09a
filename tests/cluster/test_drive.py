"""Driving a run: skip what is done, restart what ended, make a tiny base first, believe the bucket."""

import shlex
from dataclasses import replace

import pytest

from fingpt.cluster import drive, follow
from fingpt.cluster.api.objects import Condition, ContainerPhase, ContainerState, PodState
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.follow import blocked
from fingpt.cluster.job import job_name
from fingpt.cluster.site import Images, Site
from fingpt.config import RunConfig
from fingpt.errors import DivergedError, MissingInputError, StageFailedError, TransientError
from fingpt.models import spec
from fingpt.runs.manifest import PrepManifest, encode
from fingpt.runs.run import Run, Stage, base_manifest_key, complete_key, run_key
from fingpt.weights.base import publish_base
from tests.cluster.fake_cluster import FakeCluster, job_state

IMAGES = Images(prep="p:1", train="t:1", eval="e:1")
SITE = Site(store="s3://bucket/prefix", images=IMAGES)
RUN = Run.of(RunConfig(model="tiny-llama31"), IMAGES.model_dump())
LARGE = Run.of(RunConfig(model="llama31"), IMAGES.model_dump())
TINY = spec("tiny-llama31")
COMPLETE = Condition("Complete", True)
FAILED = Condition("Failed", True, "PodFailurePolicy", "a pod failed with exit code 65 matching")
EARLY, LATE = "2030-01-01T00:00:00Z", "2030-01-01T01:00:00Z"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.0)


class Boundary(FakeCluster):
    """A cluster where `run` decides what becomes of each new Job."""

    def __init__(self, run=lambda name: COMPLETE):
        super().__init__()
        self.run = run

    def stage_snapshot(self, run_id, stage, *, complete):
        name = job_name(run_id, stage)
        job = self.there[name]
        if not job.is_final():
            self.there[name] = replace(job, conditions=(self.run(name),))
            return JobSnapshot(job=job)
        container = ContainerState(
            ContainerPhase.TERMINATED, "Error", "first\nThe rows are wrong.", 65
        )
        pod = PodState("pod", "1", RUN.id, stage, "", "Failed", "", "", "", "", "", container)
        return JobSnapshot(job=job, pods=(pod,))


def make_base(store):
    publish_base(store, TINY, [])
    return COMPLETE


def complete(store, stage=Stage.PREP):
    fields = {
        "run": RUN.id,
        "stage": str(stage),
        "config_sha256": RUN.config.sha256,
        "image": "",
        "inputs": {},
        "finished_at": "",
        "dataset": "d",
        "dataset_sha256": "",
    }
    store.create(complete_key(RUN.id, stage), encode(PrepManifest(**fields)))


def the_job(stage):
    (job,) = drive.plan(RUN, [stage], SITE, SITE.store)
    return job


def test_a_plan_names_the_frozen_run_and_its_images():
    job = the_job(Stage.PREP)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "p:1"
    uri = f"s3://bucket/prefix/{run_key(RUN.id)}"
    assert container["args"] == ["--run", uri, "--sha256", RUN.sha256]


def test_a_job_under_way_is_left_alone():
    cluster = Boundary()
    drive.start(cluster, the_job(Stage.PREP))
    drive.start(cluster, the_job(Stage.PREP))
    assert len(cluster.created) == 1
    assert not cluster.deleted


def test_a_job_that_ended_is_removed_and_made_again():
    cluster, job = Boundary(), the_job(Stage.PREP)
    name = job["metadata"]["name"]
    cluster.there[name] = job_state(name, FAILED)
    drive.start(cluster, job)
    assert (cluster.deleted, cluster.created) == ([name], [name])


def test_a_job_that_does_not_go_away_is_given_up():
    cluster, job = Boundary(), the_job(Stage.PREP)
    name = job["metadata"]["name"]
    cluster.there[name] = job_state(name, FAILED)
    cluster.delete_job = lambda _: True
    with pytest.raises(TransientError, match="being deleted"):
        drive.start(cluster, job, sleep=lambda _: None)


def test_a_failed_stage_ends_with_its_pod_s_code_and_last_line(store):
    cluster = Boundary(run=lambda _: FAILED)
    drive.start(cluster, the_job(Stage.PREP))
    with pytest.raises(StageFailedError, match="The rows are wrong") as caught:
        follow.finish(cluster, drive.stage_work(store, RUN, Stage.PREP), blocked)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize("work", [drive.run_work, lambda *two: drive.stage_work(*two, Stage.PREP)])
def test_complete_without_a_manifest_is_a_silent_failure(store, work):
    cluster = Boundary()
    for name in ("prep", "drive"):
        cluster.there[job_name(RUN.id, name)] = job_state("x")
    with pytest.raises(DivergedError, match="silent failure"):
        follow.finish(cluster, work(store, RUN), blocked)


def test_a_stage_that_is_complete_gets_no_job(store):
    complete(store)
    make_base(store)
    cluster = Boundary(run=lambda _: FAILED)
    with pytest.raises(StageFailedError):
        drive.drive(cluster, store, RUN, SITE)
    assert cluster.created == [f"{RUN.id}-train"]


def test_a_tiny_base_that_is_missing_is_made_before_the_stages(store):
    def carry_out(name):
        return make_base(store) if name == "mirror-tiny-llama31" else FAILED

    cluster = Boundary(carry_out)
    with pytest.raises(StageFailedError):
        drive.drive(cluster, store, RUN, SITE)
    assert cluster.created == ["mirror-tiny-llama31", f"{RUN.id}-prep"]
    assert store.exists(base_manifest_key(TINY.base_prefix))


def test_a_base_that_failed_stops_the_run_with_its_own_code(store):
    cluster = Boundary(run=lambda _: FAILED)
    with pytest.raises(StageFailedError, match="The rows are wrong") as caught:
        drive.drive(cluster, store, RUN, SITE)
    assert (cluster.created, caught.value.exit_code) == (["mirror-tiny-llama31"], 65)


def test_the_base_of_a_full_size_model_is_not_fetched_by_the_way(store):
    cluster = Boundary(run=lambda _: FAILED)
    with pytest.raises(StageFailedError):
        drive.drive(cluster, store, LARGE, SITE)
    assert cluster.created == [f"{LARGE.id}-prep"]


@pytest.mark.parametrize(("created", "again"), [(EARLY, True), (LATE, False)])
def test_a_stage_that_failed_under_this_drive_job_is_not_tried_again(store, created, again):
    make_base(store)
    cluster = Boundary(run=lambda _: FAILED)
    name = f"{RUN.id}-prep"
    cluster.there[job_name(RUN.id, "drive")] = job_state("drive", created="2030-01-01T00:30:00Z")
    cluster.there[name] = job_state(name, FAILED, created=created)
    with pytest.raises(StageFailedError):
        drive.drive(cluster, store, RUN, SITE)
    assert cluster.created == ([name] if again else [])


def test_base_weights_that_are_there_get_no_job(store):
    make_base(store)
    cluster = Boundary()
    drive.bring_base(cluster, store, TINY, SITE, blocked)
    assert cluster.created == []


def test_a_base_s_job_under_way_is_followed_and_not_made_again(store):
    cluster = Boundary(run=lambda _: make_base(store))
    cluster.there["mirror-tiny-llama31"] = job_state("mirror-tiny-llama31")
    drive.bring_base(cluster, store, TINY, SITE, blocked)
    assert cluster.created == []


def test_missing_inputs_are_all_named_before_any_pod(store):
    with pytest.raises(MissingInputError) as caught:
        drive.require_inputs(store, RUN, [Stage.TRAIN])
    said = str(caught.value)
    made, prepared = said.split("; Stage prep")  # else the first command would seem to go on
    words = shlex.split(made.partition("there: ")[2])
    assert words[:3] == ["make", "tiny", "MODEL=tiny-llama31"]
    assert [word.partition("=")[0] for word in words[3:]] == ["STORE"]
    assert "make prep MODEL=tiny-llama31" in prepared


def test_prep_alone_needs_nothing(store):
    drive.require_inputs(store, RUN, [Stage.PREP])


def test_a_whole_run_of_a_tiny_model_lacks_nothing_and_a_full_size_one_its_base(store):
    drive.require_inputs(store, RUN, list(Stage))
    with pytest.raises(MissingInputError, match="make mirror MODEL=llama31"):
        drive.require_inputs(store, LARGE, list(Stage))


def test_a_run_with_an_adapter_from_elsewhere_gets_no_training_job(store):
    adapter = {"adapter": f"adapters/{'0' * 32}"}
    config = RunConfig.model_validate({"model": "llama31", "eval": adapter})
    run = Run.of(config, IMAGES.model_dump())
    publish_base(store, spec("llama31"), [])
    drive.require_inputs(store, run, run.stages)

    def carry_out(name):
        if not name.endswith("prep"):
            return FAILED
        prep = PrepManifest(
            run=run.id,
            stage="prep",
            config_sha256=run.config.sha256,
            image="",
            inputs={},
            finished_at="",
            dataset="d",
            dataset_sha256="",
        )
        store.create(complete_key(run.id, Stage.PREP), encode(prep))
        return COMPLETE

    cluster = Boundary(carry_out)
    with pytest.raises(StageFailedError):
        drive.drive(cluster, store, run, SITE)
    assert cluster.created == [f"{run.id}-prep", f"{run.id}-eval"]
