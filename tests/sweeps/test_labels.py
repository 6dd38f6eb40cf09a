"""The objective `labels` of a trial, from its evaluation's manifest."""

from __future__ import annotations

import pytest

from fingpt.config import EvalConfig, RunConfig
from fingpt.errors import ConfigError, MissingInputError, StorageError
from fingpt.runs.manifest import EvalManifest, ValidationScores, encode
from fingpt.runs.run import Run, Stage, complete_key, run_key
from fingpt.storage import open_store
from fingpt.sweeps.labels import labels_value


def trial(split="validation"):
    return Run.of(RunConfig(model="tiny-llama31", eval=EvalConfig(split=split)), {})


def evaluation(run, value=2.41):
    return EvalManifest(
        run=run.id,
        stage="eval",
        config_sha256=run.config.sha256,
        image="",
        inputs={},
        finished_at="",
        dataset="d",
        adapter_sha256="a",
        base_sha256="b",
        decoding={},
        scores={},
        split="validation",
        validation=ValidationScores(
            n=40, weeks=4, loss=1.0, label_log_loss=value, label_log_loss_as_scored=3.0, seconds={}
        ),
        files=(),
    )


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path.as_uri())


def test_the_value_is_what_the_evaluation_of_validation_rows_says(store):
    run = trial()
    store.create(run_key(run.id), run.encode())
    with pytest.raises(MissingInputError, match="no finished evaluation"):
        labels_value(store, run)
    store.create(complete_key(run.id, Stage.EVAL), encode(evaluation(run)))
    assert labels_value(store, run) == 2.41


def test_a_run_that_opens_the_test_has_no_value_for_a_search(store):
    with pytest.raises(ConfigError, match=r"eval\.split=validation"):
        labels_value(store, trial("test"))


def test_a_damaged_record_is_named(store):
    run = trial()
    data = encode(evaluation(run)).replace(b"2.41", b"1.41")
    store.create(complete_key(run.id, Stage.EVAL), data)
    with pytest.raises(StorageError, match=complete_key(run.id, Stage.EVAL)):
        labels_value(store, run)
