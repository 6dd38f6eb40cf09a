"""The definitions of the metrics, shared by eval and the report: what a row contributes, and the figure of the sums.

A metric is a sum over rows divided by another: `correct` over rows is binary accuracy, `squared_error` over rows is
MSE, negative log-likelihood over answer tokens is the loss, F-measures over rows are ROUGE. The figure depends on the
rows through their sums alone, so that the report can sum each week once and resample weeks. Which rows count is the
caller's. Figures of probabilities over ordered outcomes are built the same way: a score per row, or sums by bin.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

_MIN_RANKED = 3
"""Rows of a week below which a rank correlation is -1 or 1 by construction."""
_MIN_SERIES = 8
"""Weeks below which a standard error over time is a guess."""


def correct(direction: Floats, truth: Floats) -> Floats:
    """1 where the forecast direction (+1, 0, -1) is the true one, else 0; NaN, an unread direction, is never right."""
    right: Floats = (direction == truth).astype(np.float64)
    return right


def squared_error(margin: Floats, truth: Floats) -> Floats:
    """Squared percentage points between forecast and true move; NaN, no stated size, counts as a forecast of 0."""
    error: Floats = (np.nan_to_num(margin) - truth) ** 2
    return error


def mean(total: Number, count: Number) -> Number:
    """The mean, from a sum over rows and the number that it is taken over (rows, or tokens for the loss)."""
    return total / count


def accuracy(direction: Floats, truth: Floats) -> float:
    """Binary accuracy over one or more rows, 0 to 1."""
    return mean(float(correct(direction, truth).sum()), float(len(truth)))


def mse(margin: Floats, truth: Floats) -> float:
    """Mean squared error over one or more rows, in squared percentage points."""
    return mean(float(squared_error(margin, truth).sum()), float(len(truth)))


def log_probabilities(
    logp: Floats, temperature: float = 1.0, prior: Floats | None = None
) -> Floats:
    """Logarithms of probabilities that sum to 1 over the last axis, from log-likelihoods in nats.

    `prior`, log-likelihoods of the same outcomes after a prompt without content, is subtracted first (Zhao et al. 2021,
    "Calibrate before use"); `temperature` divides after that (Guo et al. 2017, "On calibration of modern neural
    networks").
    """
    scaled = (logp if prior is None else logp - prior) / temperature
    top = scaled.max(axis=-1, keepdims=True)
    found: Floats = scaled - top - np.log(np.exp(scaled - top).sum(axis=-1, keepdims=True))
    return found


def log_loss(logp: Floats, outcome: Floats) -> Floats:
    """−log of the probability of what happened, in nats, per row: `logp` (n, k) sums to 1, `outcome` counts from 0."""
    found: Floats = -logp[np.arange(len(logp)), outcome.astype(int)]
    return found


def brier(probabilities: Floats, outcome: Floats) -> Floats:
    """Brier's score per row, Σ_k (p_k − o_k)², from 0 (sure and right) to 2 (Brier 1950)."""
    hit = np.eye(probabilities.shape[1])[outcome.astype(int)]
    found: Floats = ((probabilities - hit) ** 2).sum(axis=1)
    return found


def rps(probabilities: Floats, outcome: Floats) -> Floats:
    """Ranked probability score per row, 0 to 1: Σ_{j<k} (F_j − O_j)² / (k − 1) over k ordered outcomes (Epstein)."""
    hit = np.eye(probabilities.shape[1])[outcome.astype(int)]
    gaps = (probabilities - hit).cumsum(axis=1)[:, :-1]
    found: Floats = (gaps**2).mean(axis=1)
    return found


def matthews(tp: Number, tn: Number, fp: Number, fn: Number) -> Number:
    """Matthews' correlation coefficient, −1 to 1, from counts; NaN where only one class was forecast or happened."""
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Number = np.divide(tp * tn - fp * fn, np.sqrt(product))
    return found


def balanced_accuracy(tp: Number, tn: Number, fp: Number, fn: Number) -> Number:
    """The mean of the shares of ups and of downs that were forecast right; NaN where one of the two never happened."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Number = (np.divide(tp, tp + fn) + np.divide(tn, tn + fp)) / 2
    return found


def equal_mass_bins(probability: Floats, bins: int) -> NDArray[np.int64]:
    """For each row the number of its bin, from 0: bins of near-equal size in the order of `probability`.

    Equal probabilities share a bin, so there may be fewer bins than asked for.
    """
    values, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    place = np.minimum((middle * bins / max(len(probability), 1)).astype(np.int64), bins - 1)
    _, dense = np.unique(place, return_inverse=True)
    found: NDArray[np.int64] = dense[inverse].astype(np.int64) if len(values) else inverse
    return found


def calibration_error(count: Floats, forecast: Floats, happened: Floats) -> Floats:
    """Expected calibration error from sums by bin (last axis): Σ_b |Σ forecast − Σ happened| / n (Naeini et al.)."""
    found: Floats = np.abs(forecast - happened).sum(axis=-1) / count.sum(axis=-1)
    return found


def calibration(count: Floats, forecast: Floats, happened: Floats) -> Floats:
    """The part of a binary Brier score that is due to wrong probabilities, from sums by bin (last axis).

    Σ_b n_b/n (mean forecast − share that happened)², Murphy's calibration (1973); it is 0 for honest probabilities.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(count > 0, (forecast - happened) ** 2 / count, 0.0)
        found: Floats = parts.sum(axis=-1) / count.sum(axis=-1)
    return found


def refinement(count: Floats, happened: Floats) -> Floats:
    """The part of a binary Brier score that is left with right probabilities, from sums by bin (last axis).

    Σ_b n_b/n o_b (1 − o_b), Murphy's refinement (1973): uncertainty minus resolution. With calibration it is the Brier
    score where all forecasts of a bin are equal; else the spread inside bins is missing (Stephenson et al. 2008).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(count > 0, happened * (1 - happened / count), 0.0)
        found: Floats = parts.sum(axis=-1) / count.sum(axis=-1)
    return found


def risk_coverage(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Coverage and risk when only the surest forecasts count (El-Yaniv and Wiener 2010), from few rows to all.

    `risk` is the share of wrong ones among the rows whose confidence is at least a threshold, one entry for each value
    that `confidence` takes, the highest first; `coverage` is the share of such rows.
    """
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.diff(confidence[order], append=-np.inf))
    kept = last + 1.0
    wrong = np.cumsum(1 - right[order])[last]
    return kept / max(len(right), 1), wrong / kept


def label_shares(labels: Iterable[str], every: Sequence[str]) -> Floats:
    """The share of each of `every` label among `labels`, in its order, with one added to each count.

    So no label is impossible: its log-loss stays finite (Laplace's rule of succession).
    """
    counts = Counter(labels)
    found = np.array([counts[label] + 1.0 for label in every])
    return found / (counts.total() + len(every))


def anchored(logp: Floats, shares: Floats, temperature: float, prior: Floats) -> Floats:
    """Logarithms of the probabilities shares × exp((logp − prior) / temperature), which sum to 1 over the last axis.

    `shares` are those of the outcomes among the training rows, `prior` what a model says after a prompt without
    content. So a model adds to the shares what the prompt told it, and one that was told nothing says the shares.
    """
    return log_probabilities(np.log(shares) + (logp - prior) / temperature)


def fit_temperature(logp: Floats, outcome: Floats, shares: Floats | None = None) -> float | None:
    """The temperature that minimises the log-loss of `logp` (n, k) over these rows, anchored at `shares` where given.

    The log-loss is convex in 1/temperature, so the root of its derivative is found by halving an interval between 1/100
    and 100; at an end of it where the minimum lies beyond. None without rows.
    """
    if not len(logp):
        return None

    start = 0.0 if shares is None else np.log(shares)

    def slope(inverse: float) -> float:
        own = log_probabilities(start + logp * inverse)
        return float(((np.exp(own) * logp).sum(axis=1) + log_loss(logp, outcome)).mean())

    low, high = math.log(1e-2), math.log(1e2)
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def cross_fitted_log_loss(
    logp: Floats, outcome: Floats, groups: Sequence[Hashable], shares: Floats
) -> Floats:
    """Log-loss of each row, anchored at `shares`, with the temperature that fits the rows of all other groups best.

    `logp` (n, k) are log-likelihoods less the prior (`anchored`), `groups` says which week a row is of. No row is
    judged with a temperature that has seen its week. ValueError for fewer than two groups.
    """
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        raise ValueError("at least two groups are needed")
    number = np.array([names.index(group) for group in groups])
    found = np.empty(len(logp))
    for index in range(len(names)):
        mine = number == index
        temperature = fit_temperature(logp[~mine], outcome[~mine], shares)
        assert temperature is not None  # another group has rows
        own = anchored(logp[mine], shares, temperature, np.zeros(logp.shape[1]))
        found[mine] = log_loss(own, outcome[mine])
    return found


def weekly_ic(forecast: Floats, truth: Floats, weeks: Sequence[str]) -> dict[str, float]:
    """Spearman's rank correlation of forecast and outcome within each week, by week in order.

    A week of fewer than three rows, or one in which either side never varies, has none and is left out.
    """
    from scipy.stats import rankdata

    found = {}
    names = np.asarray(weeks, dtype=str)
    for week in np.unique(names):
        pick = (names == week) & np.isfinite(forecast) & np.isfinite(truth)
        one, two = rankdata(forecast[pick]), rankdata(truth[pick])
        if pick.sum() >= _MIN_RANKED and one.std() > 0 and two.std() > 0:
            found[str(week)] = float(np.corrcoef(one, two)[0, 1])
    return found


def newey_west_t(series: Sequence[float]) -> float | None:
    """Student's t of a mean over time whose neighbours may correlate (Newey and West 1987), with lag ⌊4 (n/100)^(2/9)⌋.

    None for fewer than eight values, and where they do not vary.
    """
    if len(series) < _MIN_SERIES:
        return None
    from statsmodels.api import OLS

    lag = int(4 * (len(series) / 100) ** (2 / 9))
    fitted = OLS(np.asarray(series), np.ones(len(series))).fit(
        cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": True}
    )
    value = float(fitted.tvalues[0])
    return value if math.isfinite(value) else None
