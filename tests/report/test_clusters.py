"""What is drawn as one: weeks, spans of overlapping windows, blocks of weeks that correlate."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from fingpt.report.clusters import Weeks

SUNDAY = date(2030, 1, 6)


def days(*offsets):
    return [(SUNDAY + timedelta(days=offset)).isoformat() for offset in offsets]


def test_weekly_windows_are_weeks_of_their_own():
    weeks = Weeks.of(days(0, 7, 21, 0))
    assert (weeks.count, weeks.overlap, weeks.block) == (3, False, 1)
    assert weeks.codes(days(21, 0, 7)).tolist() == [2, 0, 1]


def test_five_start_days_a_week_are_one_cluster_a_week_drawn_in_pairs():
    weeks = Weeks.of(days(*(7 * week + day for week in range(10) for day in range(1, 6))))
    assert (weeks.count, weeks.overlap, weeks.block) == (10, True, 2)
    assert weeks.codes(days(1, 5, 8, 68)).tolist() == [0, 0, 1, 9]


def test_windows_of_four_weeks_overlap_week_by_week():
    weeks = Weeks.of(days(*range(0, 84, 7)), days=28)
    assert (weeks.count, weeks.block) == (3, 2)


def test_correlated_weeks_are_drawn_in_blocks_and_noise_is_not():
    weeks = Weeks.of(days(*range(0, 7 * 52, 7)))
    rng = np.random.default_rng(3)
    assert weeks.block_for(rng.normal(size=52)) == 1
    slow = np.convolve(rng.normal(size=57), np.ones(6), mode="valid")
    assert weeks.block_for(slow) >= 3
    assert weeks.block_for(np.zeros(52)) == 1


def test_noise_is_rarely_taken_for_correlation():
    weeks = Weeks.of(days(*range(0, 7 * 20, 7)))
    rng = np.random.default_rng(4)
    found = [weeks.block_for(rng.normal(size=20)) > 1 for _ in range(1000)]
    assert np.mean(found) < 0.04
