"""The scored metrics as ratios of per-row sums, so that one bootstrap serves them all; timings are in `timing`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fingpt.report.score_arrays import ROUGES, SECTIONS, Rows
from fingpt.report.stats import Floats

SECTION_TITLES = {
    "pros": "positive developments",
    "cons": "potential concerns",
    "analysis": "analysis",
}
ROUGE_TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


@dataclass(frozen=True)
class Metric:
    """A metric as a ratio of per-row sums: `top` over `bottom` (over the rows when None). `needs`: see Obstacles."""

    key: str
    group: str
    title: str
    unit: str
    higher: bool
    needs: Literal["loss", "decoding"]
    top: Callable[[Rows], Floats]
    bottom: Callable[[Rows], Floats] | None = None
    scale: float = 1.0
    digits: int = 3


def _rouge(section: str, name: str) -> Metric:
    column = f"{section}_{name}"
    title = f"{ROUGE_TITLES[name]}, {SECTION_TITLES[section]}"
    return Metric(
        column, "ROUGE", title, "", True, "decoding", lambda rows: rows.rouge_or_zero(column)
    )


LOSS = Metric(
    "loss",
    "Loss",
    "loss on test answers",
    "nats per token",
    False,
    "loss",
    lambda rows: rows.nll,
    lambda rows: rows.answer_tokens,
)
MSE = Metric(
    "mse",
    "MSE",
    "all answers, unread = 0",
    "pp²",
    False,
    "decoding",
    lambda r: r.squared_error,
    digits=2,
)
MSE_READ = Metric(
    "mse_read",
    "MSE",
    "answers that were read",
    "pp²",
    False,
    "decoding",
    lambda rows: rows.squared_error * rows.valid,
    lambda rows: rows.valid,
    digits=2,
)
ACCURACY = Metric(
    "accuracy",
    "Binary accuracy",
    "all answers, unread = wrong",
    "%",
    True,
    "decoding",
    lambda rows: rows.correct,
    scale=100,
    digits=1,
)
ACCURACY_READ = Metric(
    "accuracy_read",
    "Binary accuracy",
    "answers that were read",
    "%",
    True,
    "decoding",
    lambda rows: rows.correct * rows.valid,
    lambda rows: rows.valid,
    scale=100,
    digits=1,
)
ROUGE = tuple(_rouge(section, name) for section in SECTIONS for name in ROUGES)
PARSED = Metric(
    "parsed",
    "Form",
    "answers that can be read",
    "%",
    True,
    "decoding",
    lambda r: r.parsed,
    scale=100,
    digits=1,
)
