"""Sign flips: exact for few weeks, corrected for the family, and intervals that say what the test says."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fingpt.report.flips import Difference, _signs, _studentised, intervals


def difference(weekly, share=None, **more):
    weekly = np.asarray(weekly, dtype=float)
    share = np.full(len(weekly), 1 / len(weekly)) if share is None else np.asarray(share)
    return Difference(float(weekly.sum()), weekly, share, 30 * len(weekly), **more)


def noise(seed, weeks=10, shift=0.0):
    return difference(np.random.default_rng(seed).normal(shift, 1, weeks) / weeks)


def test_the_studentised_sum_of_equal_weeks_is_the_t_statistic():
    weekly = np.array([0.3, -0.1, 0.4, 0.2, 0.5, -0.2, 0.1, 0.3])
    found = _studentised(np.ones((1, 8)), weekly[:, None] / 8, np.full((8, 1), 1 / 8))
    assert found[0, 0] == pytest.approx(ttest_1samp(weekly, 0).statistic)


def test_ten_weeks_are_flipped_in_every_way_once():
    signs = _signs(10)
    assert len(signs) == 2**9 == len({tuple(row * row[0]) for row in signs})
    assert (signs[0] == 1).all()


def test_an_interval_leaves_out_zero_where_the_p_value_by_brute_force_says_so():
    for seed in range(4):
        weekly = np.random.default_rng(seed).normal(0.5, 1, 8)
        ts = [
            abs(ttest_1samp(weekly * np.array(signs), 0).statistic)
            for signs in product((1, -1), repeat=8)
        ]
        p = np.mean(np.array(ts) >= ts[0] - 1e-9)
        found = intervals([difference(weekly / 8)], 0.05, 1)[0]
        assert (found.low > 0 or found.high < 0) == (p <= 0.05), seed


def test_no_difference_is_rejected_by_the_last_bit():
    """At 8 weeks and 0.6 % no pattern of signs is rare enough, be the observed one the largest of all."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        found = intervals([difference(rng.integers(-3, 9, 8) / 40)], 0.006, 1)[0]
        assert found.low <= 0 <= found.high


@pytest.mark.parametrize("weeks", [8, 10, 20])
@pytest.mark.parametrize("alpha", [0.04, 0.006, 0.001])
def test_weeks_that_differ_alike_have_a_finite_interval(weeks, alpha):
    found = intervals([difference(np.full(weeks, 1 / weeks)), noise(1, weeks)], alpha, 1)
    for one in found:
        assert np.isfinite([one.low, one.high, one.inner_low, one.inner_high]).all()
    rare = int(alpha * (2 ** (weeks - 1) if weeks < 12 else 2000)) > 0
    assert (found[0].low > 0) == rare


def test_a_family_has_wider_intervals_and_copies_of_a_line_cost_nothing():
    alone = intervals([noise(1)], 0.05, 1)[0]
    family = intervals([noise(1), *(noise(seed) for seed in range(2, 12))], 0.05, 1)[0]
    copies = intervals([noise(1)] * 11, 0.05, 1)[0]
    assert family.high - family.low > 1.2 * (alone.high - alone.low)
    assert copies == alone
    apart = intervals([noise(1), noise(2)], 0.05, 1, together=False)[0]
    assert apart == alone


def test_noise_is_rejected_at_the_level_of_the_family():
    rng = np.random.default_rng(5)
    wins = 0
    for _ in range(300):
        family = [difference(row / 10) for row in rng.normal(0, 1, (8, 10))]
        wins += any(found.low > 0 or found.high < 0 for found in intervals(family, 0.05, 1))
    assert wins <= 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)
    assert wins >= 3


def test_no_difference_has_no_reach_and_a_constant_one_no_doubt():
    nothing, constant, other = intervals(
        [difference(np.zeros(10)), difference(np.full(10, 0.01)), noise(3)], 0.05, 1
    )
    assert (nothing.low, nothing.high) == (0, 0)
    assert (constant.low, constant.high) == pytest.approx((0.1, 0.1))
    assert other.low < 0 < other.high


def test_blocks_of_weeks_are_flipped_together():
    weekly = np.repeat(np.random.default_rng(7).normal(size=12), 2) / 24
    alone, together = (intervals([difference(weekly)], 0.05, block)[0] for block in (1, 2))
    assert together.high - together.low > 1.3 * (alone.high - alone.low)
    assert intervals([noise(1)], 0.05, 2) == [None]


def test_seven_weeks_give_no_interval_and_do_not_spoil_the_others():
    share = np.r_[np.full(7, 1 / 7), np.zeros(3)]
    few = difference(np.r_[np.full(7, 0.1), np.zeros(3)], share)
    assert intervals([few, noise(1)], 0.05, 1) == [None, intervals([noise(1)], 0.05, 1)[0]]


def test_seeds_that_differ_widen_the_interval_and_seeds_that_do_not_leave_it():
    one = noise(4)
    plain, same, apart = (
        intervals([Difference(one.value, one.weekly, one.share, one.n, *seeds)], 0.05, 1)[0]
        for seeds in ((0, 0, 0), (1e-12, 4, 1e-12), (1.0, 4, 0.0))
    )
    assert same.high - same.low == pytest.approx(plain.high - plain.low, rel=1e-3)
    assert apart.high - apart.low > 2 * 2.5  # Student's t of about four degrees of freedom
