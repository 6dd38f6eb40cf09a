"""The metrics of a report: which there are, which one answers which primary question, and what gap counts as none.

A new metric is one `Metric` here and its place in `SCORED` or `OWN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from fingpt.metrics import Floats
from fingpt.report.lines import Metric
from fingpt.report.probabilities import (
    ANCHORED_LOG_LOSS,
    CALIBRATED_LOG_LOSS,
    LABEL_LOG_LOSS,
    METRICS,
)
from fingpt.report.score_arrays import ROUGES, SECTIONS, ScoreArrays
from fingpt.report.stats import Columns, per_row
from fingpt.report.text import FAITHFULNESS, TEXT_METRICS

SECTION_TITLES = {
    "pros": "positive developments",
    "cons": "potential concerns",
    "analysis": "analysis",
}
ROUGE_TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}
BOTH = "answers that both gave"
_TINY = 1e-9


def _mean_of(total: Callable[[ScoreArrays], Floats]) -> Callable[[ScoreArrays], Columns]:
    """The columns of a mean of `total` over rows."""
    return lambda scores: per_row(total(scores))


def _rouge(section: str, kind: str) -> Metric:
    name = f"{section}_{kind}"
    return Metric(
        key=name,
        group="ROUGE",
        title=f"{ROUGE_TITLES[kind]}, {SECTION_TITLES[section]}",
        unit="",
        higher_is_better=True,
        columns=_mean_of(lambda scores: scores.rouge_or_zero(name)),
        rows="both",
        touch="text",
    )


def relative_direction(
    forecast: Floats, truth: Floats, weeks: Sequence[str], asked: Floats | None = None
) -> Floats:
    """1 where the forecast is on the same side of its week's mean as the truth is of its; half where on none.

    What all stocks of a week did is taken out of both, so that no constant forecast is right more often than a coin.
    A forecast that is NaN is one of 0, but where none was `asked` for (0 there): the week's mean of forecasts is over
    the others, and such a row's figure means nothing.
    """
    _, code = np.unique(np.asarray(weeks), return_inverse=True)
    every = np.ones(len(truth))
    sides = []
    for moves, counted in (
        (np.nan_to_num(forecast), every if asked is None else asked),
        (truth, every),
    ):
        total, size = (np.bincount(code, weights=each) for each in (moves * counted, counted))
        away = moves - (total / np.maximum(size, 1))[code]
        sides.append(np.sign(np.where(np.abs(away) < _TINY, 0.0, away)))
    found: Floats = (1 + sides[0] * sides[1]) / 2
    return found


LOSS = Metric(
    key="loss",
    group="Loss",
    title="loss on test answers",
    unit="nats per token",
    higher_is_better=False,
    columns=lambda scores: {"total": scores.nll, "count": scores.answer_tokens},
    rows="scored",
    needs="loss",
)
MSE = Metric(
    key="mse",
    group="MSE",
    title="all answers, unread = 0",
    unit="pp²",
    higher_is_better=False,
    columns=_mean_of(lambda scores: scores.squared_error),
    digits=2,
)
MSE_READ = replace(MSE, key="mse_read", title=BOTH, rows="both")
ACCURACY = Metric(
    key="accuracy",
    group="Binary accuracy",
    title="all answers, unread = wrong",
    unit="%",
    higher_is_better=True,
    columns=_mean_of(lambda scores: scores.correct),
    scale=100,
    digits=1,
)
ACCURACY_READ = replace(ACCURACY, key="accuracy_read", title=BOTH, rows="both")
ACCURACY_EXCESS = replace(
    ACCURACY,
    key="accuracy_excess",
    title=f"against the week's mean, {BOTH}",
    columns=_mean_of(lambda s: relative_direction(s.margin, s.truth, s.week, s.asked)),
    rows="both",
)
ROUGE = tuple(_rouge(section, kind) for section in SECTIONS for kind in ROUGES)
PARSED = Metric(
    key="parsed",
    group="Form",
    title="answers that can be read",
    unit="%",
    higher_is_better=True,
    columns=_mean_of(lambda scores: scores.valid),
    touch=None,
    compared=False,
    scale=100,
    digits=1,
)
"""Context: which answers can be read decides what is compared, and makes no better forecaster."""

TEXT = tuple(
    replace(metric, group="Text", touch=None, compared=metric is FAITHFULNESS)
    for metric in TEXT_METRICS
)
"""Length and truncation are context: no length is better than another."""
ANCHORED, CALIBRATED, *_rest = (
    replace(metric, group="Probability", rows="scored", needs="")
    for metric in (ANCHORED_LOG_LOSS, CALIBRATED_LOG_LOSS, *METRICS)
)
PROBABILITIES = tuple(_rest)
"""Metrics of label probabilities, which every row has, whatever its prose."""
LOG_LOSS = next(metric for metric in PROBABILITIES if metric.key == LABEL_LOG_LOSS.key)

SCORED = (PARSED, *ROUGE, MSE, MSE_READ, ACCURACY, ACCURACY_READ, ACCURACY_EXCESS)
OWN = (
    LOSS,
    PARSED,
    *(m for m in ROUGE if m.key.endswith("rouge1")),
    MSE,
    MSE_READ,
    ACCURACY,
    ACCURACY_READ,
)
"""What a tuned model is compared in with its own base."""

PRIMARIES = {
    "direction": (ANCHORED, LOG_LOSS, ACCURACY, ACCURACY_READ),
    "loss": (LOSS,),
    "size": (MSE, MSE_READ),
}
"""Primary question → its metrics; the first that all models have and that can be compared answers it."""

MARGINS = {
    "label_log_loss_anchored": 0.02,
    "label_log_loss": 0.02,
    "accuracy": 0.05,
    "accuracy_read": 0.05,
    "loss": 0.01,
    "mse": 0.5,
    "mse_read": 0.5,
}
"""Gaps that count as none where the configuration names no margin of its own."""

MEASURES = {
    metric.key: metric for metric in (LOSS, ANCHORED, CALIBRATED, *PROBABILITIES, *TEXT, *SCORED)
}
"""Key → metric of the main table."""
