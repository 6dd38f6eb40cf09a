"""Lights with words: each condition of validity is told as it is, and never better than it is."""

from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import pytest

from fingpt.models import spec
from fingpt.report.inputs import read_runs
from fingpt.report.validity import State, validity
from fingpt.runs.manifest import Finding


@pytest.fixture
def states():
    """What a change of every side's data set, or of the sides themselves, makes of the checks, by name."""

    def told(pair, openings=None, side=lambda one: one, drawn=10, **changes):
        sides = [
            side(dataclasses.replace(one, dataset=one.dataset.model_copy(update=changes)))
            for one in pair.sides
        ]
        return {check.name: check for check in validity(sides, openings, drawn)}

    return told


def test_a_random_split_is_broken_and_says_so(world_in, plan, tmp_path):
    world = world_in(tmp_path, leaky=True)
    reading = read_runs(world.store, [world.add("tiny-llama31", plan())])
    found = {check.name: check for check in validity(reading.sides, 1, 10)}
    assert found["Split"].state is State.BROKEN
    assert "at random" in found["Split"].text
    assert found["Leaks"].state is State.BROKEN
    assert "constant-market-cap" in found["Leaks"].text


@pytest.mark.parametrize(
    ("weeks", "state"), [(0, State.CAUTION), (1, State.CAUTION), (4, State.GOOD), (5, State.GOOD)]
)
def test_the_embargo_has_to_cover_what_prompts_look_back(pair, states, weeks, state):
    assert states(pair, embargo_weeks=weeks)["Embargo"].state is state


def test_an_allowed_leak_stays_one_and_shows_its_reason(pair, states):
    finding = Finding(
        rule="market-cap-canary", severity="error", count=9, of=9, text="t", allowed="known <fault>"
    )
    check = states(pair, findings=(finding,))["Leaks"]
    assert check.state is State.BROKEN
    assert "known <fault>" in check.text


def test_a_canary_above_chance_is_a_leak_whatever_its_severity_and_telling_news_are_none(
    pair, states
):
    finding = Finding(
        rule="number-tells-label", severity="warning", count=300, of=300, text="t", score=0.9, touches=("forecast",)
    )  # fmt: skip
    assert states(pair, findings=(finding,))["Leaks"].state is State.BROKEN
    news = finding.model_copy(update={"rule": "words-tell-label"})
    assert states(pair, findings=(news,))["Leaks"].state is State.CAUTION
    weak = finding.model_copy(update={"score": 0.5})
    assert states(pair, findings=(weak,))["Leaks"].state is State.CAUTION
    assert states(pair)["Leaks"].state is State.GOOD


def test_weeks_that_a_base_may_know_are_named_with_the_day(pair, states):
    def asked(day):
        return states(pair, dates={"test": (date.fromisoformat(day), date(2031, 1, 1))})["Memory"]

    assert asked("2023-06-01").state is State.CAUTION
    assert "2024-01-01" in asked("2023-06-01").text
    assert asked("2026-01-01").state is State.GOOD
    assert states(pair)["Memory"].state is State.CAUTION


def test_a_base_that_read_nothing_of_the_world_remembers_nothing(pair, states):
    check = states(
        pair,
        side=lambda one: dataclasses.replace(one, model=spec("tiny-llama31")),
        dates={"test": (date(2020, 1, 1), date(2020, 3, 1))},
    )["Memory"]
    assert check.state is State.GOOD


@pytest.mark.parametrize(("weeks", "state"), [(7, State.BROKEN), (8, State.GOOD)])
def test_fewer_than_eight_weeks_give_no_interval(pair, states, weeks, state):
    check = states(pair, drawn=weeks)["Weeks"]
    assert check.state is state
    assert f"of {weeks} weeks" in check.text


def test_silence_is_named_with_its_share(pair, states):
    def silent(one):
        valid = np.where(np.arange(one.tuned.n) % 5 == 0, 0.0, 1.0)
        return dataclasses.replace(
            one, arrays={"tuned": dataclasses.replace(one.tuned, valid=valid)}
        )

    check = states(pair, side=silent)["Answers that can be read"]
    assert check.state is State.CAUTION
    assert "80.0 %" in check.text


def test_a_row_that_was_asked_for_no_prose_is_no_silence_and_every_seed_counts(pair, states):
    def sampled(one):
        rows = np.arange(one.tuned.n) % 5 == 0
        some = dataclasses.replace(
            one.tuned,
            valid=rows.astype(float),
            new_tokens=np.where(rows, one.tuned.new_tokens, np.nan),
        )
        return dataclasses.replace(one, arrays={"tuned": some}, others=())

    assert states(pair, side=sampled)["Answers that can be read"].state is State.GOOD

    def second_seed_silent(one):
        full = dataclasses.replace(one.tuned, valid=np.ones(one.tuned.n))
        mute = dataclasses.replace(full, valid=np.zeros(one.tuned.n))
        return dataclasses.replace(one, arrays={"tuned": full}, others=({"tuned": mute},))

    check = states(pair, side=second_seed_silent)["Answers that can be read"]
    assert check.state is State.CAUTION
    assert "50.0 %" in check.text


def test_a_leak_of_any_origin_or_split_is_told_whatever_is_found_after_it(pair, states):
    error = Finding(rule="market-cap-canary", severity="error", count=9, of=9, text="t")
    mild = error.model_copy(update={"severity": "warning", "split": "test"})
    assert states(pair, findings=(error, mild))["Leaks"].state is State.BROKEN

    def walked(one):
        later = one.dataset.model_copy(update={"id": "e" * 16, "findings": (error,)})
        return dataclasses.replace(one, datasets=(one.dataset, later))

    assert states(pair, side=walked)["Leaks"].state is State.BROKEN


def test_one_seed_speaks_about_adapters_and_three_about_models(pair, states):
    assert states(pair)["Seeds"].state is State.CAUTION
    assert "make run SEEDS=3" in states(pair)["Seeds"].text
    three = states(pair, side=lambda one: dataclasses.replace(one, others=(one.arrays, one.arrays)))
    assert three["Seeds"].state is State.GOOD


@pytest.mark.parametrize(
    ("openings", "state"),
    [(None, State.CAUTION), (2, State.GOOD), (3, State.CAUTION)],
)
def test_openings_beyond_this_report_are_counted(pair, states, openings, state):
    assert states(pair, openings)["Test rows opened"].state is state


def test_models_that_saw_different_rows_are_not_the_same_data(pair):
    first, second = pair.sides
    other = dataclasses.replace(second, dataset=second.dataset.model_copy(update={"id": "f" * 16}))
    found = {check.name: check.state for check in validity([first, other], 2, 10)}
    assert found["Same data"] is State.BROKEN
    assert {c.name: c.state for c in validity([first, second], 2, 10)}["Same data"] is State.GOOD
    # Two runs opened the first side's rows, and only one of them is here.
    assert found["Test rows opened"] is State.CAUTION
