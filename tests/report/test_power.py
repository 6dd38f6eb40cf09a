"""Power: the stated gap is found in 80 of 100 simulated tests, and the market's part comes from labels."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.report.flips import Difference, intervals
from fingpt.report.power import (
    design_effect,
    detectable_gap,
    market_spread,
    plan,
    power_at,
    statement,
)


def found_rate(gap, weeks, rows, draws, seed=0):
    rng = np.random.default_rng(seed)
    discordance = 0.5
    up, down = (discordance + gap) / 2, (discordance - gap) / 2
    hits = 0
    for _ in range(draws):
        counts = rng.multinomial(rows, [up, down, 1 - discordance], size=weeks)
        weekly = (counts[:, 0] - counts[:, 1]) / (rows * weeks)
        one = Difference(weekly.sum(), weekly, np.full(weeks, 1 / weeks), rows * weeks)
        found = intervals([one], 0.04, 1)[0]
        hits += found.low > 0
    return hits / draws


@pytest.mark.parametrize("weeks", [10, 20])
def test_the_stated_gap_is_found_in_about_80_of_100(weeks):
    gap = detectable_gap(30 * weeks, weeks, 0.5)
    assert found_rate(gap, weeks, 30, 400) == pytest.approx(0.8, abs=0.06)


def test_power_grows_with_the_gap_from_the_level_to_certainty():
    powers = [power_at(gap, 300, 10, 0.5) for gap in (0, 0.05, 0.1, 0.15, 0.3, 0.5)]
    assert powers == sorted(powers)
    assert 0.03 < powers[0] < 0.04
    assert powers[-1] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("weeks", [8, 10, 11])
def test_the_level_that_power_assumes_is_reached_by_flips_of_whole_counts(weeks):
    rng, rows, reached = np.random.default_rng(4), 30, []
    signs = 1 - 2 * ((np.arange(2 ** (weeks - 1))[:, None] >> np.arange(weeks)) & 1)
    for _ in range(300):
        counts = rng.multinomial(rows, [0.25, 0.25, 0.5], size=weeks)
        totals = np.sort(np.abs(signs @ (counts[:, 0] - counts[:, 1])))[::-1]
        reached.append((totals > totals[int(0.04 * len(totals))]).mean())
    assert power_at(0, rows * weeks, weeks, 0.5) == pytest.approx(np.mean(reached), abs=0.006)


def test_a_gap_needs_eight_weeks_and_enough_rows():
    assert detectable_gap(2100, 7, 0.45) is None
    assert detectable_gap(8, 8, 0.2) is None
    assert detectable_gap(300, 10, 0.45, effect=3) > detectable_gap(300, 10, 0.45)


def test_the_markets_spread_is_what_weeks_differ_in_beyond_chance():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(400), 30)
    share = np.repeat(rng.uniform(0.2, 0.8, 400), 30)
    shared = market_spread(np.where(rng.random(12000) < share, 1.0, -1.0), codes)
    assert shared == pytest.approx(0.6**2 / 12, rel=0.15)
    alone = market_spread(np.where(rng.random(12000) < 0.5, 1.0, -1.0), codes)
    assert alone == pytest.approx(0, abs=0.001)
    assert market_spread(np.ones(30), [1] * 30) == 0


def test_models_that_lean_alike_share_no_market_and_others_do():
    assert design_effect(0.03, 30, 0.0, 0.45) == 1
    # A week's share u of rising stocks moves the difference by lean * (2u - 1).
    rng = np.random.default_rng(2)
    lean, weeks, rows = 0.4, 4000, 30
    up = rng.uniform(0.2, 0.8, weeks)
    truth = rng.random((weeks, rows)) < up[:, None]
    first = (rng.random((weeks, rows)) < 0.3) == truth
    second = (rng.random((weeks, rows)) < 0.3 + lean) == truth
    gaps = second.astype(float) - first
    measured = gaps.mean(axis=1).var() / (gaps.var() / rows)
    stated = design_effect(0.6**2 / 12, rows, lean, float((gaps != 0).mean()))
    assert stated == pytest.approx(measured, rel=0.1)


def test_the_statement_says_what_80_percent_means():
    text = statement(plan(300, 10, 0.0))
    assert text.startswith("300 test rows of 10 weeks show gaps of 13 points or more in accuracy")
    assert "found in 80 of 100 such tests" in text
    assert "8 weeks are the least" in statement(plan(210, 7, 0.0))
    assert "too few" in statement(plan(8, 8, 0.0))
