"""The table: ties stay ties, planted skill is found, and unlike things are not compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingpt.report.inputs import read_runs
from fingpt.report.lines import line
from fingpt.report.sides import Obstacles, obstacles
from fingpt.report.table import ACCURACY, LOSS, MSE, MSE_READ, base_against_tuned, table
from fingpt.report.verdict import Verdict

TIMED = {"samples_per_second", "tokens_per_second", "train_seconds", "step_seconds", "eval_seconds"}


def verdicts(lines):
    return {line.key: line.comparisons[0].verdict for line in lines}


def test_the_same_model_twice_shows_no_difference_anywhere(world, plan):
    ids = [world.add("llama31", plan(run_seed=1)), world.add("llama31", plan(run_seed=2))]
    lines = table(read_runs(world.store, ids).sides)
    assert len(lines) == 19
    for key, verdict in verdicts(lines).items():
        assert verdict == (Verdict.NOT_COMPARABLE if key in TIMED else Verdict.NO_DIFFERENCE), key


def test_planted_skill_is_better_and_only_against_the_first(world, plan):
    plain = world.add("llama31", plan())
    planted = world.add("deepseek-r1", plan(seed=2, right=0.85, loss=0.6, rouge=0.5))
    found = verdicts(table(read_runs(world.store, [plain, planted]).sides))
    for key in ("accuracy", "mse", "loss", "pros_rouge1", "analysis_rougeL"):
        assert found[key] == Verdict.BETTER, key
    turned = verdicts(table(read_runs(world.store, [planted, plain]).sides))
    assert {turned[key] for key in ("accuracy", "mse", "loss", "pros_rouge1")} == {Verdict.WORSE}


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
        ties += comparison.verdict == Verdict.NO_DIFFERENCE
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
        assert lines[key].verdict == Verdict.NOT_COMPARABLE, key
        assert why in lines[key].why
        assert lines[key].difference is None
    assert lines["loss"].verdict != Verdict.NOT_COMPARABLE
    if "device" in change:
        assert lines["accuracy"].verdict != Verdict.NOT_COMPARABLE


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
    assert {c.verdict for line in scored for c in line.comparisons} == {Verdict.NOT_COMPARABLE}


def test_loss_is_not_compared_over_other_token_counts(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan(seed=2))]
    first, second = read_runs(world.store, ids).sides
    longer = replace(second.tuned, answer_tokens=second.tuned.answer_tokens + 1)
    other = replace(second, arrays={"tuned": longer})
    assert "tokens" in obstacles(first, other).loss
    found = verdicts(table([first, other]))
    assert found["loss"] == Verdict.NOT_COMPARABLE
    assert found["accuracy"] != Verdict.NOT_COMPARABLE


def test_tuning_is_better_than_the_base_where_it_was_planted(world, plan):
    side = read_runs(world.store, [world.add("llama31", plan())]).sides[0]
    found = verdicts(base_against_tuned(side))
    assert (found["loss"], found["parsed"], found["pros_rouge1"]) == (
        Verdict.BETTER,
        Verdict.BETTER,
        Verdict.BETTER,
    )
    alone = read_runs(world.store, [world.add("deepseek-r1", plan(base=False))]).sides[0]
    assert base_against_tuned(alone) == ()


def test_loss_is_per_token_over_all_answers(examples, plan, rows_of):
    rows = rows_of(examples, plan())
    assert line(LOSS, [rows], [], 0).values[0].value == pytest.approx(
        rows.nll.sum() / rows.answer_tokens.sum()
    )
