"""What a file of jobs/sweeps may say; everything else is one sentence with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fingpt.config import load_config
from fingpt.errors import ConfigError
from fingpt.runs.manifest import decode, encode
from fingpt.sweeps.definition import SweepDefinition, load_definition, parse_definition
from fingpt.sweeps.freezing import checked
from jobs import CONFIGS, SWEEPS
from tests.sweeps.studies import defined

LINES = {
    "method: tpee\ntrials: 3\nspace: {train.lr: [1, 2]}": "'method' is 'tpee'; did you mean 'tpe'",
    "method: grid\nparallel: 0\nspace: {train.lr: [1, 2]}": "'parallel' is 0",
    "method: grid\nspace: {train.lr: [1]}": "'space.train.lr' has 1 value, so there is nothing to search",
    "method: grid\nspace: {train.lr: []}": "has 0 values",
    "method: grid\nspace: {train.lr: {low: 1, high: 1, points: 3}}": "low 1 is not below high 1",
    "method: grid\nspace: {train.lr: {low: 2, high: 1, points: 3}}": "low 2 is not below high 1",
    "method: grid\nspace: {train.lr: {low: 0, high: 1, log: true, points: 3}}": "needs low > 0",
    "method: grid\nspace: {train.lr: {low: 1, hgh: 2}}": "'high' is missing",
    "method: grid\nspace: {train.lr: {low: 1, high: 2}}": "give points, such as points: 5",
    "method: grid\nspace: {}": "space is empty",
    "method: grid\nspace: 3": "'space' is '3'",
    "method: grid": "'space' is missing",
    "method: grid\nspce: {}": "did you mean 'space'",
    "method: grid\ntrials: 5\nspace: {train.lr: [1, 2]}": "trials is 5, but the grid has 2 points",
    "method: grid\nfinal_seeds: 2\nspace: {train.lr: [1, 2]}": "'final_seeds' is 2",
    "method: grid\npruning: {}\nspace: {train.lr: [1, 2]}": "pruning needs method tpe",
    "method: grid\nobjective: accuracy\nspace: {train.lr: [1, 2]}": "known: labels, loss",
    "method: random\nspace: {train.lr: {low: 1, high: 2}}": "needs trials",
    "method: tpe\ntrials: 0\nspace: {train.lr: [1, 2]}": "'trials' is 0",
    "method: grid\nspace: {lr: {low: 1, high: 2}}": "write the whole key, such as train.lr",
    "method: grid\nspace: {train.lr: [1, 1]}": "holds '1' twice",
    "method: grid\nspace: {train.lr: [1, {a: 2}]}": "values of train.lr are expected",
    "method: grid\nspace: {a: [1, 2]}": "mappings, such as",
    "method: grid\nspace: {a: [{train.lr: 1}, {train.epochs: 2}]}": "every entry has to set the same keys",
    "method: grid\nspace: {a: [{train.lr: 1}, {train.lr: 2}], train.lr: [1, 2]}": "sets train.lr twice",
    "[1, 2]": "must hold a mapping",
}


@pytest.mark.parametrize("text", LINES)
def test_a_fault_is_one_sentence_that_names_it(text):
    with pytest.raises(ConfigError) as fault:
        parse_definition(yaml.safe_load(text), "jobs/sweeps/x.yaml")
    assert LINES[text] in str(fault.value)
    assert "\n" not in str(fault.value)
    assert "jobs/sweeps/x.yaml" in str(fault.value)


def test_the_nearest_file_is_named_where_there_is_none():
    with pytest.raises(ConfigError, match="did you mean 'lora-grid'"):
        load_definition(SWEEPS / "lora-gird.yaml")


@pytest.mark.parametrize("text", ["a: [", "a: &x 1\nb: *x", "a: 1\na: 2"])
def test_a_file_that_is_no_plain_yaml_is_a_configuration_error(tmp_path, text):
    (tmp_path / "x.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"x\.yaml .*write plain settings"):
        load_definition(tmp_path / "x.yaml")


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_search_fits_the_models_it_is_for(path: Path):
    definition = load_definition(path)
    kind = "tiny-" if path.stem.startswith("tiny") else ""
    configs = [load_config(CONFIGS / f"{kind}{name}.yaml") for name in ("llama31", "deepseek-r1")]
    unpruned = definition.model_copy(update={"pruning": None})
    bases, notes = checked(path.stem, unpruned, configs)
    assert len(bases) == 2
    assert notes == ()
    assert 4 <= definition.count <= 20


def test_a_stored_definition_keeps_the_order_of_the_file():
    definition = defined(
        "method: grid\nspace: {train.weight_decay: [0.0, 0.1], train.epochs: [1, 2], "
        "b: [{train.lora.r: 8, train.lora.alpha: 8}, {train.lora.r: 4, train.lora.alpha: 4}]}"
    )
    again = decode(SweepDefinition, encode(definition), "key")
    assert again == definition
    assert [each.name for each in again.space] == ["train.weight_decay", "train.epochs", "b"]


def test_numbers_are_read_as_people_mean_them():
    definition = defined(
        "method: grid\nspace: {train.lr: [1e-4, 2E-4], train.schedule: [cosine, linear]}"
    )
    assert [each["train.lr"] for each in definition.space[0].choices] == [1e-4, 2e-4]
    assert definition.space[1].choices[0] == {"train.schedule": "cosine"}


def test_a_grid_has_as_many_trials_as_points_unless_fewer_are_named():
    assert defined().count == 4
    assert defined(trials=3).count == 3
    assert (
        defined(
            "method: grid\nspace: {train.lr: {low: 1e-4, high: 1e-3, points: 5}, train.epochs: [1, 2]}"
        ).count
        == 10
    )
