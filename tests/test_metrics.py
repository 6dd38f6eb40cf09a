"""The metrics' definitions against scikit-learn, scipy and hand values, and what unread answers count as."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import spearmanr
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    matthews_corrcoef,
    mean_squared_error,
)
from sklearn.metrics import log_loss as sklearn_log_loss

from fingpt.metrics import (
    accuracy,
    anchored,
    balanced_accuracy,
    brier,
    calibration,
    calibration_error,
    correct,
    equal_mass_bins,
    fit_temperature,
    label_shares,
    log_loss,
    log_probabilities,
    matthews,
    mean,
    mse,
    newey_west_t,
    refinement,
    risk_coverage,
    rps,
    squared_error,
    weekly_ic,
)


@pytest.mark.parametrize("n", [1, 2, 7, 130, 300, 5000])
def test_accuracy_and_mse_are_scikit_learns(n):
    rng = np.random.default_rng(n)
    direction, truth = rng.integers(-1, 2, n).astype(float), rng.integers(-1, 2, n).astype(float)
    margin, moved = rng.normal(0, 3, n), rng.normal(0, 3, n)
    assert accuracy(direction, truth) == accuracy_score(truth, direction)
    assert mse(margin, moved) == mean_squared_error(moved, margin)


def test_an_unread_direction_is_wrong_and_an_unread_size_is_a_forecast_of_0():
    nan = np.array([np.nan])
    for truth in (-1.0, 0.0, 1.0):
        assert correct(nan, np.array([truth])).tolist() == [0]
    assert squared_error(nan, np.array([2.5])).tolist() == [6.25]


def test_a_mean_takes_sums_of_one_sample_or_of_many():
    assert mean(3.0, 4.0) == 0.75
    assert mean(np.array([3.0, 1.0]), np.array([4.0, 4.0])).tolist() == [0.75, 0.25]


def forecasts(n, k=12, seed=0):
    """Log-likelihoods that carry some signal, and what happened."""
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, k, n).astype(float)
    logp = rng.normal(0, 2, (n, k)) - 40
    logp[np.arange(n), outcome.astype(int)] += 1.0
    return logp, outcome


@pytest.mark.parametrize("n", [1, 7, 300])
def test_log_loss_and_brier_are_scikit_learns(n):
    logp, outcome = forecasts(n)
    own = log_probabilities(logp)
    p, hit = np.exp(own), np.eye(12)[outcome.astype(int)]
    assert p.sum(axis=1) == pytest.approx(np.ones(n))
    assert own == pytest.approx(log_softmax(logp, axis=1))
    wanted = sklearn_log_loss(outcome, p, labels=np.arange(12))
    assert log_loss(own, outcome).mean() == pytest.approx(wanted)
    assert brier(p, outcome).mean() == pytest.approx(12 * mean_squared_error(hit, p))


def test_the_ranked_probability_score_has_its_hand_values():
    p = np.array([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    # Cumulated: .2 .5 against 0 1; 0 0 against 0 0; 1 1 against 0 0.
    assert rps(p, np.array([1, 2, 2])) == pytest.approx([(0.04 + 0.25) / 2, 0.0, 1.0])


def test_a_prior_that_is_the_forecast_leaves_every_label_alike_and_temperature_flattens():
    logp, _ = forecasts(1)
    assert log_probabilities(logp, prior=logp[0]) == pytest.approx(np.full((1, 12), -np.log(12)))
    sharp, flat = log_probabilities(logp, 0.5), log_probabilities(logp, 2.0)
    assert sharp.max() > log_probabilities(logp).max() > flat.max()
    assert log_probabilities(logp, 2.0) == pytest.approx(log_softmax(logp / 2, axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_the_temperature_is_where_scipy_finds_the_least_log_loss(seed):
    logp, outcome = forecasts(120, seed=seed)
    logp *= 0.2 + seed
    found = fit_temperature(logp, outcome)
    best = minimize_scalar(
        lambda u: log_loss(log_probabilities(logp, np.exp(u)), outcome).mean(),
        bounds=(-4.6, 4.6),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert found == pytest.approx(float(np.exp(best.x)), rel=1e-5)


def test_a_temperature_stays_finite_and_is_none_without_rows():
    sure = np.where(np.eye(12) == 1, 5.0, 0.0)
    assert fit_temperature(sure, np.arange(12)) == pytest.approx(1e-2, rel=1e-3)
    assert fit_temperature(sure, np.roll(np.arange(12), 1)) == pytest.approx(1e2, rel=1e-3)
    assert fit_temperature(np.zeros((0, 12)), np.zeros(0)) is None


@pytest.mark.parametrize("n", [4, 50, 300])
def test_mcc_and_balanced_accuracy_are_scikit_learns(n):
    rng = np.random.default_rng(n)
    happened, said = np.arange(n) % 3 > 0, rng.random(n) < 0.6
    said[:2] = [True, False]
    counts = {
        "tp": float((said & happened).sum()),
        "tn": float((~said & ~happened).sum()),
        "fp": float((said & ~happened).sum()),
        "fn": float((~said & happened).sum()),
    }
    assert matthews(**counts) == pytest.approx(matthews_corrcoef(happened, said))
    assert balanced_accuracy(**counts) == pytest.approx(balanced_accuracy_score(happened, said))


def test_a_constant_forecast_has_no_correlation_and_half_of_balanced_accuracy():
    counts = {"tp": 3.0, "tn": 0.0, "fp": 2.0, "fn": 0.0}
    assert np.isnan(matthews(**counts))
    assert balanced_accuracy(**counts) == 0.5


def by_bin(p, happened, bins):
    place = equal_mass_bins(p, bins)
    return [np.bincount(place, weights=w) for w in (np.ones(len(p)), p, happened)]


def test_bins_have_equal_mass_and_never_part_equal_forecasts():
    p = np.random.default_rng(3).random(103)
    assert set(np.bincount(equal_mass_bins(p, 10))) <= {10, 11}
    assert (np.diff(equal_mass_bins(p, 10)[np.argsort(p)]) >= 0).all()
    assert equal_mass_bins(np.array([0.5] * 9 + [0.9]), 5).tolist() == [0] * 9 + [1]
    assert equal_mass_bins(np.zeros(0), 5).tolist() == []


def test_calibration_error_and_its_bins_are_scikit_learns_curve():
    rng = np.random.default_rng(4)
    p = rng.random(200)
    happened = (rng.random(200) < p**2).astype(float)
    count, forecast, hits = by_bin(p, happened, 10)
    share, told = calibration_curve(happened, p, n_bins=10, strategy="quantile")
    assert hits / count == pytest.approx(share)
    assert forecast / count == pytest.approx(told)
    wanted = float((np.abs(share - told) * count).sum() / 200)
    assert calibration_error(count, forecast, hits) == pytest.approx(wanted)


def test_calibration_and_refinement_add_up_to_the_brier_score():
    rng = np.random.default_rng(5)
    p = rng.choice([0.1, 0.4, 0.45, 0.8], 400)
    happened = (rng.random(400) < 0.3 + p / 2).astype(float)
    count, forecast, hits = by_bin(p, happened, 400)
    assert len(count) == 4
    whole = calibration(count, forecast, hits) + refinement(count, hits)
    assert whole == pytest.approx(brier_score_loss(happened, p))
    # By hand: forecasts .2 and .6, twice each; one of the first pair happened, both of the second.
    hand = by_bin(np.array([0.2, 0.2, 0.6, 0.6]), np.array([0.0, 1.0, 1.0, 1.0]), 2)
    assert calibration(*hand) == pytest.approx((0.3**2 + 0.4**2) / 2)
    assert refinement(hand[0], hand[2]) == pytest.approx(0.25 / 2)


def test_an_empty_bin_of_a_resampled_sum_counts_for_nothing():
    count, forecast, hits = np.array([[2.0, 0.0]]), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    assert calibration(count, forecast, hits).tolist() == [0.0]
    assert refinement(count, hits).tolist() == [0.25]


def test_risk_falls_as_only_the_surest_rows_are_kept():
    coverage, risk = risk_coverage(np.array([0.1, 0.9, 0.5, 0.5]), np.array([0.0, 1.0, 1.0, 0.0]))
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk == pytest.approx([0.0, 1 / 3, 0.5])


def test_the_weekly_rank_correlation_is_scipys_and_skips_weeks_without_one():
    rng = np.random.default_rng(6)
    weeks = ["a"] * 20 + ["b"] * 20 + ["c"] * 2 + ["d"] * 5
    forecast, truth = rng.normal(size=47), rng.normal(size=47).round(1)
    forecast[-5:] = 1.0
    forecast[0] = np.nan
    found = weekly_ic(forecast, truth, weeks)
    assert found == {
        "a": pytest.approx(spearmanr(forecast[1:20], truth[1:20]).statistic),
        "b": pytest.approx(spearmanr(forecast[20:40], truth[20:40]).statistic),
    }


def test_the_t_of_a_series_allows_for_neighbours_that_correlate():
    rng = np.random.default_rng(7)
    noise = rng.normal(0.1, 1, 200)
    moving = np.convolve(noise, np.ones(4) / 4, mode="valid")
    plain = moving.mean() / (moving.std(ddof=1) / np.sqrt(len(moving)))
    # By hand: Bartlett weights over lags up to 4 (197 weeks), with the correction n/(n - 1).
    n, dev = len(moving), moving - moving.mean()
    variance = sum(
        (1 if lag == 0 else 2 * (1 - lag / 5)) * float(dev[lag:] @ dev[: n - lag])
        for lag in range(5)
    ) / (n - 1)
    assert newey_west_t(list(moving)) == pytest.approx(moving.mean() / np.sqrt(variance / n))
    assert abs(newey_west_t(list(moving))) < abs(plain)
    assert newey_west_t([0.1] * 7) is None
    assert newey_west_t([0.1] * 9) is None


def test_label_shares_add_one_to_each_count_and_keep_the_order_asked_for():
    shares = label_shares(["b", "a", "b"], ("a", "b", "c"))
    assert shares.tolist() == [2 / 6, 3 / 6, 1 / 6]
    assert label_shares([], ("a", "b")).tolist() == [0.5, 0.5]


def test_anchored_probabilities_are_the_shares_where_the_prompt_told_nothing():
    shares, prior = np.arange(1, 13) / 78, np.random.default_rng(1).normal(size=12)
    told_nothing = anchored(np.tile(prior, (5, 1)), shares, 1.0, prior)
    assert np.exp(told_nothing) == pytest.approx(np.tile(shares, (5, 1)))
    doubled = prior + np.where(np.arange(12) == 3, np.log(2), 0.0)
    odds = np.exp(anchored(doubled[np.newaxis], shares, 1.0, prior))[0]
    assert odds == pytest.approx(np.where(np.arange(12) == 3, 2, 1) * shares / (1 + shares[3]))


def test_a_temperature_that_is_anchored_lets_noise_say_the_shares_and_news_speak():
    rng = np.random.default_rng(2)
    shares = np.arange(1, 13) / 78
    outcomes = rng.choice(12, size=4000, p=shares)
    noise = rng.normal(size=(4000, 12))
    heat = fit_temperature(noise, outcomes.astype(float), shares)
    assert heat > 10
    loss = log_loss(anchored(noise, shares, heat, np.zeros(12)), outcomes.astype(float)).mean()
    assert loss == pytest.approx(-(shares * np.log(shares)).sum(), abs=0.03)
    telling = 2.0 * np.eye(12)[outcomes] + noise
    assert fit_temperature(telling, outcomes.astype(float), shares) < 3
