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
    "method: grid\nspace: [train.lr: [1, 2]]": "write each setting on a line of its own below space, without '-'",
    "method: random\ntrials: yes\nspace: {train.lr: {low: 1, high: 2}}": "'trials' is True, but a number",
    "method: tpe\ntrials: 2\npruning: yes\nspace: {train.lr: [1, 2]}": "write pruning: {reduction: 3, first: 0.5}",
    "method: grid\nspace: {train.lora.r: [8, '08']}": "holds '08' twice",
    "method: grid": "'space' is missing",
    "method: grid\nspce: {}": "did you mean 'space'",
    "method: grid\ntrials: 5\nspace: {train.lr: [1, 2]}": "trials is 5, but the grid has 2 points",
    "method: grid\nfinal_seeds: 2\nspace: {train.lr: [1, 2]}": "'final_seeds' is 2",
    "method: grid\npruning: {}\nspace: {train.lr: [1, 2]}": "pruning needs method tpe",
    "method: grid\nobjective: accuracy\nspace: {train.lr: [1, 2]}": "known: labels, loss",
    "method: random\nspace: {train.lr: {low: 1, high: 2}}": "needs trials",
    "method: tpe\ntrials: 0\nspace: {train.lr: [1, 2]}": "'trials' is 0",
    "method: grid\nspace: {lr: {low: 1, high: 2}}": "did you mean 'train.lr'?",
    "method: grid\nspace: {train.lr: [1, 1]}": "holds '1' twice",
    "method: grid\nspace: {train.lr: [1, {a: 2}]}": "values of train.lr are expected",
    "method: grid\nspace: {a: [1, 2]}": "mappings, such as",
    "method: grid\nspace: {a: [{train.lr: 1}, {train.epochs: 2}]}": "every entry has to set the same keys",
    "method: grid\nspace: {a: [{train.lr: 1}, {train.lr: 2}], train.lr: [1, 2]}": "sets train.lr twice",
    "[1, 2]": "must hold a mapping",
    "method: GRID\nspace: {train.lr: [1e-4, 2e-4]}": "did you mean 'grid'?",
    "method: bayes\ntrials: 2\nspace: {train.lr: [1e-4, 2e-4]}": "did you mean 'tpe'?",
    "method: grid\nparallel: true\nspace: {train.lr: [1e-4, 2e-4]}": "'parallel' is True, but a number",
    "method: grid\nspace: {train.epochs: [yes, no, 1]}": "holds true, as YAML reads yes",
    "method: grid\nspace: {train.lr: [.nan, 1e-4]}": "holds nan, and finite numbers",
    "method: grid\nspace: {train.lr: [1e999, 1e-4]}": "holds inf, and finite numbers",
    "method: grid\nspace: {train.nodes: [1, 2]}": "each trial trains on one node; take it out",
    "method: grid\nspace: {train.learning_rate: [1e-4, 2e-4]}": "did you mean 'train.lr'?",
    "method: grid\nspace: {lora_rank: [8, 16]}": "did you mean 'train.lora.r'?",
    "method: grid\nspace: {train.num_train_epochs: [1, 2]}": "did you mean 'train.epochs'?",
    "method: grid\nspace: {train: {lr: [1e-4, 2e-4]}}": "by its whole key: train.lr",
    "method: grid\nspace: {train: {lora: {r: [8, 16]}}}": "'space.train' is a section",
    "method: grid\nparameters: {lr: {values: [1, 2]}}": "'parameters' is 'space' here",
    "method: grid\nmetric: {name: loss}\nspace: {train.lr: [1e-4, 2e-4]}": "'metric' is 'objective' here",
    "method: grid\ntrain.lr: [1e-4, 2e-4]\nspace: {train.epochs: [1, 2]}": "belongs below 'space'",
}

LINES_OF_OTHER_TOOLS = {
    "{distribution: log_uniform_values, min: 1e-5, max: 1e-3}": "{low: 1e-05, high: 0.001, log: true}",
    "{distribution: log_uniform, min: -11, max: -5}": "{low: 1.67017e-05, high: 0.00673795, log: true}",
    "{min: 1e-5, max: 1e-3}": "{low: 1e-05, high: 0.001}",
    "{values: [1e-4, 2e-4]}": "[1e-4, 2e-4]",
    "'tune.loguniform(1e-4, 1e-1)'": "{low: 0.0001, high: 0.1, log: true}",
    "'tag(log, interval(1e-5, 1e-3))'": "{low: 1e-05, high: 0.001, log: true}",
    "'tag(t1, interval(1e-5, 1e-3))'": "{low: 1e-05, high: 0.001}",
    "'trial.suggest_float(\"lr\", 1e-5, 1e-3, log=True)'": "{low: 1e-05, high: 0.001, log: true}",
    "{suggest_float: [lr, 1e-5, 1e-3]}": "{low: 1e-05, high: 0.001}",
    "{grid_search: [0.001, 0.01]}": "[0.001, 0.01]",
    "{_type: loguniform, _value: [0.0001, 0.1]}": "{low: 0.0001, high: 0.1, log: true}",
    "{type: float, low: 1e-5, high: 1e-3, log: true, step: 0.1}": "{low: 1e-05, high: 0.001, log: true}",
    "{low: 1e-4, high: 5e-4, step: 1e-4}": "[0.0001, 0.0002, 0.0003, 0.0004, 0.0005]",
    "{distribution: q_uniform, min: 0, max: 0.5, q: 0.2}": "[0, 0.2, 0.4]",
    "'tune.randint(1, 9)'": "{low: 1, high: 8}",
    "{_type: randint, _value: [1, 9]}": "{low: 1, high: 8}",
    "'tune.lograndint(1, 9)'": "{low: 1, high: 8, log: true}",
    "'tune.loguniform(1e-4, 1e-1, 10)'": "{low: 0.0001, high: 0.1, log: true}",
    "'tune.qrandint(2, 10, 4)'": "[2, 6, 10]",
    "{_type: quniform, _value: [1, 9, 2]}": "[1, 3, 5, 7, 9]",
    "'trial.suggest_int(\"lr\", 8, 24, step=8)'": "[8, 16, 24]",
    "'range(8, 24, step=8)'": "[8, 16, 24]",
}


@pytest.mark.parametrize("text", LINES)
def test_a_fault_is_one_sentence_that_names_it(text):
    with pytest.raises(ConfigError) as fault:
        parse_definition(yaml.safe_load(text), "jobs/sweeps/x.yaml")
    assert LINES[text] in str(fault.value)
    assert "\n" not in str(fault.value)
    assert "jobs/sweeps/x.yaml" in str(fault.value)


@pytest.mark.parametrize("theirs", LINES_OF_OTHER_TOOLS)
def test_a_parameter_as_another_tool_writes_it_is_answered_with_the_line_that_is_right_here(theirs):
    with pytest.raises(ConfigError) as fault:
        parse_definition(
            yaml.safe_load(f"method: tpe\ntrials: 3\nspace: {{train.lr: {theirs}}}"), "x.yaml"
        )
    line = f"train.lr: {LINES_OF_OTHER_TOOLS[theirs]}"
    assert f"; write {line}." in str(fault.value)
    with_points = line.replace("}", ", points: 2}")
    parse_definition(yaml.safe_load(f"method: grid\nspace: {{{with_points}}}"), "x.yaml")


def test_all_faults_of_a_file_are_told_at_once():
    text = "method: gird\nparallel: 0\nspace: {train.lr: [1e-4], train.epoch: [1, 2], train.lora.r: {low: 8, high: 4}}"
    with pytest.raises(ConfigError) as fault:
        parse_definition(yaml.safe_load(text), "x.yaml")
    for words in (
        "'method' is 'gird'",
        "'parallel' is 0",
        "has 1 value",
        "'train.epochs'",
        "low 8 is not below",
    ):
        assert words in str(fault.value)


def test_a_file_of_other_bytes_says_how_to_save_it(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"method: grid # \xe9\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 .* save it as UTF-8"):
        load_definition(tmp_path / "x.yaml")
    (tmp_path / "y.yaml").write_bytes(b"\xef\xbb\xbfmethod: grid\nspace: {train.epochs: [1, 2]}\n")
    assert load_definition(tmp_path / "y.yaml").count == 2
    with pytest.raises(ConfigError, match="is a folder"):
        load_definition(tmp_path)


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
        "method: grid\nspace: {train.lr: [1e-4, 2E-4], train.schedule: [cosine, linear], train.lora.r: ['08', '16']}"
    )
    assert str([each["train.lora.r"] for each in definition.space[2].choices]) == "[8, 16]"
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


def test_a_folder_s_hidden_files_are_no_searches(tmp_path):
    (tmp_path / ".checkov.yaml").write_text("skip-check: []\n")
    with pytest.raises(ConfigError, match="it holds no search; SPACE=lora-grid is one"):
        load_definition(tmp_path / "two.yaml")
