"""One set of forecasts alone: intervals, skill, leaks and power, as a report has them."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.report.alone import alone, told
from fingpt.report.measures import ACCURACY
from fingpt.report.verdict import Verdict
from fingpt.runs.manifest import Finding


@pytest.fixture
def forecasts(examples, plan, rows_of):
    def made(**shape):
        rows = rows_of(examples, plan(**shape))
        by_id = {name: place for place, name in enumerate(rows.example)}
        order = [by_id[example.id] for example in examples]
        return rows.direction[order].tolist(), rows.margin[order].tolist()

    return made


def test_values_are_those_of_a_report_with_intervals(examples, plan, rows_of, forecasts):
    judged = alone(examples, *forecasts(), [])
    wanted = ACCURACY.of(rows_of(examples, plan()))
    assert judged.values["accuracy"].value == pytest.approx(wanted.value)
    assert judged.values["accuracy"].low == pytest.approx(wanted.low)
    assert judged.values["parsed"].value < 1
    assert [score.key for score in judged.baselines][:3] == ["always-down", "always-up", "zero"]
    lines = told(judged)
    assert "300 test rows of 10 weeks show gaps of" in lines[-1]
    assert any("against the week's mean, answers that can be read:" in line for line in lines)
    assert any(line.startswith("skill in direction against the week's mean:") for line in lines)


def test_skill_is_judged_and_a_leak_takes_the_verdict_and_keeps_the_numbers(examples, forecasts):
    good = forecasts(right=0.85)
    assert {its.verdict for its in alone(examples, *good, []).skills} == {Verdict.BETTER}
    noise = alone(examples, *forecasts(), [])
    assert {its.verdict for its in noise.skills} == {Verdict.NO_SKILL}
    leak = Finding(
        rule="market-cap-canary",
        severity="error",
        count=207,
        of=300,
        text="x",
        touches=("forecast",),
    )
    judged = alone(examples, *good, [leak])
    assert {its.verdict for its in judged.skills} == {Verdict.NOT_COMPARABLE}
    assert judged.values["accuracy"].value > 0.8
    lines = told(judged)
    assert lines[0] == "LEAKED DATA, NO EVIDENCE OF SKILL: leak (market-cap-canary)"
    assert "error: market-cap-canary, 207 of 300 rows: x" in lines


def test_three_rows_have_no_interval_and_no_verdict(examples):
    judged = alone(examples[:3], [1.0, -1.0, np.nan], [0.5, np.nan, np.nan], [])
    assert judged.values["accuracy"].low is None
    assert {its.why for its in judged.skills} == {"1 test week; an interval needs 8"}
    assert all("nan" not in line.lower() for line in told(judged))
