"""Which settings may be searched, and that no corner of a space is refused later than here."""

from __future__ import annotations

import pytest

from fingpt.config import RunConfig
from fingpt.errors import ConfigError
from fingpt.sweeps.definition import Pruning
from fingpt.sweeps.freezing import checked
from fingpt.sweeps.keys import is_integer, settings_of_training
from fingpt.sweeps.plan import check_count
from fingpt.sweeps.space import check_space
from fingpt.sweeps.sweep import Sweep, trial_config
from tests.sweeps.studies import MODEL, defined

CONFIG = RunConfig(model=MODEL)


def space(text: str, method: str = "grid", trials: int | None = None):
    extra = "" if trials is None else f"trials: {trials}\n"
    return defined(f"method: {method}\n{extra}space: {{{text}}}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train.lrr: [1e-4, 2e-4]", "did you mean 'train.lr'"),
        ("train.lora.rank: [1, 2]", "'train.lora.rank' is no setting"),
        ("model.x: [1, 2]", "a sweep takes models by MODEL or MODELS"),
        ("eval.max_new_tokens: [1, 2]", "measured by the objective alone"),
        ("prep.test_weeks: [1, 2]", "the same validation rows"),
        ("prep.source: [a, b]", "the same validation rows"),
        ("train.processes: [1, 2]", "how many GPUs"),
        ("a: [{seed: 1}, {seed: 2}]", "trials keep the configuration's seed"),
        ("train.schedule: {low: 1, high: 2, points: 2}", "is no number, so it has no range"),
        ("train.lora.r: {low: 1.5, high: 4, points: 2}", "is a whole number"),
        ("train.lora.r: {low: 1, high: 3, points: 5}", "no 5 different whole numbers"),
        ("train.lr: [1e-4, 2]", "'train.lr' is 2"),
        ("train.lora.dropout: {low: 0, high: 1, points: 3}", "dropout"),
        ("train.precision: [fp32, fp16]", "fp16 needs loss scaling"),
    ],
)
def test_a_space_that_breaks_a_rule_is_refused_before_anything_starts(text, words):
    with pytest.raises(ConfigError, match=words):
        check_space(space(text), CONFIG)


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_ends_and_choices_are_tried_in_every_combination(method):
    crossing = "train.optimizer: [adamw, zero_one_adam], train.lr: {low: 1e-4, high: 1e-3}"
    with pytest.raises(ConfigError, match="zero_one_adam needs"):
        check_space(space(crossing, method, 4), CONFIG)
    above = "train.lr: {low: 1e-4, high: 1.5}"
    with pytest.raises(ConfigError, match=r"'train\.lr' is 1\.5"):
        check_space(space(above, method, 4), CONFIG)


def test_of_a_huge_space_every_two_parameters_are_combined():
    values = ", ".join(map(str, range(1, 14)))
    wide = [
        f"train.{name}: [{values}]"
        for name in ("batch_size", "accumulation", "save_every", "epochs")
    ]
    fits = space(", ".join(wide), "random", 4)
    check_space(fits, CONFIG)
    rule = "train.pack_tokens: [512, 1024], train.zero_stage: [1, 2]"
    with pytest.raises(ConfigError, match="exclude each other"):
        check_space(space(", ".join([*wide, rule]), "random", 4), CONFIG)


@pytest.mark.parametrize("more", [(), ("save_every", "epochs", "max_steps", "lora.r")])
def test_pruning_is_refused_where_any_point_of_the_space_has_deepspeed(more):
    values = ", ".join(map(str, range(1, 14)))
    wide = "".join(f", train.{name}: [{values}]" for name in more)
    for stages in ("[null, 2]", "[2, null]"):
        definition = space(f"train.zero_stage: {stages}{wide}", "tpe", 2)
        pruned = definition.model_copy(update={"pruning": Pruning()})
        with pytest.raises(ConfigError, match="keeps no checkpoints"):
            checked("x", pruned, [CONFIG])
        checked("x", definition, [CONFIG])


def test_rules_between_three_settings_of_a_huge_space_are_met_at_each_of_their_combinations():
    values = ", ".join(map(str, range(1, 14)))
    wide = [f"train.{name}: [{values}]" for name in ("save_every", "epochs", "max_steps", "lora.r")]
    # Only the last of the combinations is one of 0/1 Adam on one process.
    crossing = (
        "a: [{train.optimizer: adamw, train.zero_stage: 1}, "
        "{train.optimizer: zero_one_adam, train.zero_stage: 0}]"
    )
    with pytest.raises(ConfigError, match=r"needs train\.processes ≥ 2"):
        check_space(space(", ".join([*wide, crossing]), "random", 4), CONFIG)
    two = RunConfig.model_validate({"model": MODEL, "train": {"processes": 2}})
    check_space(space(", ".join([*wide, crossing]), "random", 4), two)


def test_a_huge_space_is_not_refused_for_a_point_that_it_does_not_have():
    values = ", ".join(map(str, range(1, 14)))
    wide = [f"train.{name}: [{values}]" for name in ("save_every", "epochs", "max_steps", "lora.r")]
    # fp16 alone would need zero_stage, and every point of this space has one.
    fits = [*wide, "train.precision: [fp16, bf16]", "train.zero_stage: [1, 2]"]
    check_space(space(", ".join(fits), "random", 4), CONFIG)


def test_more_trials_than_points_are_refused_where_points_are_drawn():
    with pytest.raises(ConfigError, match="trials is 5, but space has 4 points"):
        check_count(space("train.epochs: [1, 2], train.batch_size: [1, 2]", "random", 5))
    with pytest.raises(ConfigError, match="space has 3 points"):
        check_count(space("train.batch_size: {low: 2, high: 4}", "tpe", 4))
    check_count(space("train.lr: {low: 1e-4, high: 1e-3}", "random", 5_000))


def test_whole_numbers_are_told_from_others():
    assert is_integer("train.lora.r")
    assert is_integer("train.max_steps")
    assert not is_integer("train.lr")
    assert not is_integer("train.epochs")


def test_every_setting_of_a_training_may_be_searched_but_what_says_where_it_runs():
    names = settings_of_training()
    assert {"train.lr", "train.lora.targets", "train.max_tokens", "train.schedule"} <= set(names)
    assert not {"train.processes", "train.nodes"} & set(names)


def test_a_configuration_without_validation_gets_some_and_the_sweep_says_so():
    plain = RunConfig.model_validate({"model": MODEL, "prep": {"validation_weeks": 0}})
    bases, notes = checked("grid", defined(), [plain])
    assert bases[MODEL].prep.validation_weeks == 4
    assert "validation_weeks is 0 in the configuration and 4 in this sweep" in notes[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prep": {"origins": 4}}, "prep.origin=1"),
        ({"prep": {"split": "random", "allow_leaky_split": True}}, "use prep.split=calendar"),
        ({"train": {"nodes": 2}}, "train.nodes is 2 .* set train.nodes=1"),
        ({"eval": {"adapter": "adapters/x"}}, "nothing to search"),
    ],
)
def test_a_configuration_that_cannot_be_searched_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        checked("grid", defined(), [RunConfig.model_validate({"model": MODEL, **changes})])


def test_trials_of_a_search_by_labels_leave_answers_to_the_finals():
    answering = RunConfig.model_validate({"model": MODEL, "eval": {"answer_rows": 4}})
    definition = defined().model_copy(update={"objective": "labels"})
    bases, _ = checked("grid", definition, [answering])
    sweep = Sweep.of("grid", definition, bases, {})
    scored = trial_config(sweep, MODEL, {}).eval
    assert (scored.split, scored.answer_rows) == ("validation", None)
    assert bases[MODEL].eval.answer_rows == 4


def test_a_search_by_labels_with_too_few_weeks_is_refused_before_anything_is_written():
    short = RunConfig.model_validate({"model": MODEL, "prep": {"validation_weeks": 1}})
    definition = defined().model_copy(update={"objective": "labels"})
    with pytest.raises(ConfigError, match=r"needs prep\.validation_weeks ≥"):
        checked("grid", definition, [short])


def test_a_walk_forward_is_searched_on_the_origin_that_is_named():
    one = RunConfig.model_validate({"model": MODEL, "prep": {"origins": 4, "origin": 1}})
    assert checked("grid", defined(), [one])[0][MODEL].prep.origin == 1


def test_a_model_is_searched_once_and_a_name_must_suit_jobs():
    with pytest.raises(ConfigError, match="two configurations of tiny-llama31"):
        checked("grid", defined(), [CONFIG, CONFIG])
    with pytest.raises(ConfigError, match="rename its file"):
        checked("My_Grid", defined(), [CONFIG])
