"""What the report promises of invented worlds: 400 draws each as slow tests, a handful here; see `make bench-stats`."""

from __future__ import annotations

from itertools import groupby

import pytest
from scipy.stats import binom

from fingpt.report.verdict import Verdict
from tests.report.bench_stats import (
    Promise,
    equal,
    noise,
    planted,
    seeds,
    shares,
)
from tests.report.draws import Draw, drawn, primary, words

DRAWS = 400
CHANCE = 0.001
"""A true promise is called broken once in so many runs of a test."""

IN_CI = [
    list(promises)
    for draw, promises in groupby(
        (*noise(), *planted(), *seeds()), key=lambda promise: promise.draw
    )
    if draw.weeks == 10 or draw == Draw("5 % unread", 20, base=False)
]


@pytest.mark.slow
@pytest.mark.parametrize("world", IN_CI, ids=lambda world: world[0].name)
def test_the_report_keeps_its_promises(world: list[Promise]):
    for promise, share in zip(world, shares(world, DRAWS), strict=True):
        hits = round(share * DRAWS)
        told = f"{promise.name}: {share:.1%}"
        assert binom.sf(hits - 1, DRAWS, promise.high) > CHANCE, told
        assert promise.low == 0 or binom.cdf(hits, DRAWS, promise.low) > CHANCE, told


@pytest.mark.parametrize("promise", [next(noise()), *equal()], ids=lambda promise: promise.name)
def test_a_promise_is_measured_on_draws_that_repeat(promise: Promise):
    assert shares([promise], 3) == shares([promise], 3)


def test_silence_of_one_model_in_twenty_answers_makes_no_winner_in_a_year_of_weeks():
    for _, made in drawn(Draw("5 % unread", 52), 5):
        assert not words(made) & {Verdict.BETTER, Verdict.WORSE}


def test_a_gap_of_twenty_points_is_found_in_a_year_of_weeks_and_the_same_model_is_equivalent():
    for both, made in drawn(Draw(weeks=52, right=0.2, base=False), 3):
        assert primary(made) is Verdict.BETTER
        assert both[1].tuned.correct.mean() > 0.6
