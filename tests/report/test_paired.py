"""Paired differences: exact for means, and each week's part of any statistic of sums."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.metrics import mean
from fingpt.report.paired import paired, parts
from fingpt.report.stats import per_row


def ratio_of_squares(a, b):
    return a * a / (b * b)


@pytest.fixture
def rows():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(9), rng.integers(5, 40, 9))
    return codes, rng.normal(1, 1, len(codes)), rng.normal(2, 1, len(codes))


def test_weeks_of_a_mean_add_up_and_are_the_weeks_own_differences(rows):
    codes, first, second = rows
    ones = np.ones(len(codes))
    gap = paired(
        parts(mean, [per_row(first)], codes, 9),
        parts(mean, [per_row(second)], codes, 9),
        codes,
        ones,
    )
    assert gap.value == pytest.approx((second - first).mean())
    assert gap.weekly.sum() == pytest.approx(gap.value)
    assert gap.weekly == pytest.approx(np.bincount(codes, second - first) / len(codes))
    assert gap.share.sum() == pytest.approx(1)
    assert (gap.n, gap.weeks) == (len(codes), 9)


def test_a_weeks_part_of_any_statistic_is_its_leverage(rows):
    """Twice the influence of a week is what leaving it in twice does, to first order."""
    codes, first, second = rows
    found = parts(ratio_of_squares, [{"a": first, "b": second}], codes, 9)
    for week in range(9):
        weight = np.where(codes == week, 1 + 1e-6, 1.0)
        moved = ratio_of_squares((first * weight).sum(), (second * weight).sum())
        slope = (moved - found.values[0]) / 1e-6
        assert found.weekly[0, week] == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_what_is_undefined_or_empty_is_no_difference(rows):
    codes, first, _ = rows
    nothing = {"total": np.zeros(len(codes)), "count": np.zeros(len(codes))}
    assert parts(mean, [nothing], codes, 9) is None
    side = parts(mean, [per_row(first)], codes, 9)
    assert paired(side, None, codes, np.ones(len(codes))) is None
    assert paired(side, side, codes, np.zeros(len(codes))) is None


def test_the_spread_of_seeds_counts_only_where_both_have_several(rows):
    codes, first, second = rows
    ones = np.ones(len(codes))
    one = parts(mean, [per_row(first)], codes, 9)
    three = parts(mean, [per_row(second + shift) for shift in (-0.1, 0.0, 0.1)], codes, 9)
    assert paired(one, three, codes, ones).spread == 0
    gap = paired(three, three, codes, ones)
    assert gap.spread == pytest.approx(2 * 0.01 / 3)
    assert gap.spread_df == pytest.approx(4)
    assert gap.shared == pytest.approx(0, abs=1e-12)  # the seeds differ alike in every week
