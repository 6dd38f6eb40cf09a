"""Driving a run: skip what is done, restart what ended, believe the bucket."""

from dataclasses import replace

import pytest

from fingpt.cluster import drive
from fingpt.cluster.objects import Condition, ContainerState, JobState, PodState
from fingpt.cluster.site import Images, Site
from fingpt.config import RunConfig
from fingpt.errors import DivergedError, MissingInputError, StageFailedError, TransientError
from fingpt.manifest import PrepManifest, encode
from fingpt.run import Run, Stage, complete_key, run_key

IMAGES = Images(prep="p:1", train="t:1", eval="e:1")
SITE = Site(store="s3://bucket/prefix", images=IMAGES)
RUN = Run.of(RunConfig(model="tiny-llama31"), IMAGES.model_dump())
COMPLETE, FAILED = Condition("Complete", True), Condition("Failed", True, "PodFailurePolicy", "no")


def job_state(name, *conditions, uid="1"):
    return JobState(name, uid, RUN.id, "prep", "", False, 0, 0, 0, 0, {}, conditions)


class Boundary:
    """The API server as far as `drive` asks: Jobs by name; `run` decides what each new one becomes."""

    def __init__(self, run=lambda name: COMPLETE):
        self.there, self.made, self.deleted, self.run = {}, [], [], run
        self.exit_code, self.last_line = 65, "The rows are wrong."

    def job(self, name):
        return self.there.get(name)

    def apply_job(self, job):
        name = job["metadata"]["name"]
        if name in self.there:
            return False
        self.made.append(name)
        self.there[name] = job_state(name, uid=f"new-{len(self.made)}")
        return True

    def delete_job(self, name):
        self.deleted.append(name)
        return self.there.pop(name, None) is not None

    def watch_job(self, name):
        yield self.there[name]
        self.there[name] = replace(self.there[name], conditions=(self.run(name),))
        yield self.there[name]

    def pods(self, run_id="", stage=""):
        container = ContainerState("ended", "Error", f"first\n{self.last_line}", self.exit_code)
        return (PodState("pod", "1", RUN.id, stage, "", "Failed", "", "", "", "", "", container),)


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
    assert container["args"] == ["--run", f"s3://bucket/prefix/{run_key(RUN.id)}"]


def test_a_job_under_way_is_left_alone():
    cluster = Boundary()
    drive.start(cluster, the_job(Stage.PREP))
    drive.start(cluster, the_job(Stage.PREP))
    assert len(cluster.made) == 1
    assert not cluster.deleted


def test_a_job_that_ended_is_removed_and_made_again():
    cluster, job = Boundary(), the_job(Stage.PREP)
    name = job["metadata"]["name"]
    cluster.there[name] = job_state(name, FAILED)
    drive.start(cluster, job)
    assert (cluster.deleted, cluster.made) == ([name], [name])


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
        drive.wait(cluster, store, RUN, Stage.PREP)
    assert caught.value.exit_code == 65


def test_complete_without_a_manifest_is_a_silent_failure(store):
    cluster = Boundary()
    drive.start(cluster, the_job(Stage.PREP))
    with pytest.raises(DivergedError, match="silent failure"):
        drive.wait(cluster, store, RUN, Stage.PREP)


def test_a_stage_that_is_complete_gets_no_job(store):
    complete(store)
    cluster = Boundary(run=lambda _: FAILED)
    with pytest.raises(StageFailedError):
        drive.conduct(cluster, store, RUN, SITE)
    assert cluster.made == [f"{RUN.id}-train"]


def test_missing_inputs_are_all_named_before_any_pod(store):
    with pytest.raises(MissingInputError) as caught:
        drive.require_inputs(store, RUN, [Stage.TRAIN])
    said = str(caught.value)
    assert "make tiny MODEL=tiny-llama31" in said
    assert "make prep MODEL=tiny-llama31" in said


def test_prep_alone_needs_nothing(store):
    drive.require_inputs(store, RUN, [Stage.PREP])
