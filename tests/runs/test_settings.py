"""What a run sets otherwise than its configuration's file."""

from __future__ import annotations

import pytest

from fingpt.config import RunConfig, load_config
from fingpt.runs.settings import differences
from jobs import CONFIGS

FILES = [(path.stem, load_config(path)) for path in CONFIGS.glob("*.yaml")]


@pytest.mark.parametrize("name", ["llama31", "tiny-llama31"])
def test_a_run_of_a_file_as_it_is_sets_nothing(name):
    assert differences(load_config(CONFIGS / f"{name}.yaml"), FILES) == ""


def test_a_run_says_its_overrides_as_they_were_written():
    words = ["train.lr=2e-4", "train.lora.r=8", "eval.include_base=false", "prep.limit=40"]
    config = load_config(CONFIGS / "llama31.yaml", words)
    found = differences(config, FILES)
    assert (
        found == "eval.include_base=false prep.limit=40 train.lora.r=8"
    )  # the rate is the file's own
    assert differences(load_config(CONFIGS / "llama31.yaml", found.split()), FILES) == found


def test_seed_rows_and_what_follows_from_other_rows_are_not_settings():
    config = load_config(CONFIGS / "llama31.yaml", ["seed=7", "prep.source=folder"])
    assert differences(config, FILES) == ""


def test_another_file_of_the_same_model_is_named_where_it_is_nearer():
    (name,) = [
        name
        for name, known in FILES
        if known.model == "llama31"
        and name != "llama31"
        and "zero_one_adam" in known.train.optimizer
    ][:1]
    config = load_config(CONFIGS / f"{name}.yaml", ["train.epochs=1"])
    assert differences(config, FILES) == f"{name}: train.epochs=1"


def test_a_model_without_a_file_has_no_differences():
    assert differences(RunConfig(model="tiny-llama31"), []) == ""
