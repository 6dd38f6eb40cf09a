"""A run's identity and its frozen bytes."""

import json
import re

import pytest

from fingpt.config import RunConfig
from fingpt.errors import DataError
from fingpt.models import MODELS
from fingpt.record import canonical_json
from fingpt.runs.run import Run, Stage, complete_key, has_model, run_key

CONFIG = RunConfig(model="tiny-deepseek-r1")
RUN = Run.of(CONFIG, {"prep": "sha256:1"})


@pytest.mark.parametrize("model", MODELS)
def test_run_ids_are_dns_labels_of_at_most_forty_characters(model):
    run = Run.of(RunConfig(model=model), {})
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", run.id)
    assert len(run.id) <= 40
    assert len(run.longer.id) <= 40
    assert has_model(run.id, model)
    assert has_model(run.longer.id, model)
    assert not has_model(run.id, f"{model}x")


def test_a_run_json_reads_back_under_both_ids_and_no_other():
    longer = RUN.longer
    assert longer.id == f"tiny-deepseek-r1-{RUN.sha256[:12]}"
    assert Run.decode(longer.encode()) == longer
    assert (longer.named(RUN.id), RUN.named(longer.id)) == (RUN, longer)
    moved = RUN.model_copy(update={"id": f"tiny-deepseek-r1-{RUN.sha256[:10]}"})
    with pytest.raises(DataError, match="does not match its own hashes"):
        Run.decode(moved.encode())


def test_new_code_or_a_new_configuration_is_a_new_run():
    other_code = Run.of(CONFIG, {"prep": "sha256:2"})
    other_config = Run.of(CONFIG.model_copy(update={"seed": 1}), RUN.images)
    assert len({RUN.id, other_code.id, other_config.id}) == 3
    assert Run.of(CONFIG, {"prep": "sha256:1"}) == RUN


def test_run_json_reads_back():
    assert Run.decode(RUN.encode()) == RUN


def test_a_changed_configuration_in_run_json_is_found():
    fields = json.loads(RUN.encode())
    fields["config"]["train"]["lr"] = 0.5
    with pytest.raises(DataError, match="does not match its own hashes"):
        Run.decode(json.dumps(fields).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"id": 1}'])
def test_bytes_that_are_no_run_are_one_sentence(data):
    with pytest.raises(DataError, match="submit the run again"):
        Run.decode(data)


def test_keys_lie_under_the_run():
    assert run_key("r-1") == "runs/r-1/run.json"
    assert complete_key("r-1", Stage.EVAL) == "runs/r-1/eval/COMPLETE.json"


def test_run_json_holds_the_whole_hash_of_configuration_and_images():
    fields = json.loads(RUN.encode())
    assert fields["sha256"] == RUN.sha256
    assert len(RUN.sha256) == 64
    assert RUN.id.endswith(RUN.sha256[:8])
    other = RUN.model_copy(update={"images": {"prep": "sha256:2"}})
    assert other.sha256 != RUN.sha256


def test_a_run_json_with_another_whole_hash_is_refused():
    fields = {**json.loads(RUN.encode()), "sha256": "0" * 64}
    with pytest.raises(DataError, match="does not match its own hashes"):
        Run.decode(json.dumps(fields).encode())


def test_a_run_json_from_before_it_held_the_whole_hash_is_still_read():
    fields = json.loads(RUN.encode())
    del fields["sha256"]
    before = canonical_json(fields)
    assert Run.decode(before) == RUN
    assert RUN.is_encoded_as(before)
    assert RUN.is_encoded_as(RUN.encode())
    assert not RUN.is_encoded_as(before + b" ")
