"""Leaks: what an error, a random split or a finding above chance forbids, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingpt.report.table import tables
from fingpt.report.verdict import Verdict
from fingpt.runs.manifest import Finding


def finding(**changes):
    plain = {
        "rule": "number-tells-label",
        "severity": "error",
        "count": 300,
        "of": 300,
        "text": "x",
    }
    return Finding(**{**plain, "touches": ("forecast",), **changes})


@pytest.fixture(scope="module")
def sides(pair):
    return pair.sides


def having(side, *findings, leaky=False):
    data = side.dataset.model_copy(update={"findings": findings, "leaky": leaky})
    return replace(side, dataset=data)


def verdicts(sides):
    return {line.key: line.comparisons[0] for line in tables(sides).lines}


def test_an_error_blocks_what_it_touches_and_nothing_else(sides):
    found = verdicts([having(side, finding()) for side in sides])
    for key in ("accuracy", "mse", "loss", "accuracy_excess"):
        assert found[key].why == "leak (number-tells-label)", key
        assert found[key].difference is None
    assert found["pros_rouge1"].verdict != Verdict.NOT_COMPARABLE
    text = verdicts([having(side, finding(touches=("text",))) for side in sides])
    assert text["pros_rouge1"].why == "leak (number-tells-label)"
    assert text["accuracy"].verdict != Verdict.NOT_COMPARABLE


def test_one_models_leak_is_enough_and_being_allowed_changes_nothing(sides):
    found = verdicts([sides[0], having(sides[1], finding(allowed="published so"))])
    assert found["accuracy"].why == "leak (number-tells-label)"


def test_an_old_error_without_what_it_touches_and_a_random_split_touch_everything(sides):
    first, second = sides
    old = having(first, finding(touches=())).leaks()
    assert set(old) == {"forecast", "text"}
    split = having(second, leaky=True).leaks()
    assert set(split.values()) == {"leak (random split)"}


@pytest.mark.parametrize(
    ("score", "count", "leaked"),
    [(0.69, 300, True), (0.56, 300, False), (0.69, 20, False), (None, 300, False)],
)
def test_a_canary_is_a_leak_where_it_is_right_more_often_than_the_commoner_direction(
    sides, score, count, leaked
):
    canary = finding(severity="warning", score=score, count=count, touches=())
    side = having(sides[0], canary)
    up = float((side.tuned.truth > 0).mean())
    assert 0.45 < up < 0.55
    assert bool(side.leaks()) == leaked
