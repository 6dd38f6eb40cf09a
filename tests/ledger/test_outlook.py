"""When something can be said: the weeks are those of the power that the report states."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.ledger.figures import Arrays
from fingpt.ledger.outlook import outlook, weeks_needed
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.power import POWER, power_at


@pytest.mark.parametrize("lead", [0.1, 0.05, 0.03])
def test_the_weeks_are_the_fewest_that_have_the_power(lead):
    weeks = weeks_needed(lead, 30, 0.45, 1.5)
    assert power_at(lead, 30 * weeks, weeks, 0.45, 1.5) >= POWER
    assert power_at(lead, 30 * (weeks - 1), weeks - 1, 0.45, 1.5) < POWER


def test_thirty_symbols_take_about_a_year_for_five_points_and_a_hundred_shorten_it():
    year = weeks_needed(0.05, 30, 0.45, 1.0)
    assert 40 < year < 60
    assert weeks_needed(0.05, 100, 0.45, 1.0) < year / 2


def test_no_verdict_comes_before_eight_weeks_and_some_never_do():
    assert weeks_needed(0.4, 500, 0.45, 1.0) == MIN_CLUSTERS
    assert weeks_needed(0.001, 30, 0.45, 1.0) is None
    assert (
        weeks_needed(0.5, 30, 0.45, 1.0) is None
    )  # a lead cannot be larger than the share of rows that differ


def arrays(weeks: int, right: float, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    n = 30 * weeks
    truth = rng.choice([-1.0, 1.0], n)
    direction = np.where(rng.random(n) < right, truth, -truth)
    days = np.datetime64("2026-01-02") + 7 * np.arange(weeks)
    return Arrays(
        week=tuple(str(day) for day in np.repeat(days, 30)),
        symbol=tuple(str(i % 30) for i in range(n)),
        direction=direction,
        truth=truth,
        outcome=np.where(truth > 0, 6.0, 5.0),
        move=truth,
        probabilities=np.full((n, 12), np.nan),
    )


def test_own_weeks_replace_the_assumptions_once_there_are_eight():
    few = outlook("2026-01-02", 30, arrays(7, 0.5, 1), arrays(7, 0.5, 1))
    assert not few.measured
    same = arrays(20, 0.5, 1)
    many = outlook("2026-01-02", 30, same, same)
    assert many.measured
    assert many.discordance == 0.05  # the least that is taken
    assert [lead.lead for lead in many.leads] == [0.10, 0.05, 0.03, 0.02]


def test_the_day_is_so_many_weeks_after_the_first():
    lead = outlook("2026-01-02", 30, None, None).leads[0]
    first, day = np.datetime64("2026-01-02"), np.datetime64(lead.day)
    assert (day - first).astype(int) == 7 * lead.weeks
