"""The table: ties stay ties, planted skill is found, silence is no skill, and unlike things are not compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from fingpt.config import CompareConfig
from fingpt.metrics import anchored
from fingpt.prompts.examples import LABELS
from fingpt.report.clusters import Weeks
from fingpt.report.inputs import read_runs
from fingpt.report.measures import LOSS, MSE, MSE_READ
from fingpt.report.probabilities import outcome
from fingpt.report.sides import obstacles
from fingpt.report.table import tables
from fingpt.report.verdict import Verdict

TIMED = {"samples_per_second", "tokens_per_second", "train_seconds", "step_seconds", "eval_seconds"}


def table(sides):
    return tables(sides).lines


def verdicts(lines):
    return {line.key: line.comparisons[0].verdict for line in lines}


def pair(world, plan, **second):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan(**{"seed": 2, **second}))]
    return read_runs(world.store, ids).sides


def test_the_same_model_twice_is_equivalent_in_the_primary_and_different_nowhere(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan())]
    lines = table(read_runs(world.store, ids).sides)
    assert len(lines) == 21
    for key, verdict in verdicts(lines).items():
        wanted = Verdict.NOT_COMPARABLE if key in TIMED else Verdict.NO_DIFFERENCE
        other = {"accuracy": Verdict.EQUIVALENT, "parsed": Verdict.NOTE}
        assert verdict == other.get(key, wanted), key


def test_planted_skill_is_better_whoever_is_named_first(world, plan):
    sides = pair(world, plan, right=0.85, loss=0.6, rouge=0.5)
    found = verdicts(table(sides))
    for key in ("accuracy", "mse", "loss", "pros_rouge1", "analysis_rougeL"):
        assert found[key] == Verdict.BETTER, key
    turned = verdicts(table(sides[::-1]))
    assert {turned[key] for key in ("accuracy", "mse", "loss", "pros_rouge1")} == {Verdict.WORSE}


def test_turning_two_models_round_turns_every_difference_round_and_changes_no_interval(world, plan):
    sides = pair(world, plan, right=0.6)
    for line, turned in zip(table(sides), table(sides[::-1]), strict=True):
        one, other = line.comparisons[0].difference, turned.comparisons[0].difference
        if one is None or one.low is None:
            assert other is None or other.low is None, line.key
            continue
        assert (one.value, one.low) == pytest.approx((-other.value, -other.high)), line.key


def test_one_line_is_primary_and_its_level_is_its_own(world, plan):
    lines = table(pair(world, plan))
    assert [line.key for line in lines if line.primary] == ["accuracy"]
    levels = {line.key: line.comparisons[0].level for line in lines}
    assert levels["accuracy"] == pytest.approx(0.96)
    assert levels["mse"] == levels["loss"] == pytest.approx(0.99)


@pytest.mark.parametrize(("primary", "key"), [("loss", "loss"), ("size", "mse")])
def test_the_configuration_chooses_the_primary_question_and_its_margin(world, plan, primary, key):
    ask = CompareConfig(primary=primary, margin=5.0)
    sides = [replace(side, compare=ask) for side in pair(world, plan)]
    made = tables(sides)
    assert (made.primary, made.margin) == (key, 5.0)
    assert verdicts(made.lines)[key] == Verdict.EQUIVALENT
    other = [sides[0], replace(sides[1], compare=CompareConfig())]
    assert "primary questions" in obstacles(*other).rows


def test_skill_of_a_secondary_line_must_outlast_the_correction(world, plan):
    """A gap in loss that its own interval would show, and twenty lines together do not."""
    sides = pair(world, plan, loss=0.78)
    alone = tables(
        [replace(side, compare=CompareConfig(primary="loss", margin=1e-6)) for side in sides]
    )
    together = tables(sides)
    assert verdicts(alone.lines)["loss"] == Verdict.BETTER
    assert verdicts(together.lines)["loss"] == Verdict.NO_DIFFERENCE


def test_squared_errors_have_diebold_and_mariano_beside_the_interval(world, plan):
    notes = {line.key: line.comparisons[0].note for line in table(pair(world, plan))}
    assert notes["mse"].startswith("Diebold–Mariano p ")
    assert notes["accuracy"] == ""


@pytest.mark.parametrize("weeks", [7, 8])
def test_seven_weeks_have_no_verdict_and_eight_have(make_world, plan, weeks):
    line = next(line for line in table(pair(make_world(weeks=weeks), plan)) if line.primary)
    few = line.comparisons[0].phrase.endswith(": 7 test weeks; an interval needs 8")
    assert few == (weeks == 7)
    assert (line.comparisons[0].verdict == Verdict.NOT_COMPARABLE) == few


def test_overlapping_windows_are_drawn_in_blocks_and_ten_weeks_of_them_are_too_few(world, plan):
    sides = pair(world, plan)
    days = [date.fromisoformat(day) for day in sides[0].tuned.week]
    moved = tuple((day + timedelta(days=index % 5)).isoformat() for index, day in enumerate(days))
    spread = [replace(side, arrays={"tuned": replace(side.tuned, week=moved)}) for side in sides]
    made = tables(spread)
    assert made.block == 2
    primary = next(line for line in made.lines if line.primary)
    assert primary.comparisons[0].why == (
        "10 test weeks drawn 2 at a time, since they overlap or correlate; an interval needs 8"
    )


SILENT = {"unread": 0.12}


def test_where_one_model_is_silent_rows_that_both_answered_are_compared_with_their_number(
    world, plan
):
    sides = pair(world, plan, **SILENT)
    lines = {line.key: line for line in table(sides)}
    for key in ("accuracy", "mse"):
        why = lines[key].comparisons[0].phrase
        assert why.startswith(f"{Verdict.NOT_COMPARABLE.label}: "), key
        assert "% of the answers can be read" in why
    both = int((sides[0].tuned.valid * sides[1].tuned.valid).sum())
    assert lines["accuracy_read"].primary
    for key in ("accuracy_read", "mse_read", "pros_rouge1"):
        found = lines[key].comparisons[0]
        assert found.difference.n == both, key
        assert [value.n for value in lines[key].values] == [both, both]
        assert found.verdict == Verdict.NO_DIFFERENCE
    assert lines["loss"].comparisons[0].verdict != Verdict.NOT_COMPARABLE
    assert [round(value.value, 2) for value in lines["parsed"].values] == pytest.approx(
        [side.tuned.valid.mean() for side in sides], abs=0.005
    )


def test_a_base_that_says_almost_nothing_is_no_better_in_size(world, plan):
    """Three answers of 300 with a forecast of 0 elsewhere: the smallest squared error, and no skill."""
    run = world.add("llama31", plan())
    side = read_runs(world.store, [run]).sides[0]
    few = np.zeros(300)
    few[[10, 100, 200]] = 1
    silent = replace(
        side.tuned,
        valid=few,
        parsed=few,
        direction=np.where(few > 0, side.tuned.direction, np.nan),
        margin=np.where(few > 0, side.tuned.truth, np.nan),
    )
    gained = tables([replace(side, arrays={"base": silent, "tuned": side.tuned})]).own[0]
    found = {line.key: line.comparisons[0] for line in gained}
    assert {found[key].verdict for key in ("mse", "mse_read", "accuracy")} == {
        Verdict.NOT_COMPARABLE
    }
    assert found["mse_read"].why.endswith("test weeks; an interval needs 8")
    assert found["parsed"].verdict == Verdict.NOTE


def test_unread_answers_stay_in_the_headline_denominator(examples, plan, rows_of):
    rows = rows_of(examples, plan(unread=0.5))
    whole, read = MSE.of(rows), MSE_READ.of(rows)
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
    barred = {
        c.verdict for line in scored for c in line.comparisons if c.verdict is not Verdict.NOTE
    }
    assert barred == {Verdict.NOT_COMPARABLE}


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
    found = verdicts(tables([side]).own[0])
    assert (found["loss"], found["pros_rouge1"]) == (Verdict.BETTER, Verdict.BETTER)
    alone = read_runs(world.store, [world.add("deepseek-r1", plan(base=False))]).sides[0]
    assert tables([alone]).own == ((),)


def test_loss_is_per_token_over_all_answers(examples, plan, rows_of):
    rows = rows_of(examples, plan())
    assert LOSS.of(rows).value == pytest.approx(rows.nll.sum() / rows.answer_tokens.sum())


def test_several_seeds_widen_what_their_spread_makes_uncertain(world, plan):
    """Seeds that differ by more than the models do: with one each there is a winner, with three there is none."""
    sides = pair(world, plan, loss=0.78)
    ask = CompareConfig(primary="loss", margin=1e-6)
    sides = [replace(side, compare=ask) for side in sides]
    assert verdicts(tables(sides).lines)["loss"] == Verdict.BETTER

    def other(side, gap):
        rows = side.tuned
        return {"tuned": replace(rows, nll=rows.nll + gap * rows.answer_tokens)}

    seeded = [replace(side, others=(other(side, 0.03), other(side, -0.03))) for side in sides]
    made = tables(seeded)
    line = next(line for line in made.lines if line.primary)
    assert line.comparisons[0].verdict == Verdict.NO_DIFFERENCE
    assert line.values[0].high - line.values[0].low > 0.05


def test_three_models_are_compared_pair_by_pair_all_together(world, plan):
    ids = [
        world.add("llama31", plan()),
        world.add("deepseek-r1", plan(seed=2)),
        world.add("tiny-llama31", plan(seed=3, right=0.9)),
    ]
    line = next(line for line in table(read_runs(world.store, ids).sides) if line.primary)
    assert [(c.first, c.second) for c in line.comparisons] == [(0, 1), (0, 2), (1, 2)]
    words = [c.verdict for c in line.comparisons]
    assert words == [Verdict.NO_DIFFERENCE, Verdict.BETTER, Verdict.BETTER]


def test_weeks_that_do_not_touch_are_drawn_alone():
    starts = [(date(2030, 1, 6) + timedelta(days=7 * week)).isoformat() for week in range(9)]
    assert Weeks.of(starts).block == 1


def with_labels(side, seed, signal):
    """The side with label probabilities that know the outcome by `signal` nats."""
    rng = np.random.default_rng(seed)
    logp = rng.normal(0, 0.5, (side.tuned.n, len(LABELS)))
    logp[np.arange(side.tuned.n), outcome(side.tuned).astype(int)] += signal
    return replace(side, arrays={"tuned": replace(side.tuned, label_logp=logp)})


def test_where_both_have_label_probabilities_their_log_loss_is_the_primary_question(world, plan):
    first, second = pair(world, plan, unread=0.2, base=False)
    knowing = [with_labels(first, 1, 0.0), with_labels(second, 2, 1.0)]
    made = tables(knowing)
    assert made.primary == "label_log_loss"
    line = next(line for line in made.lines if line.primary)
    assert line.comparisons[0].verdict == Verdict.BETTER  # no answer has to be read for it
    assert tables([knowing[0], second]).primary == "accuracy_read"
    found = verdicts(made.lines)
    assert found["rank_ic"] == Verdict.BETTER
    blind = tables([with_labels(first, 1, 0.0), with_labels(second, 2, 0.0)])
    assert not any(v.decisive for v in verdicts(blind.lines).values())


def test_how_long_answers_are_and_whether_they_were_cut_off_names_no_winner(world, plan):
    def telling(side, words, share):
        n = side.tuned.n
        columns = {"answer_words": np.full(n, words), "truncated": np.full(n, words / 1000)}
        numbers = {"numbers": np.full(n, 10.0), "numbers_in_prompt": np.full(n, share)}
        return replace(side, arrays={"tuned": replace(side.tuned, **columns, **numbers)})

    first, second = pair(world, plan)
    found = verdicts(table([telling(first, 200.0, 5.0), telling(second, 300.0, 9.0)]))
    assert (found["answer_words"], found["truncated"]) == (Verdict.NOTE, Verdict.NOTE)
    assert found["faithfulness"] == Verdict.BETTER


def test_probabilities_that_know_nothing_are_alike_however_sure_they_are(pair):
    """One model shouts noise, one knows how common labels are: on top of the shares neither adds anything."""
    rng = np.random.default_rng(4)
    outcomes = outcome(pair.sides[0].tuned).astype(int)
    shares = (np.bincount(outcomes, minlength=12) + 1) / (len(outcomes) + 12)
    sides = []
    for side, loud, habit, heat in zip(
        pair.sides, (3.0, 0.1), (np.zeros(12), np.log(shares)), (100.0, 100.0), strict=True
    ):
        logp = habit + loud * rng.normal(size=(side.tuned.n, 12))
        one = replace(
            side.tuned,
            label_logp=logp,
            calibrated_logp=logp / heat,
            anchored_logp=anchored(logp, shares, heat, habit),
        )
        sides.append(replace(side, arrays={"tuned": one}))
    made = tables(sides)
    lines = {line.key: line for line in made.lines}
    assert made.primary == "label_log_loss_anchored"
    assert lines["label_log_loss"].comparisons[0].verdict is Verdict.BETTER
    added = lines["label_log_loss_anchored"]
    assert added.primary
    assert not added.comparisons[0].verdict.decisive
    assert lines["label_log_loss_calibrated"].values[0].value == pytest.approx(np.log(12), abs=0.05)
