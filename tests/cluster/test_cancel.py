"""Cancelling: exactly one of a run and a model, drive's Job before those of its stages."""

from dataclasses import replace

import pytest

from fingpt.cluster.cancel import cancel, instance_of
from fingpt.errors import ConfigError
from tests.cluster.fake_cluster import FakeCluster, job_state


def test_a_run_or_a_model_is_named():
    assert instance_of("llama31-0a1b2c3d", "") == "llama31-0a1b2c3d"
    assert instance_of("", "llama31") == "llama31"


@pytest.mark.parametrize(
    ("run", "model", "words"),
    [
        ("", "", "make cancel RUN=id"),
        ("llama31-0a1b2c3d", "llama31", "one at a time"),
        ("a b;c", "x'y", r"RUN='a b;c', or make cancel MODEL='x'\"'\"'y'"),
        ("llama31", "", "make cancel MODEL=llama31"),
        ("", "lama31", "did you mean 'llama31'"),
    ],
)
def test_anything_else_is_a_usage_error_with_the_right_command(run, model, words):
    with pytest.raises(ConfigError, match=words):
        instance_of(run, model)


def test_drive_is_deleted_before_the_jobs_that_it_would_miss():
    cluster = FakeCluster()
    for name in ("prep", "drive", "train"):
        cluster.there[name] = replace(job_state(name), stage=name)
    cancel(cluster, "llama31-0a1b2c3d")
    assert cluster.deleted == ["drive", "prep", "train"]
