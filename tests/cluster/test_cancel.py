"""Cancelling: exactly one of a run and a model, drive's Job before those of its stages."""

from dataclasses import replace

import pytest

from fingpt.cluster.cancel import cancel, cancel_sweep, instance_of
from fingpt.cluster.drive import plan_rows
from fingpt.cluster.job import INSTANCE, RUN_URI
from fingpt.errors import ConfigError, SetupError
from tests.cluster.fake_cluster import MISSING, FakeCluster, job_state

STORE = "s3://bucket/prefix"


def test_a_run_or_a_model_is_named():
    assert instance_of("llama31-0a1b2c3d", "") == "llama31-0a1b2c3d"
    assert instance_of("", "llama31") == "llama31"


@pytest.mark.parametrize("source", ["hub:owner/name", f"hub:owner/name@{'a' * 40}", "hub:o/n@v1"])
def test_the_job_that_brings_rows_is_cancelled_by_the_data_that_it_was_made_for(source):
    cluster = FakeCluster()
    job = plan_rows(source, cluster.site())
    cluster.apply_job(job)
    instance = instance_of("", "", source)
    assert job["metadata"]["labels"][INSTANCE] == instance
    cancel(cluster, instance, STORE)
    assert cluster.deleted == [job["metadata"]["name"]]


def test_rows_of_main_have_one_job_however_they_are_spelled():
    assert instance_of("", "", "hub:owner/name") == instance_of("", "", "hub:owner/name@main")
    assert instance_of("", "", "hub:owner/name") != instance_of("", "", "hub:owner/name@v1")


@pytest.mark.parametrize(
    ("run", "model", "data", "words"),
    [
        ("", "", "", "make cancel RUN=id.*DATA=hub:"),
        ("llama31-0a1b2c3d", "llama31", "", "one at a time"),
        ("a b;c", "x'y", "", r"RUN='a b;c', or make cancel MODEL='x'\"'\"'y'"),
        ("", "llama31", "hub:a/b", "MODEL=llama31, or make cancel DATA=hub:a/b"),
        ("llama31", "", "", "make cancel MODEL=llama31"),
        ("", "lama31", "", "did you mean 'llama31'"),
        ("", "", "rows", "DATA=rows is not on the hub"),
        ("", "", "hub:rows", "owner/name@revision"),
    ],
)
def test_anything_else_is_a_usage_error_with_the_right_command(run, model, data, words):
    with pytest.raises(ConfigError, match=words):
        instance_of(run, model, data)


def test_drive_is_deleted_before_the_jobs_that_it_would_miss():
    cluster = FakeCluster()
    for name in ("prep", "drive", "train"):
        cluster.there[name] = replace(job_state(name), stage=name)
    cancel(cluster, "llama31-0a1b2c3d", STORE)
    assert cluster.deleted == ["drive", "prep", "train"]


@pytest.mark.parametrize("act", [cancel, cancel_sweep])
def test_nothing_to_cancel_is_told_from_a_namespace_that_is_not_there(act):
    cluster = FakeCluster()
    act(cluster, "llama31-0a1b2c3d", STORE)
    cluster.namespace = MISSING
    with pytest.raises(SetupError, match=f"no namespace '{MISSING}'"):
        act(cluster, "llama31-0a1b2c3d", STORE)


@pytest.mark.parametrize("act", [cancel, cancel_sweep])
def test_the_same_run_of_another_store_is_left_alone(act):
    """Its id is the same, and a forgotten NAMESPACE leads to it."""
    cluster = FakeCluster()
    for number, folder in enumerate(("prefix", "prefix-2")):
        name, uri = f"job-{number}", f"s3://bucket/{folder}/runs/llama31-0a1b2c3d/run.json"
        cluster.there[name] = replace(job_state(name), annotations={RUN_URI: uri})
    with pytest.raises(ConfigError, match=r"job-1 .* works on s3://bucket/prefix-2/.*NAMESPACE="):
        act(cluster, "llama31-0a1b2c3d", f"{STORE}/")
    assert cluster.deleted == []
    del cluster.there["job-1"]
    act(cluster, "llama31-0a1b2c3d", f"{STORE}/")
    assert cluster.deleted == ["job-0"]
