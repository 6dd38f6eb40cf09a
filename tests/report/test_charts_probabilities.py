"""Charts of label probabilities: all their numbers as a table, their figures in words."""

from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import pytest

from fingpt.models import spec
from fingpt.report.charts_probabilities import cutoff_chart, probability_charts
from fingpt.report.memory import cutoff_map
from fingpt.report.probabilities import MARGINS
from fingpt.report.reliability import reliability


@pytest.fixture(scope="module")
def sides(examples, rows_of, plan):
    rng = np.random.default_rng(1)

    def one(lean: float):
        rows = rows_of(examples, plan())
        logp = rng.normal(0, 1, (rows.n, 12)) + lean * np.sign(rows.truth)[:, None] * np.sign(
            MARGINS
        )
        return reliability(dataclasses.replace(rows, label_logp=logp))

    return {"a": one(0.0), "b": one(0.5)}


def test_charts_have_a_row_of_data_for_each_bin_and_week_and_end_at_all_rows(sides):
    charts = {chart.key: chart for chart in probability_charts(sides, ["a", "b"])}
    assert list(charts) == ["reliability", "risk", "rank-correlation"]
    bins = sum(len(side.bins) for side in sides.values())
    assert len(charts["reliability"].rows) == bins
    assert len(charts["rank-correlation"].rows) == 20
    risks = charts["risk"].rows
    assert 2 * 20 <= len(risks) <= 2 * 125
    assert [row[1] for row in risks if row[0] == "a"][-1] == "100.0"


def test_a_chart_says_in_words_what_it_shows(sides):
    reliability_, risk, weeks = probability_charts(sides, ["a", "b"])
    assert "a: " in reliability_.alt
    assert "rose" in reliability_.alt
    assert "% among all" in risk.alt
    assert f"b: mean +{sides['b'].ic_mean:.3f}" in weeks.title


def test_without_measured_probabilities_there_is_no_chart():
    assert probability_charts({}, ["a"]) == []


def test_the_map_names_who_may_have_read_the_weeks(examples):
    found = cutoff_chart(cutoff_map([spec("llama31"), spec("deepseek-r1")], {"test": examples}))
    assert found is not None
    named = {row[0]: row for row in found.rows}
    assert named["rows: test"][1] == min(e.start for e in examples).isoformat()
    assert named["Llama-3.1-8B"][1:3] == ("2023-12-31", "2024-01-01")
    assert named["DeepSeek-R1-Distill-Llama-8B"][1] == "not stated"
    assert date.fromisoformat(named["DeepSeek-R1-Distill-Llama-8B"][2]).year == 2025


def test_models_that_read_nothing_of_the_world_have_no_map(examples):
    assert cutoff_chart(cutoff_map([spec("tiny-llama31")], {"test": examples})) is None
