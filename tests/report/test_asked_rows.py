"""Rows that were never asked for an answer in prose (`eval.answer_rows`): no mistakes, no silence, but left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fingpt.prompts.examples import LABELS
from fingpt.report.charts_rows import outcome_maps
from fingpt.report.chosen import Texts
from fingpt.report.compose import compose
from fingpt.report.document import NOT_READ
from fingpt.report.inputs import read_runs
from fingpt.report.measures import relative_direction
from fingpt.report.probabilities import outcome
from fingpt.report.render import render
from fingpt.report.rows import NOT_ASKED, row_entries
from fingpt.report.verdict import Verdict

EACH = 3
"""One row in three was asked."""


def partly_asked(scores):
    """The same answers, had only every third row of each week been asked for one."""
    rank = dict.fromkeys(scores.week, 0)
    asked = np.zeros(scores.n)
    for place, week in enumerate(scores.week):
        asked[place] = rank[week] % EACH == 0
        rank[week] += 1
    unknown = np.where(asked, 1.0, np.nan)
    return replace(
        scores,
        new_tokens=scores.new_tokens * unknown,
        seconds=scores.seconds * unknown,
        parsed=scores.parsed * asked,
        valid=scores.valid * asked,
        direction=scores.direction * unknown,
        margin=scores.margin * unknown,
        rouge={name: column * unknown for name, column in scores.rouge.items()},
    )


def with_labels(scores):
    logp = np.zeros((scores.n, len(LABELS)))
    logp[np.arange(scores.n), outcome(scores).astype(int)] = 1.0
    return replace(scores, label_logp=logp)


@pytest.fixture(scope="module")
def reading(world_in, plan, rows_of, tmp_path_factory):
    """Two runs of 300 rows of which 100 were asked, the first always right."""
    made = world_in(tmp_path_factory.mktemp("asked"))
    ids = []
    for model, its in (
        ("llama31", plan(right=1.0, unread=0.0)),
        ("deepseek-r1", plan(right=0.5, unread=0.0, seed=2)),
    ):
        ids.append(made.add(model, its, {"tuned": partly_asked(rows_of(made.test, its))}))
    return read_runs(made.store, ids)


@pytest.fixture(scope="module")
def report(reading):
    return compose(reading.sides, reading.test, reading.train, reading.inputs)


def test_skill_counts_the_rows_that_were_asked_and_says_how_many(report, reading):
    good = {
        skill.question: skill for skill in report.skills if skill.model == reading.sides[0].title
    }
    assert set(good) == {"direction", "relative", "size"}
    for skill in good.values():
        assert (skill.gain.n, skill.verdict) == (100, Verdict.BETTER)
    right = reading.sides[0].tuned.correct.sum() / 100
    assert right == 1
    told = [sentence for sentence in report.headline if sentence.question.startswith("Skill of ")]
    assert len(told) == len(reading.sides)
    assert all("100 rows" in sentence.text for sentence in told)


def test_probabilities_are_judged_on_every_row(reading):
    sides = [
        replace(side, arrays={"tuned": with_labels(side.tuned)}, others=())
        for side in reading.sides
    ]
    found = compose(sides, reading.test, reading.train, reading.inputs).skills
    assert {skill.question: skill.gain.n for skill in found} == {
        "direction": 100,
        "relative": 100,
        "size": 100,
        "probability": 300,
    }


def test_trivial_forecasts_beside_a_model_are_scored_on_its_rows(report):
    assert {found.mse.n for found in report.baselines} == {100}
    assert {found.accuracy.n for found in report.baselines if found.accuracy} == {100}


def test_power_mcnemar_and_answer_lengths_know_only_rows_that_were_asked(report, reading):
    first, second = (side.tuned for side in reading.sides)
    asked = first.asked == 1
    differ = (first.correct != second.correct)[asked].mean()
    assert report.power.discordance == pytest.approx(differ)
    assert report.power.n == 100  # the primary question is accuracy here
    assert [speed.tokens_per_answer for speed in report.speeds] == pytest.approx(
        [float(np.nanmean(one.new_tokens)) for one in (first, second)]
    )
    line = next(line for line in report.table if line.key == "samples_per_second")
    assert "nan" not in line.comparisons[0].note


def test_charts_and_the_page_of_rows_tell_who_was_not_asked_from_who_said_nothing(report, reading):
    assert sum(count.rows for count in report.bins) == 200
    assert NOT_READ not in {count.forecast for count in report.bins}
    answers = [{"tuned": {}, "base": {}}] * 2
    entries = row_entries(reading.sides, answers, reading.test, Texts.ALL)
    said = [model.label for entry in entries for model in entry.models]
    assert (said.count(NOT_ASKED), said.count(NOT_READ)) == (400, 0)
    chart = outcome_maps(entries, ["one", "two"])[0]
    assert "200 not asked" in chart.alt
    assert "0 not read" in chart.alt


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_over_how_many_rows_its_figures_are(report):
    page = render(report)["report.html"].decode()
    assert "on 300 test rows of 10 weeks" in page
    assert "over 100 of 300 test rows" in page
    assert "The same 100 rows" in page


def test_the_weeks_mean_is_that_of_forecasts_that_were_made():
    truth = np.array([0.0, 2.0, -4.0, 5.0])  # mean .75, over all stocks of the week
    forecast = np.array([2.0, 3.0, np.nan, np.nan])  # mean 2.5 of the two that were asked
    asked = np.array([1.0, 1.0, 0.0, 0.0])
    assert relative_direction(forecast, truth, ["a"] * 4, asked).tolist()[:2] == [1.0, 1.0]
