"""Intervals and tests: known answers, pairing, clustering, and honest sizes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef

from fingpt.metrics import mean
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.stats import (
    WeekBootstrap,
    diebold_mariano_p,
    mcnemar_p,
    per_row,
    wilson,
)


def weeks(count, each):
    return [f"w{index:02d}" for index in range(count) for _ in range(each)]


def test_same_seed_same_interval_other_seed_another():
    values = np.random.default_rng(0).random(300)
    first, again, other = (
        WeekBootstrap(weeks(10, 30), seed).estimate(mean, per_row(values)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_values_alike_in_every_week_have_no_spread():
    values = np.tile([0.0, 1.0, 2.0], 20)
    found = WeekBootstrap(weeks(10, 6)).estimate(mean, per_row(values))
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_weeks_not_rows_are_resampled():
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=10), 30)
    clustered = WeekBootstrap(weeks(10, 30)).estimate(mean, per_row(shared))
    naive = WeekBootstrap([str(i) for i in range(300)]).estimate(mean, per_row(shared))
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)


def test_a_ratio_is_of_sums_not_a_mean_of_ratios():
    top, bottom = np.array([1.0, 9.0] * 8), np.array([1.0, 3.0] * 8)
    assert WeekBootstrap(weeks(8, 2)).estimate(
        mean, {"total": top, "count": bottom}
    ).value == pytest.approx(10 / 4)


def test_few_weeks_and_empty_denominators_give_no_interval():
    values = np.ones(MIN_CLUSTERS - 1)
    assert WeekBootstrap(weeks(MIN_CLUSTERS - 1, 1)).estimate(mean, per_row(values)).low is None
    nothing = WeekBootstrap(weeks(10, 1)).estimate(
        mean, {"total": np.zeros(10), "count": np.zeros(10)}
    )
    assert (nothing.value, nothing.low) == (None, None)
    assert WeekBootstrap([]).estimate(mean, per_row(np.array([]))).value is None


def test_intervals_of_clustered_noise_cover_the_truth_in_about_95_of_100():
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(400):
        values = np.repeat(rng.normal(size=10), 5) + rng.normal(size=50)
        found = WeekBootstrap(weeks(10, 5), seed, draws=1000).estimate(mean, per_row(values))
        hits += found.low <= 0 <= found.high
    assert 0.91 <= hits / 400 <= 0.99


def mcc(tp, fp, tn, fn):
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / np.sqrt(product)


def balanced_accuracy(tp, fp, tn, fn):
    return (tp / (tp + fn) + tn / (tn + fp)) / 2


def confusion(forecast, truth):
    pairs = {"tp": (1, 1), "fp": (1, -1), "tn": (-1, -1), "fn": (-1, 1)}
    return {
        name: ((forecast == said) & (truth == real)).astype(float)
        for name, (said, real) in pairs.items()
    }


def forecasts_and_truth(seed):
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(240) < 0.55, 1, -1)
    return [np.where(rng.random(240) < right, 1, -1) * truth for right in (0.55, 0.65)], truth


@pytest.mark.parametrize(
    ("statistic", "oracle"),
    [(mcc, matthews_corrcoef), (balanced_accuracy, balanced_accuracy_score)],
)
def test_any_statistic_of_sums_gives_what_resampled_rows_give(statistic, oracle):
    (_, second), truth = forecasts_and_truth(4)
    named = weeks(12, 20)
    bootstrap = WeekBootstrap(named, seed=9, draws=100)
    found = bootstrap.estimate(statistic, confusion(second, truth))
    assert found.value == pytest.approx(oracle(truth, second))
    # The same draws, each made of copies of whole weeks' rows and scored by scikit-learn.
    names = sorted(set(named))
    counts = np.random.default_rng(9).multinomial(12, np.full(12, 1 / 12), size=100)
    twos = np.empty(100)
    for draw, drawn in enumerate(counts):
        copies = np.repeat(np.arange(240), [drawn[names.index(week)] for week in named])
        twos[draw] = oracle(truth[copies], second[copies])
    tail = bootstrap._tail
    assert (found.low, found.high) == pytest.approx(np.quantile(twos, [tail, 1 - tail]))


def test_draws_in_which_a_statistic_is_undefined_are_left_out():
    truth = np.repeat([1] + [-1] * 8, 4)  # draws without the first week have no ups
    found = WeekBootstrap(weeks(9, 4)).estimate(balanced_accuracy, confusion(truth, truth))
    assert (found.value, found.low, found.high) == (1, 1, 1)


def test_mcnemar_is_the_exact_binomial_of_the_discordant_rows():
    first = np.array([1.0] * 8 + [0.0] * 2 + [1.0] * 50)
    second = np.array([0.0] * 8 + [1.0] * 2 + [1.0] * 50)
    assert mcnemar_p(first, second) == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert mcnemar_p(first, first) == 1.0


def test_mcnemar_of_the_published_replicate():
    first = np.array([1.0] * 64 + [0.0] * 71)
    assert mcnemar_p(first, 1 - first) == pytest.approx(0.61, abs=0.005)


def test_wilson_of_the_published_accuracy():
    assert wilson(146, 297) == pytest.approx((0.435, 0.548), abs=0.0006)
    assert wilson(0, 0) is None


def test_blocks_of_weeks_are_drawn_together_and_widen_what_correlates():
    shared = np.repeat(np.random.default_rng(2).normal(size=26), 2)  # neighbouring weeks are alike
    alone, together = (
        WeekBootstrap(weeks(52, 1), block=block).estimate(mean, per_row(shared)) for block in (1, 2)
    )
    assert together.value == alone.value
    assert together.high - together.low > 1.15 * (alone.high - alone.low)
    assert WeekBootstrap(weeks(15, 1), block=2).estimate(mean, per_row(shared[:15])).low is None


def test_every_week_is_drawn_as_often_in_blocks():
    counts = WeekBootstrap(weeks(10, 1), block=3, draws=4000)._counts
    assert counts.mean(axis=0) == pytest.approx(np.full(10, 1.2), rel=0.05)


def test_diebold_mariano_is_a_t_test_of_weeks_when_they_do_not_overlap():
    gaps = np.array([0.3, -0.1, 0.4, 0.2, 0.5, -0.2, 0.1, 0.3])
    # The correction turns the variance with n into the one with n - 1, for a horizon of one week.
    assert diebold_mariano_p(gaps) == pytest.approx(ttest_1samp(gaps, 0).pvalue)


def test_diebold_mariano_over_two_weeks_by_hand():
    gaps = np.array([2.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0, 2.0])
    centred = gaps - 1
    variance = (centred @ centred + 2 * centred[1:] @ centred[:-1]) / 64
    statistic = 1 / np.sqrt(variance) * np.sqrt((8 + 1 - 4 + 2 / 8) / 8)
    assert diebold_mariano_p(gaps, overlap=1) == pytest.approx(2 * student.sf(statistic, 7))
    assert diebold_mariano_p(np.ones(8)) is None
    assert diebold_mariano_p(np.ones(2)) is None
