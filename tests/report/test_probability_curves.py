"""Curves of label probabilities: shares of real rows, and nothing where nothing was measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fingpt.report.charts_probabilities import probability_charts
from fingpt.report.probabilities import MARGINS, probability_up
from fingpt.report.probability_curves import probability_curves


@pytest.fixture(scope="module")
def scores(examples, rows_of, plan):
    """Scores with label probabilities that lean towards the truth by `lean` nats a point."""
    rng = np.random.default_rng(1)

    def make(lean: float):
        rows = rows_of(examples, plan())
        logp = rng.normal(0, 1, (rows.n, 12)) + lean * np.sign(rows.truth)[:, None] * np.sign(
            MARGINS
        )
        return dataclasses.replace(rows, label_logp=logp)

    return make


def test_every_row_is_in_one_group_and_the_groups_tell_the_shares(scores):
    rows = scores(0.0)
    points = probability_curves({"a": rows}).reliability
    assert sum(point.rows for point in points) == rows.n == 300
    assert sum(p.rows * p.happened for p in points) == pytest.approx((rows.truth > 0).sum())
    assert sum(p.rows * p.forecast for p in points) == pytest.approx(probability_up(rows).sum())
    assert all(p.low <= p.happened <= p.high for p in points)


def test_the_whole_coverage_has_the_risk_of_all_rows(scores):
    rows = scores(0.2)
    wrong = np.mean((probability_up(rows) >= 0.5) != (rows.truth > 0))
    last = probability_curves({"a": rows}).coverage[-1]
    assert (last.coverage, last.risk) == (1.0, pytest.approx(wrong))


def test_who_knows_what_it_knows_has_less_risk_among_the_surest(scores):
    curve = probability_curves({"a": scores(0.3)}).coverage
    surest = [point.risk for point in curve if point.coverage < 0.3]
    assert np.mean(surest) < curve[-1].risk


def test_weeks_are_ranked_one_by_one_and_a_steady_lead_has_a_large_t(scores):
    found = probability_curves({"noise": scores(0.0), "skill": scores(1.0)})
    assert len(found.weeks) == 20
    assert abs(found.ic_t["noise"]) < 3 < 10 < found.ic_t["skill"]


def test_models_without_label_probabilities_have_no_curve_and_no_chart(examples, rows_of, plan):
    found = probability_curves({"a": rows_of(examples, plan())})
    assert (found.reliability, found.coverage, found.weeks) == ((), (), ())
    assert probability_charts(found, ["a"]) == []


def test_charts_have_a_row_of_data_for_each_point_and_say_their_figures(scores):
    curves = probability_curves({"a": scores(0.0), "b": scores(1.0)})
    charts = probability_charts(curves, ["a", "b"])
    assert [chart.key for chart in charts] == ["reliability", "risk", "rank-correlation"]
    assert [len(chart.rows) for chart in charts] == [
        len(curves.reliability),
        len(curves.coverage),
        len(curves.weeks),
    ]
    assert "a: mean" in charts[2].title
    assert "stated" in charts[0].alt
