"""A sweep's Jobs: whole ones are compared with tests/cluster/golden, and what varies is looked at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingpt.cluster.cancel import cancel_sweep, instance_of
from fingpt.cluster.job import SWEEP, TRIAL, build_job, identity, job_name, load_template
from fingpt.cluster.site import Site
from fingpt.cluster.sweep_job import (
    MIN_PARALLELISM,
    build_controller_job,
    build_trial_job,
    mark,
    sweep_name,
    trial_instance,
)
from fingpt.errors import ConfigError
from tests.cluster.fake_cluster import FakeCluster, job_state
from tests.cluster.sites import full_site_data, run_of, site_data
from tests.cluster.sweeps import address, sweep_jobs_of
from tests.cluster.test_job import GOLDEN, compare, container_of


@pytest.mark.parametrize(
    ("model", "data"), [("llama31", full_site_data()), ("tiny-llama31", site_data())]
)
@pytest.mark.parametrize("component", ["sweep", "trial"])
def test_a_sweep_s_job_is_exactly_its_golden_file(model, data, component):
    job = sweep_jobs_of(model, Site.of(data))[component]
    compare(job, GOLDEN / f"{model}-{component}.yaml")


def test_ten_thousand_trials_are_one_job(site):
    spec = sweep_jobs_of("llama31", site, (10_000, 64))["trial"]["spec"]
    assert (spec["completions"], spec["parallelism"]) == (10_000, 64)
    assert spec["maxFailedIndexes"] == 5_000
    assert spec["activeDeadlineSeconds"] == 30 * 86400


def test_a_few_failures_never_end_a_search_and_no_more_pods_run_than_there_are_trials(site):
    spec = sweep_jobs_of("llama31", site, (4, 64))["trial"]["spec"]
    assert (spec["completions"], spec["parallelism"], spec["maxFailedIndexes"]) == (4, 4, 4)


def test_in_a_queue_a_search_may_shrink_and_elsewhere_nothing_says_so(site, full_site):
    queued = sweep_jobs_of("llama31", full_site)["trial"]["metadata"]
    assert queued["annotations"][MIN_PARALLELISM] == "1"
    assert MIN_PARALLELISM not in sweep_jobs_of("llama31", site)["trial"]["metadata"]["annotations"]


def test_the_controller_stands_in_no_queue(full_site):
    jobs = sweep_jobs_of("llama31", full_site)
    queues = {
        name: "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"] for name, job in jobs.items()
    }
    assert queues == {"sweep": False, "trial": True}


def test_a_trial_asks_for_what_training_asks_for(full_site):
    run = run_of("llama31", "train.processes=4")
    train = build_job(run, "train", load_template("train"), full_site, "s3://b/r")
    trial = build_trial_job(address(full_site), run, (9, 3), load_template(TRIAL), full_site)
    assert container_of(trial)["resources"] == container_of(train)["resources"]
    assert container_of(trial)["image"] == container_of(train)["image"]


def test_jobs_of_two_sweeps_of_one_name_are_told_apart(site):
    run, one = run_of("llama31"), address(site)
    jobs = [
        build_trial_job(each, run, (9, 3), load_template(TRIAL), site)
        for each in (one, replace(one, sha256="6" * 64))
    ]
    assert jobs[0]["metadata"]["name"] == jobs[1]["metadata"]["name"]
    names = {identity(each["metadata"]["annotations"]) for each in jobs}
    assert names == {"5" * 64, "6" * 64}


def test_names_that_pods_could_not_have_are_refused(site):
    run, name = run_of("tiny-deepseek-r1"), "x" * 31
    template = load_template(TRIAL)
    with pytest.raises(ConfigError, match="shorten the name"):
        build_trial_job(address(site, name), run, (9, 3), template, site)
    fits = "x" * (63 - len("-0a1b2c3d-tiny-deepseek-r1-trial-8"))
    build_trial_job(address(site, fits), run, (9, 3), template, site)
    with pytest.raises(ConfigError, match="have names of 64 characters"):
        build_trial_job(address(site, fits), run, (11, 3), template, site)


def test_a_sweep_of_local_code_is_refused(site):
    run = run_of("llama31").model_copy(update={"images": {"prep": "local:1", "train": "local:1"}})
    with pytest.raises(ConfigError, match="not with an image for train"):
        build_trial_job(address(site), run, (9, 3), load_template(TRIAL), site)
    with pytest.raises(ConfigError, match="not with an image for prep"):
        build_controller_job(address(site), run.images, load_template("sweep"), site)


def test_cancelling_a_sweep_ends_the_controller_first_and_the_stages_of_its_drives(site):
    class Labelled(FakeCluster):
        def jobs(self, run_id="", sweep=""):
            all_jobs = self.there.values()
            return tuple(
                each for each in all_jobs if (each.run_id == run_id if run_id else "s1" in each.uid)
            )

    cluster = Labelled()
    for name, stage, uid in [
        ("s-llama31-trial", "trial", "s1"),
        ("llama31-1-drive", "drive", "s1"),
        ("sweep-s", "sweep", "s1"),
        ("llama31-1-train", "train", "its drive's"),
        ("llama31-2-train", "train", "another's"),
    ]:
        run_id = name[:9] if name.startswith("llama31") else "s"
        cluster.there[name] = replace(job_state(name, uid=uid), stage=stage, run_id=run_id)
    cancel_sweep(cluster, instance_of("", "", "", "s"), "s3://b")
    assert cluster.deleted[0] == "sweep-s"
    assert set(cluster.there) == {"llama31-2-train"}


def test_a_run_s_job_can_be_marked_as_a_sweep_s(site):
    job = build_job(run_of("llama31"), "train", load_template("train"), site, "s3://b/r")
    marked = mark(job, "lora-grid-0a1b2c3d")
    for metadata in (marked["metadata"], marked["spec"]["template"]["metadata"]):
        assert metadata["labels"][SWEEP] == "lora-grid-0a1b2c3d"


def test_names_are_as_status_and_cancel_look_for_them():
    assert sweep_name("lora-grid-0a1b2c3d") == "sweep-lora-grid-0a1b2c3d"
    name = job_name(trial_instance("lora-grid-0a1b2c3d", "llama31"), TRIAL)
    assert name == "lora-grid-0a1b2c3d-llama31-trial"


def test_one_thing_is_cancelled_at_a_time():
    with pytest.raises(ConfigError, match="make cancel SWEEP=s"):
        instance_of("llama31-0a1b2c3d", "", "", "s")
