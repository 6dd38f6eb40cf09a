"""What the report says of a sweep, from its records alone."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from fingpt.config import load_config, split_words
from fingpt.runs.remedy import CONFIGS
from fingpt.runs.run import Stage
from fingpt.runs.run import complete_key as stage_complete_key
from fingpt.storage.deleting import open_deleter
from fingpt.sweeps.report import sentences
from fingpt.sweeps.report.compose import compose
from fingpt.sweeps.report.lead import Word, judge
from fingpt.sweeps.report.reading import read_sweeps
from fingpt.sweeps.sweep import with_settings
from tests.sweeps.invented import InventedSweep, Plan, grid

TINY = ("tiny-llama31",)


def composed(store, *plans):
    ids = [InventedSweep(store, plan).sweep.id for plan in plans]
    return compose(read_sweeps(store, ids))


def small(**changes):
    definition = grid(**changes.pop("definition", {}))
    return Plan(definition=definition, models=TINY, name="tiny", device="cpu", **changes)


def test_the_answer_is_of_the_finals_and_not_of_the_winning_trial(report):
    study = report.studies[0]
    sides = [
        [final.value for final in study.finals if final.setting == setting]
        for setting in ("chosen", "default")
    ]
    assert study.lead == judge(*sides, comparisons=2)
    assert study.word is Word.BETTER
    assert study.lead.chosen_mean == pytest.approx(np.mean(sides[0]))
    assert study.lead.chosen_mean != study.chosen.value
    assert report.title.startswith(
        "Llama-3.1-8B: the chosen setting is better than the default by 0.0"
    )
    assert "times the noise between seeds" in study.sentence
    assert any("trained anew the same setting is" in text for text in study.told)


def test_a_default_that_no_trial_could_have_is_said_to_lie_outside(report):
    study = report.studies[0]
    assert not any("outside of the space" in text for text in sentences.told(study))
    apart = {**study.default_settings, "train.lr": 0.5}
    told = sentences.told(study.model_copy(update={"default_settings": apart}))
    assert any("outside of the space (train.lr 0.5), so no trial had it." in t for t in told)


def test_what_was_spent_is_said_to_be_what_was_counted(report):
    (text,) = (text for text in report.method if "not counted" in text)
    assert text.startswith("GPU-seconds are those of trainings, all attempts")
    assert "times the GPUs that it held" in text
    (seconds,) = (text for text in sentences.method(1, "seconds") if "not counted" in text)
    assert "GPU" not in seconds


def test_trials_are_counted_by_how_they_ended_and_none_twice(report, invented):
    for study in report.studies:
        assert sum(study.counts.values()) == len(study.trials) == 40
        assert study.counts["under way"] == 0
        assert min(study.counts["pruned"], study.counts["failed"], study.counts["complete"]) > 0
        early = study.counts["pruned"] + study.counts["failed"]
        assert sum(study.reasons.values()) == early
        for state in ("complete", "pruned", "failed"):
            mine = [t.gpu_seconds for t in study.trials if t.state == state]
            assert study.spent[state] == pytest.approx(sum(mine))
        assert study.spent["finals"] > 0


def test_reasons_that_differ_in_figures_alone_are_one(report):
    reasons = report.studies[0].reasons
    diverged = [text for text in reasons if "diverged" in text]
    assert diverged == ["failed: The training diverged: the loss of step … is nan; lower train.lr"]


def test_the_best_come_first_and_their_spread_is_that_of_five(report):
    study = report.studies[0]
    values = sorted(t.value for t in study.trials if t.state == "complete")
    known = {t.number: t.value for t in study.trials}
    assert [known[number] for number in study.best] == values[:10]
    assert study.spread == pytest.approx(values[4] - values[0])
    assert study.best[0] == study.chosen.trial


def test_importance_needs_twenty_complete_trials_and_says_how_many_are_missing(report):
    few, many = report.studies
    assert (few.importance, few.counts["complete"] < 20) == ((), True)
    missing = 20 - few.counts["complete"]
    assert f"{missing} are missing" in few.without_importance
    assert sum(one.share for one in many.importance) == pytest.approx(1)
    assert {one.parameter for one in many.importance} == set(many.parameters)
    assert any("importance of parameters is not drawn" in text for text in report.skipped)


def test_a_lead_within_the_noise_leaves_the_default_as_good(store):
    report = composed(store, small(noise=0.05))
    study = report.studies[0]
    assert study.word is Word.AS_GOOD
    assert study.use == ""
    assert "the default is as good as the chosen setting; a" in report.title
    assert "within the noise between seeds" in report.title
    assert "better than the default by" not in report.title


def test_a_search_that_chose_the_default_says_so_and_lists_its_finals_once(store):
    report = composed(store, small())
    study = report.studies[0]
    assert (study.word, study.lead) == (Word.SAME, None)
    assert [final.setting for final in study.finals] == ["default"] * 3
    assert "chose the default setting itself" in report.title


def test_without_a_gpu_seconds_are_told_and_a_point_met_twice_is_paid_once(store):
    report = composed(store, small())
    study = report.studies[0]
    assert report.unit == "seconds"
    assert len({t.run for t in study.trials}) < len(study.trials)
    once = {t.run: t.seconds for t in reversed(study.trials)}
    assert study.spent["complete"] == pytest.approx(sum(once.values()))


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (small(ended=0), "no trial is complete yet, 0 of 9 have ended"),
        (small(ended=5), "5 of 9 trials have ended, the best so far at 0.8"),
        (small(default_lr=9e-5, finals=5, complete=False), "5 of 6 finals are trained"),
    ],
)
def test_a_sweep_under_way_is_told_as_far_as_it_is(store, plan, words):
    report = composed(store, plan)
    assert report.running
    assert words in report.title
    assert report.studies[0].lead is None
    assert all(final.test_loss is None for final in report.studies[0].finals)
    assert not any("On the test" in text for text in report.studies[0].told)


def test_a_final_that_failed_is_left_out_and_told(store):
    plan = small(default_lr=9e-5, failed_final=44)
    study = composed(store, plan).studies[0]
    assert study.lead.chosen_seeds == 2
    assert study.lead.default_seeds == 3
    told = "1 of 6 finals failed and are left out (chosen, seed 44: The training diverged)."
    assert told in study.told


def test_nothing_is_judged_once_a_final_is_no_longer_in_the_store(store):
    made = InventedSweep(store, small(default_lr=9e-5))
    before = compose(read_sweeps(store, [made.sweep.id])).studies[0]
    assert before.lead is not None
    lost = next(final.run for final in before.finals if final.setting == "chosen")
    open_deleter(store).delete(stage_complete_key(lost, Stage.EVAL))
    report = compose(read_sweeps(store, [made.sweep.id]))
    assert (report.studies[0].lead, report.studies[0].word) == (None, Word.UNKNOWN)
    assert any(lost in note and "no longer in the store" in note for note in report.notes)
    assert all(final.test_loss is None for final in report.studies[0].finals)


def test_the_command_for_the_chosen_setting_has_all_else_of_the_sweep_too(invented, report):
    for study in report.studies:
        _, _, *words = shlex.split(study.use)
        told = {name: value for name, _, value in (word.partition("=") for word in words)}
        settings = [*split_words(told["SET"], "SET"), f"prep.source={told['DATA']}"]
        config = load_config(CONFIGS / f"{told['MODEL']}.yaml", settings)
        base = invented.sweep.bases[study.model]
        assert config == with_settings(base, study.chosen.settings)


def test_equal_effort_is_said_and_unequal_effort_in_what(report, store):
    assert "Effort was unequal in GPU-seconds (Llama-3.1-8B" in report.effort
    other = Plan(definition=grid(), models=("tiny-deepseek-r1",), name="other", device="cpu")
    same = composed(store, small(), other)
    assert same.effort.startswith("Equal effort: 9 trials each in the same space")
    fewer = Plan(
        definition=grid(trials=4, space={"train.lr": [1e-4, 2e-4]}),
        models=("tiny-deepseek-r1",),
        name="fewer",
        device="cpu",
    )
    text = composed(store, small(definition={"seed": 8}), fewer).effort
    assert "the number of trials (tiny Llama-3.1 9, tiny DeepSeek-R1 4)" in text
    assert "the space or the way it was searched" in text


def test_two_sweeps_of_one_model_are_told_apart(store):
    report = composed(store, small(), small(definition={"seed": 7}))
    assert len({study.title for study in report.studies}) == 2
    assert all(study.sweep in study.title for study in report.studies)


def test_labels_are_judged_by_the_validation_figure_of_the_finals(store):
    report = composed(store, small(definition={"objective": "labels"}, default_lr=9e-5))
    assert report.objective.startswith("log-loss of the twelve labels")
    assert all(final.value > 2.3 for final in report.studies[0].finals)
    (test,) = [text for text in report.studies[0].told if text.startswith("On the test")]
    assert "loss of the answers" in test, "another figure than the value"


def test_the_test_s_directions_are_told_with_the_answers_that_could_be_read(report):
    study = report.studies[0]
    assert {(final.test_answers, final.test_read) for final in study.finals} == {(1, 1.0)}
    some = [
        final.model_copy(update={"test_answers": 90, "test_read": 0.1}) for final in study.finals
    ]
    (test,) = [
        text
        for text in sentences.told(study.model_copy(update={"finals": tuple(some)}))
        if text.startswith("On the test")
    ]
    assert "of 90 answers, of which 10.0 % and 10.0 % can be read." in test


def test_the_same_records_give_the_same_report(invented, report):
    assert compose(read_sweeps(invented.store, [invented.sweep.id])) == report


def test_effort_is_compared_once_all_searches_are_over(report):
    first, second = report.studies
    early = {**second.counts, "complete": 1, "failed": 0, "pruned": 0}
    searching = second.model_copy(update={"chosen": None, "counts": early})
    said = sentences.effort((first, searching), "seconds")
    assert said == f"The search of {second.title} is under way, so effort cannot be compared yet."
    assert sentences.effort((first, second), "seconds").startswith("Eff")
