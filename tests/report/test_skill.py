"""Skill: against every trivial forecast at once, in direction, against the week's mean, and in size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingpt.prompts.examples import LABELS
from fingpt.report.baselines import Baseline, baselines
from fingpt.report.clusters import Weeks
from fingpt.report.headline import skill_sentences
from fingpt.report.lines import Variant
from fingpt.report.measures import relative_direction
from fingpt.report.probabilities import outcome
from fingpt.report.skill import lead, skill, skills
from fingpt.report.verdict import Verdict


@pytest.fixture(scope="module")
def rivals(examples):
    return baselines(sorted(examples, key=lambda row: row.id), examples[:30])


def judged(question, rows, found):
    return skill("m", lead(question, Variant.of([rows], Weeks.of(rows.week)), found))


@pytest.mark.parametrize("question", ["direction", "relative", "size"])
def test_planted_skill_beats_all_trivial_forecasts_and_noise_does_not(
    examples, plan, rows_of, rivals, question
):
    good, bad = (
        judged(question, rows_of(examples, plan(right=right)), rivals) for right in (0.85, 0.5)
    )
    assert good.verdict == Verdict.BETTER
    assert good.gain.low > 0
    assert good.spa > 0.4
    assert bad.verdict == Verdict.NO_SKILL


def test_the_rival_that_is_hardest_to_beat_decides(examples, plan, rows_of, rivals):
    """A constant forecast in a drifting market beats no change and every other rival, but not its own twin."""
    rows = rows_of(examples, plan())
    drifting = replace(rows, truth=np.abs(rows.truth), margin=np.full(rows.n, 0.5))
    truth = drifting.truth
    half = np.full(rows.n, 0.5)
    zero = Baseline("zero", "no change", None, truth**2, half)
    twin = Baseline("up", "always up", half, (truth - 0.5) ** 2, half)
    assert judged("size", drifting, [zero]).verdict == Verdict.BETTER
    found = judged("size", drifting, [zero, twin])
    assert (found.verdict, found.rival, found.gain.value) == (Verdict.NO_SKILL, "always up", 0)


@pytest.mark.parametrize("question", ["direction", "relative"])
def test_who_answers_only_what_is_sure_shows_no_skill(examples, plan, rows_of, rivals, question):
    """A silent row is a wrong one, also against the week's mean, where a tie would count half."""
    rows = rows_of(examples, plan(right=1.0, unread=0.0))
    said = np.arange(rows.n) % 2 == 0
    quiet = replace(
        rows,
        valid=said.astype(float),
        direction=np.where(said, rows.direction, np.nan),
        margin=np.where(said, rows.margin, np.nan),
    )
    assert judged(question, quiet, rivals).verdict == Verdict.NO_SKILL


def test_a_model_that_a_trivial_forecast_beats_is_told_so(examples, plan, rows_of, rivals):
    rows = rows_of(examples, plan())
    wild = replace(rows, margin=rows.margin * 4)
    found = judged("size", wild, rivals)
    assert found.spa < 0.01
    assert found.gain.high < 0


def test_few_weeks_and_leaks_have_no_verdict(examples, plan, rows_of, rivals):
    few = [row for row in examples if row.start.isoformat() < "2030-02-01"]
    rows = rows_of(few, plan(right=0.9))
    found = judged("direction", rows, baselines(sorted(few, key=lambda row: row.id), []))
    assert (found.verdict, found.spa) == (Verdict.NOT_COMPARABLE, None)
    assert found.why == "4 test weeks; an interval needs 8"
    whole = rows_of(examples, plan(right=0.9))
    variant = Variant.of([whole], Weeks.of(whole.week))
    told = skills([("m", variant, ""), ("n", variant, "leak (x)")], rivals)
    assert [its.verdict for its in told] == [Verdict.BETTER] * 3 + [Verdict.NOT_COMPARABLE] * 3
    assert {its.why for its in told} == {"", "leak (x)"}
    assert [its.level for its in told] == pytest.approx([1 - 0.05 / 6] * 6)


def test_the_weeks_mean_is_taken_out_of_forecast_and_truth():
    weeks = ["a", "a", "a", "b", "b"]
    truth = np.array([1.0, 2.0, 6.0, -3.0, -1.0])  # means 3 and -2
    forecast = np.array([0.0, 5.0, 10.0, 2.0, np.nan])  # means 5 and 1; unread is 0
    assert relative_direction(forecast, truth, weeks).tolist() == [1, 0.5, 1, 0, 0]
    assert relative_direction(np.full(5, 0.5), truth, weeks).tolist() == [0.5] * 5


def test_probabilities_are_held_against_the_shares_of_the_training_labels(examples, plan, rows_of):
    rows = rows_of(examples, plan())
    found = baselines(sorted(examples, key=lambda row: row.id), examples[:90])
    logp = np.zeros((rows.n, len(LABELS)))
    knowing = logp.copy()
    knowing[np.arange(rows.n), outcome(rows).astype(int)] = 1.0
    for scores, verdict in ((logp, Verdict.NO_SKILL), (knowing, Verdict.BETTER)):
        variant = Variant.of([replace(rows, label_logp=scores)], Weeks.of(rows.week))
        told = {its.question: its for its in skills([("m", variant, "")], found)}
        assert len(told) == 4
        assert told["probability"].verdict == verdict
        assert told["probability"].rivals == 2
    assert [its.question for its in skills([("m", Variant.of([rows], Weeks.of(rows.week)), "")], found)] == [
        "direction", "relative", "size"
    ]  # fmt: skip


def test_each_model_has_a_short_card_of_its_own(examples, plan, rows_of, rivals):
    weeks = Weeks.of(rows_of(examples, plan()).week)
    found = skills(
        [
            ("Good", Variant.of([rows_of(examples, plan(right=0.85))], weeks), ""),
            ("Bad", Variant.of([rows_of(examples, plan(right=0.5))], weeks), ""),
            ("Told", Variant.of([rows_of(examples, plan())], weeks), "its rows leak"),
        ],
        rivals,
    )
    good, bad, told = skill_sentences(found)
    assert (good.question, good.verdict) == ("Skill of Good", Verdict.BETTER)
    beaten = "direction and direction against the week's mean"
    assert good.text.startswith(f"Beats every trivial forecast in {beaten}. In direction the")
    assert (bad.question, bad.verdict) == ("Skill of Bad", Verdict.NO_SKILL)
    assert bad.text.startswith("Beats every trivial forecast in none of 3 questions. In direction")
    assert (told.verdict, told.text) == (
        Verdict.NOT_COMPARABLE,
        "Nothing is said about skill: its rows leak.",
    )
    for card in (good, bad):
        assert max(map(len, card.text.split(". "))) < 200
        assert len(card.text) < 360
