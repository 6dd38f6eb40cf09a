"""Verdict words: ties stay ties, planted skill is found, and unlike things are not compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingpt.report.baselines import baselines, best_direction
from fingpt.report.inputs import read_runs
from fingpt.report.metrics import ACCURACY, LOSS, MSE, MSE_READ
from fingpt.report.sides import Obstacles, obstacles, phases
from fingpt.report.stats import Estimate
from fingpt.report.table import base_against_tuned, table
from fingpt.report.verdict import line, skill, word

TIMED = {"samples_per_second", "tokens_per_second", "train_seconds", "step_seconds", "eval_seconds"}


def estimate(low, high):
    return Estimate(value=(low + high) / 2, low=low, high=high, n=300, weeks=10)


def verdicts(lines):
    return {line.key: line.comparisons[0].verdict for line in lines}


def test_words_need_an_interval_without_zero_and_know_which_way_is_good():
    assert word(estimate(0.1, 0.2), True)[0] == "better"
    assert word(estimate(0.1, 0.2), False)[0] == "worse"
    assert word(estimate(-0.2, -0.1), False)[0] == "better"
    assert word(estimate(-0.1, 0.2), True)[0] == "no detectable difference"
    assert word(estimate(0, 0), True)[0] == "no detectable difference"
    assert word(Estimate(value=1.0, n=9, weeks=3), True) == (
        "not comparable",
        "3 test weeks, an interval needs 6",
    )


def test_the_same_model_twice_shows_no_difference_anywhere(world, plan):
    ids = [world.add("llama31", plan(run_seed=1)), world.add("llama31", plan(run_seed=2))]
    lines = table(read_runs(world.store, ids).sides)
    assert len(lines) == 19
    for key, verdict in verdicts(lines).items():
        assert verdict == ("not comparable" if key in TIMED else "no detectable difference"), key


def test_planted_skill_is_better_and_only_against_the_first(world, plan):
    plain = world.add("llama31", plan())
    planted = world.add("deepseek-r1", plan(seed=2, right=0.85, loss=0.6, rouge=0.5))
    found = verdicts(table(read_runs(world.store, [plain, planted]).sides))
    for key in ("accuracy", "mse", "loss", "pros_rouge1", "analysis_rougeL"):
        assert found[key] == "better", key
    turned = verdicts(table(read_runs(world.store, [planted, plain]).sides))
    assert {turned[key] for key in ("accuracy", "mse", "loss", "pros_rouge1")} == {"worse"}


def test_pure_noise_is_called_a_tie_in_90_to_100_of_100_reports(examples, plan, rows_of):
    base = rows_of(examples, plan())
    rng = np.random.default_rng(11)
    ties = 0
    for _ in range(100):
        # Rows of a week err together: the case in which a row-wise interval would find differences that are not there.
        rows = []
        for _ in range(2):
            week_luck = {week: rng.normal(0, 0.1) for week in sorted(set(base.week))}
            right = rng.random(base.n) < np.array([0.5 + week_luck[week] for week in base.week])
            rows.append(replace(base, direction=np.where(right, 1, -1) * np.sign(base.truth)))
        comparison = line(ACCURACY, rows, [Obstacles()], seed=0).comparisons[0]
        ties += comparison.verdict == "no detectable difference"
    assert 90 <= ties <= 100


def test_unread_answers_stay_in_the_headline_denominator(examples, plan, rows_of):
    rows = rows_of(examples, plan(unread=0.5))
    whole, read = (line(metric, [rows], [], 0).values[0] for metric in (MSE, MSE_READ))
    assert (whole.n, read.n) == (300, int(rows.parsed.sum()))
    unread = rows.parsed == 0
    assert (rows.squared_error[unread] == rows.truth[unread] ** 2).all()
    assert rows.correct[unread].sum() == 0


@pytest.mark.parametrize(
    ("change", "keys", "why"),
    [
        (
            {"max_new_tokens": 256},
            {"accuracy", "mse", "pros_rouge1", "samples_per_second"},
            "max_new_tokens",
        ),
        (
            {"device": "GPU B"},
            {"samples_per_second", "tokens_per_second", "train_seconds"},
            "GPU B",
        ),
    ],
)
def test_decoding_and_hardware_bar_what_they_change_and_nothing_else(
    world, plan, change, keys, why
):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan(seed=2, **change))]
    lines = {line.key: line.comparisons[0] for line in table(read_runs(world.store, ids).sides)}
    for key in keys:
        assert lines[key].verdict == "not comparable", key
        assert why in lines[key].why
        assert lines[key].difference is None
    assert lines["loss"].verdict != "not comparable"
    if "device" in change:
        assert lines["accuracy"].verdict != "not comparable"


def test_batch_size_bars_speed_alone_and_memory_is_no_hardware(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan())]
    first, second = read_runs(world.store, ids).sides
    decoding = {**second.evaluation.decoding, "batch_size": 4}
    smaller = second.evaluation.model_copy(update={"decoding": decoding})
    found = obstacles(first, replace(second, evaluation=smaller))
    assert found.decoding == ""
    assert "batch_size" in found.speed
    hardware = {**second.evaluation.hardware, "peak_memory_bytes": "1"}
    hungrier = second.evaluation.model_copy(update={"hardware": hardware})
    assert obstacles(first, replace(second, evaluation=hungrier)).speed == ""


def test_other_rows_or_another_data_set_bar_every_score(make_world, plan):
    first, second = make_world(weeks=10, symbols=30), make_world(weeks=10, symbols=20)
    twin = make_world(weeks=10, symbols=30, leaky=True)
    ids = [
        first.add("llama31", plan()),
        second.add("deepseek-r1", plan()),
        twin.add("tiny-llama31", plan()),
    ]
    sides = read_runs(first.store, ids).sides
    assert obstacles(sides[0], sides[1]).rows == "300 and 200 test rows"
    assert obstacles(sides[0], sides[2]).rows.startswith("different data sets")
    scored = [line for line in table(sides) if line.key not in TIMED]
    assert {c.verdict for line in scored for c in line.comparisons} == {"not comparable"}


def test_loss_is_not_compared_over_other_token_counts(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan(seed=2))]
    first, second = read_runs(world.store, ids).sides
    longer = replace(second.tuned, answer_tokens=second.tuned.answer_tokens + 1)
    other = replace(second, rows={"tuned": longer})
    assert "tokens" in obstacles(first, other).loss
    found = verdicts(table([first, other]))
    assert found["loss"] == "not comparable"
    assert found["accuracy"] != "not comparable"


def test_a_resumed_training_is_not_timed_against_a_whole_one(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan())]
    first, second = read_runs(world.store, ids).sides
    resumed = replace(second, adapter=second.adapter.model_copy(update={"resumed": 20}))
    assert "resumed" in obstacles(first, resumed).training


def test_phases_do_not_overlap_and_add_up():
    timed = {"load": 5.0, "train": 80.0, "steps": 60.0, "checkpoints": 5.0, "total": 100.0}
    found = phases(timed)
    assert found == {"load": 5, "steps": 60, "checkpoints": 5, "held-out loss": 15, "other": 15}
    assert sum(found.values()) == timed["total"]


def test_tuning_is_better_than_the_base_where_it_was_planted(world, plan):
    side = read_runs(world.store, [world.add("llama31", plan())]).sides[0]
    found = verdicts(base_against_tuned(side))
    assert (found["loss"], found["parsed"], found["pros_rouge1"]) == ("better", "better", "better")
    alone = read_runs(world.store, [world.add("deepseek-r1", plan(base=False))]).sides[0]
    assert base_against_tuned(alone) == ()


def test_skill_is_against_the_best_trivial_forecast(examples, plan, rows_of):
    skilled, blind = rows_of(examples, plan(right=0.75)), rows_of(examples, plan())
    ordered = sorted(examples, key=lambda row: row.id)
    found = baselines(ordered, [])
    zero = next(b for b in found if b.key == "zero")
    good, bad = (skill("m", rows, zero, best_direction(found)) for rows in (skilled, blind))
    assert good.accuracy_verdict == "better"
    assert bad.accuracy_verdict == "no detectable difference"
    assert bad.mse_skill.value == pytest.approx(
        1 - blind.squared_error.mean() / zero.squared_error.mean()
    )
    assert bad.mse_skill.low < bad.mse_skill.value < bad.mse_skill.high


def test_loss_is_per_token_over_all_answers(examples, plan, rows_of):
    rows = rows_of(examples, plan())
    assert line(LOSS, [rows], [], 0).values[0].value == pytest.approx(
        rows.nll.sum() / rows.answer_tokens.sum()
    )
