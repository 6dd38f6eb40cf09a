"""Label probabilities as metrics of the table, how they may be read, and the forecasts to hold against them. Pure.

Every row that was scored counts, whether its prose was read or not. Variants of the same scores (with the temperature
that was fitted on validation weeks, with the prior subtracted, with names replaced) and forecasts without a model
(training labels' shares, all labels alike) are ScoreArrays with other `label_logp`, so that one set of metrics and one
bootstrap serves them all. Callers ask for `label_logp` first: there is nothing to compute where it is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from fingpt.metrics import (
    Floats,
    balanced_accuracy,
    brier,
    calibration,
    calibration_error,
    correct,
    equal_mass_bins,
    label_shares,
    log_loss,
    log_probabilities,
    matthews,
    refinement,
    rps,
    squared_error,
    weekly_ic,
)
from fingpt.prompts.examples import LABELS, Example, parse_label
from fingpt.report.lines import Metric
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Columns, Statistic, per_row
from fingpt.runs.manifest import VariantScores

MARGINS: Floats = np.array([parse_label(label).margin for label in LABELS])
"""Midpoint of each label's bin in percentage points, in the order of LABELS: ascending."""
BINS = 10
"""Bins of equal mass for calibration; with fewer than about 500 rows their shares are rough."""
FEW_ROWS = 500
_GROUP = "probability"
_EVEN = 0.5


def probabilities(scores: ScoreArrays) -> Floats:
    """(n, 12): the probability of each label, summing to 1 per row."""
    assert scores.label_logp is not None
    found: Floats = np.exp(log_probabilities(scores.label_logp))
    return found


def probability_up(scores: ScoreArrays) -> Floats:
    """The probability of a rise, per row."""
    found: Floats = probabilities(scores)[:, MARGINS > 0].sum(axis=1)
    return found


def expected_move(scores: ScoreArrays) -> Floats:
    """The mean of the bins' midpoints under the probabilities: the forecast that squared error asks for."""
    found: Floats = probabilities(scores) @ MARGINS
    return found


def outcome(scores: ScoreArrays) -> Floats:
    """The number of the label that came true, from 0, per row."""
    found: Floats = np.searchsorted(MARGINS, scores.truth).astype(np.float64)
    return found


def with_temperature(scores: ScoreArrays, temperature: float) -> ScoreArrays:
    """The same scores, their log-likelihoods divided by `temperature`."""
    return _changed(scores, lambda logp: log_probabilities(logp, temperature))


def without_prior(scores: ScoreArrays, prior: Sequence[float]) -> ScoreArrays:
    """The same scores less what the model says after a prompt without content."""
    return _changed(scores, lambda logp: log_probabilities(logp, prior=np.array(prior)))


def anonymous(scores: ScoreArrays) -> ScoreArrays | None:
    """The scores of the prompts with names replaced and dates shifted; None where they were not measured."""
    if scores.anonymous_logp is None:
        return None
    return replace(scores, label_logp=scores.anonymous_logp)


def recalled(scores: ScoreArrays) -> ScoreArrays | None:
    """The scores of the question that gives nothing but symbol and dates; None where it was not asked."""
    return None if scores.recall_logp is None else replace(scores, label_logp=scores.recall_logp)


def readings(scores: ScoreArrays, own: VariantScores) -> dict[str, ScoreArrays]:
    """How the same scores may be read, by name: as scored, and the others where eval has fitted what they need."""
    found = {"as scored": scores}
    if own.label_temperature is not None:
        found["with temperature"] = with_temperature(scores, own.label_temperature)
    if own.label_prior is not None:
        found["less the prior"] = without_prior(scores, own.label_prior)
    return found


def uniform(scores: ScoreArrays) -> ScoreArrays:
    """Every label alike: a log-loss of ln 12 on any rows."""
    return _forecast(scores, np.zeros(len(LABELS)))


def base_rate(scores: ScoreArrays, train: Sequence[Example]) -> ScoreArrays:
    """The labels' shares among the training rows, where no label is impossible (`metrics.label_shares`)."""
    return _forecast(scores, np.log(label_shares((row.label for row in train), LABELS)))


def _forecast(scores: ScoreArrays, logp: Floats) -> ScoreArrays:
    return replace(scores, label_logp=np.tile(logp, (scores.n, 1)))


def _changed(scores: ScoreArrays, change: Callable[[Floats], Floats]) -> ScoreArrays:
    assert scores.label_logp is not None
    return replace(scores, label_logp=change(scores.label_logp))


def _up(scores: ScoreArrays) -> tuple[Floats, Floats]:
    """Probability of a rise, and 1 where there was one."""
    return probability_up(scores), (scores.truth > 0).astype(np.float64)


def direction_right(scores: ScoreArrays) -> Floats:
    """1 where the likelier direction came true, else 0; even chances count as a rise."""
    return correct(np.where(probability_up(scores) >= _EVEN, 1.0, -1.0), np.sign(scores.truth))


def confidence(scores: ScoreArrays) -> Floats:
    """How far the probability of a rise is from even, 0 to .5."""
    found: Floats = np.abs(probability_up(scores) - _EVEN)
    return found


def log_losses(scores: ScoreArrays) -> Floats:
    """−log of the probability of the label that came true, in nats, per row."""
    assert scores.label_logp is not None
    return log_loss(log_probabilities(scores.label_logp), outcome(scores))


def calibrated(scores: ScoreArrays) -> ScoreArrays:
    """The same scores with the temperature of the validation weeks, where eval has fitted one."""
    return _read_as(scores, scores.calibrated_logp)


def added(scores: ScoreArrays) -> ScoreArrays:
    """The scores of what the model adds to the training labels' shares; where eval has not fitted it, as scored."""
    return _read_as(scores, scores.anchored_logp)


def _read_as(scores: ScoreArrays, logp: Floats | None) -> ScoreArrays:
    return scores if logp is None else replace(scores, label_logp=logp)


def _log_loss_columns(scores: ScoreArrays) -> Columns:
    return per_row(log_losses(scores))


def _up_brier_columns(scores: ScoreArrays) -> Columns:
    forecast, happened = _up(scores)
    return per_row((forecast - happened) ** 2)


def _bin_columns(scores: ScoreArrays) -> Columns:
    """Per bin: rows, their probabilities of a rise, and their rises. The bins are those of all rows in every draw."""
    forecast, happened = _up(scores)
    place = equal_mass_bins(forecast, BINS)
    columns: dict[str, Floats] = {}
    for number in range(int(place.max(initial=-1)) + 1):
        inside = (place == number).astype(np.float64)
        columns |= {
            f"count_{number}": inside,
            f"forecast_{number}": inside * forecast,
            f"happened_{number}": inside * happened,
        }
    return columns


def _over_bins(figure: Callable[..., Any], names: tuple[str, ...]) -> Statistic:
    """A statistic of sums by bin, from `figure` of the named sums with bins along the last axis."""

    def statistic(**sums: Any) -> Any:
        bins = len(sums) // 3
        return figure(
            *(np.stack([sums[f"{name}_{number}"] for number in range(bins)], -1) for name in names)
        )

    return statistic


def _confusion(scores: ScoreArrays) -> Columns:
    said, happened = probability_up(scores) >= _EVEN, scores.truth > 0
    return {
        "tp": (said & happened).astype(np.float64),
        "tn": (~said & ~happened).astype(np.float64),
        "fp": (said & ~happened).astype(np.float64),
        "fn": (~said & happened).astype(np.float64),
    }


def _return_columns(scores: ScoreArrays) -> Columns:
    """Only rows whose return is known count."""
    if scores.realised is None:
        return {"total": np.zeros(scores.n), "count": np.zeros(scores.n)}
    known = np.isfinite(scores.realised).astype(np.float64)
    error = squared_error(expected_move(scores), np.nan_to_num(scores.realised))
    return {"total": error * known, "count": known}


def _surest_columns(scores: ScoreArrays) -> Columns:
    sure = confidence(scores)
    kept = (sure >= np.median(sure)).astype(np.float64) if scores.n else sure
    return {"total": direction_right(scores) * kept, "count": kept}


def _ic_columns(scores: ScoreArrays) -> Columns:
    """Each week's correlation, shared among its rows, so that a week counts once whatever its size."""
    found = weekly_ic(expected_move(scores), scores.truth, scores.week)
    sizes = {week: scores.week.count(week) for week in found}
    return {
        "total": np.array([found[w] / sizes[w] if w in found else 0.0 for w in scores.week]),
        "count": np.array([1 / sizes[w] if w in found else 0.0 for w in scores.week]),
    }


_metric = partial(Metric, group=_GROUP)
_BINNED = ("count", "forecast", "happened")

LABEL_LOG_LOSS = _metric(
    key="label_log_loss",
    title="log-loss of the twelve labels as scored",
    unit="nats",
    higher_is_better=False,
    columns=_log_loss_columns,
)
ANCHORED_LOG_LOSS = _metric(
    key="label_log_loss_anchored",
    title="log-loss of the twelve labels, on top of the training labels' shares",
    unit="nats",
    higher_is_better=False,
    columns=lambda scores: per_row(log_losses(added(scores))),
)
"""What a model's probabilities know of a week beyond how common each label is: models that know nothing are alike."""
CALIBRATED_LOG_LOSS = _metric(
    key="label_log_loss_calibrated",
    title="— with the temperature of the validation weeks",
    unit="nats",
    higher_is_better=False,
    columns=lambda scores: per_row(log_losses(calibrated(scores))),
)
LABEL_ACCURACY = _metric(
    key="label_accuracy",
    title="direction, by probability",
    unit="%",
    higher_is_better=True,
    columns=lambda scores: per_row(direction_right(scores)),
    scale=100,
    digits=1,
)
LABEL_MSE = _metric(
    key="label_mse",
    title="squared error of the expected move",
    unit="points²",
    higher_is_better=False,
    columns=lambda scores: per_row(squared_error(expected_move(scores), scores.truth)),
    digits=2,
)
METRICS: tuple[Metric, ...] = (
    LABEL_LOG_LOSS,
    _metric(
        key="label_brier",
        title="Brier score of the twelve labels",
        unit="",
        higher_is_better=False,
        columns=lambda scores: per_row(brier(probabilities(scores), outcome(scores))),
    ),
    _metric(
        key="label_rps",
        title="ranked probability score",
        unit="",
        higher_is_better=False,
        columns=lambda scores: per_row(rps(probabilities(scores), outcome(scores))),
    ),
    _metric(
        key="up_brier",
        title="Brier score of “up”",
        unit="",
        higher_is_better=False,
        columns=_up_brier_columns,
    ),
    _metric(
        key="up_calibration",
        title="— its calibration (0: honest)",
        unit="",
        higher_is_better=False,
        columns=_bin_columns,
        statistic=_over_bins(calibration, _BINNED),
    ),
    _metric(
        key="up_refinement",
        title="— its refinement (.25: tells nothing)",
        unit="",
        higher_is_better=False,
        columns=_bin_columns,
        statistic=_over_bins(refinement, ("count", "happened")),
    ),
    _metric(
        key="up_ece",
        title="calibration error of “up” (ECE)",
        unit="%",
        higher_is_better=False,
        columns=_bin_columns,
        statistic=_over_bins(calibration_error, _BINNED),
        scale=100,
        digits=1,
    ),
    LABEL_ACCURACY,
    _metric(
        key="label_balanced_accuracy",
        title="direction, ups and downs weighing alike",
        unit="%",
        higher_is_better=True,
        columns=_confusion,
        statistic=balanced_accuracy,
        scale=100,
        digits=1,
    ),
    _metric(
        key="label_mcc",
        title="direction, Matthews' correlation",
        unit="",
        higher_is_better=True,
        columns=_confusion,
        statistic=matthews,
    ),
    _metric(
        key="surest_accuracy",
        title="direction, the surer half of the rows",
        unit="%",
        higher_is_better=True,
        columns=_surest_columns,
        scale=100,
        digits=1,
    ),
    LABEL_MSE,
    _metric(
        key="label_mse_return",
        title="squared error against the return, where known",
        unit="points²",
        higher_is_better=False,
        columns=_return_columns,
        digits=2,
    ),
    _metric(
        key="rank_ic",
        title="weekly rank correlation (IC)",
        unit="",
        higher_is_better=True,
        columns=_ic_columns,
    ),
)
"""All metrics of label probabilities, in the order of a table."""
