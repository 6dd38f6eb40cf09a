"""Arms of an ablation: prompts with and without a family, paired by what they ask, named by what they lack."""

from __future__ import annotations

import pytest

from fingpt.report.compose import compose
from fingpt.report.inputs import read_runs
from fingpt.report.rows import read_answers
from fingpt.report.sides import obstacles
from fingpt.report.verdict import Verdict

NEWS = "\n[Headline]: Something happened."
FIGURES = "\n[Technical Indicators]:\n\nSMA(20): 1"


def arm(make_world, plan, tail: str, **changes):
    """A run on a data set whose prompts end so; `answer` ends its answers."""
    answer = changes.pop("answer", "")
    world = make_world(tail=tail, answer=answer)
    return world, world.add("llama31", plan(code=tail, **changes))


def test_arms_are_named_by_what_their_prompts_lack(make_world, plan):
    world, whole = arm(make_world, plan, NEWS + FIGURES)
    ids = [whole, *(arm(make_world, plan, tail, seed=2)[1] for tail in (NEWS, FIGURES))]
    titles = [side.title for side in read_runs(world.store, ids).sides]
    assert titles == [
        "Llama-3.1-8B (all parts)",
        "Llama-3.1-8B (without Technical Indicators)",
        "Llama-3.1-8B (without News)",
    ]


def test_runs_of_one_model_whose_prompts_have_the_same_parts_are_named_by_their_run(
    make_world, plan
):
    world, one = arm(make_world, plan, NEWS)
    two = arm(make_world, plan, f"{NEWS} Or so.", seed=2)[1]
    titles = [side.title for side in read_runs(world.store, [one, two]).sides]
    assert titles == [f"Llama-3.1-8B ({run[-8:]})" for run in (one, two)]


def test_answers_of_an_arm_are_those_to_the_same_symbol_and_week(make_world, plan):
    whole, one = arm(make_world, plan, NEWS)
    without, two = arm(make_world, plan, "", seed=2)
    reading = read_runs(whole.store, [one, two])
    first, second = reading.sides
    alone = read_runs(whole.store, [two]).sides[0].tuned
    assert second.tuned.example == first.tuned.example != alone.example
    assert (second.tuned.truth == first.tuned.truth).all()
    assert second.tuned.week == first.tuned.week
    asked = {row.id: (row.symbol, row.period) for row in (*whole.test, *without.test)}
    own = {asked[name]: its for name, its in zip(alone.example, alone.nll, strict=True)}
    moved = zip(second.tuned.example, second.tuned.nll, strict=True)
    assert all(own[asked[name]] == its for name, its in moved)
    stored = read_answers(whole.store, second, reading.inputs)["tuned"]
    assert set(stored) == set(first.tuned.example)


def test_arms_are_compared_and_a_better_one_is_found(make_world, plan):
    whole, one = arm(make_world, plan, NEWS, right=0.8)
    two = arm(make_world, plan, "", seed=2, right=0.5)[1]
    reading = read_runs(whole.store, [one, two])
    report = compose(reading.sides, reading.test, reading.train, reading.inputs)
    (line,) = [line for line in report.table if line.key == "accuracy"]
    assert line.comparisons[0].verdict == Verdict.WORSE  # of the second against the first
    (same,) = [check for check in report.validity if check.name == "Same data"]
    assert same.state == "good"
    assert "what their prompts tell differs (2 data sets)" in same.text


@pytest.mark.parametrize(("answer", "why"), [("", ""), (" Or so.", "the reference answers are")])
def test_likeness_to_other_reference_answers_is_not_compared(make_world, plan, answer, why):
    world, one = arm(make_world, plan, NEWS)
    two = arm(make_world, plan, "", seed=2, answer=answer)[1]
    found = obstacles(*read_runs(world.store, [one, two]).sides)
    assert found.rows == ""
    assert found.against("both", "text", "").startswith(why)
    assert found.against("all", "forecast", "") == ""
    assert bool(found.loss) == bool(why)


def test_rows_of_other_weeks_are_no_arm(make_world, plan):
    world, one = arm(make_world, plan, NEWS)
    fewer = make_world(weeks=9)
    two = fewer.add("llama31", plan(seed=2, code="x"))
    assert obstacles(*read_runs(world.store, [one, two]).sides).rows == "300 and 270 test rows"


def test_two_models_with_two_arms_each_are_all_compared(make_world, plan):
    world, one = arm(make_world, plan, NEWS)
    other = world.add("deepseek-r1", plan(seed=3))
    two = arm(make_world, plan, "", seed=2, answer=" Or so.")[1]
    first, second, third = read_runs(world.store, [one, other, two]).sides
    assert [side.title for side in (first, third)] == [
        "Llama-3.1-8B (all parts)",
        "Llama-3.1-8B (without News)",
    ]
    assert obstacles(first, second).references == ""
    assert obstacles(second, third).references
    assert {obstacles(*pair).rows for pair in ((first, second), (second, third))} == {""}
