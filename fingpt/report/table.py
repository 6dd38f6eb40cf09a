"""The table of a report: which metrics stand in it and in what order, of several runs and of a model against its base.

A new metric is one `Metric` here and its place in `table`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fingpt.metrics import Floats
from fingpt.report.lines import Line, Metric, line
from fingpt.report.score_arrays import ROUGES, SECTIONS, ScoreArrays
from fingpt.report.sides import Obstacles, Side, obstacles
from fingpt.report.stats import Columns, per_row
from fingpt.report.timing import run_time, speed

SECTION_TITLES = {
    "pros": "positive developments",
    "cons": "potential concerns",
    "analysis": "analysis",
}
ROUGE_TITLES = {"rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L"}


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
    )


LOSS = Metric(
    key="loss",
    group="Loss",
    title="loss on test answers",
    unit="nats per token",
    higher_is_better=False,
    columns=lambda scores: {"total": scores.nll, "count": scores.answer_tokens},
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
MSE_READ = replace(MSE, key="mse_read", title="answers that were read", only_read=True)
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
ACCURACY_READ = replace(
    ACCURACY, key="accuracy_read", title="answers that were read", only_read=True
)
ROUGE = tuple(_rouge(section, kind) for section in SECTIONS for kind in ROUGES)
PARSED = Metric(
    key="parsed",
    group="Form",
    title="answers that can be read",
    unit="%",
    higher_is_better=True,
    columns=_mean_of(lambda scores: scores.parsed),
    scale=100,
    digits=1,
)


def table(sides: Sequence[Side], seed: int = 0) -> tuple[Line, ...]:
    """The six metrics in the report's order, every later side against the first."""
    found = [obstacles(sides[0], side) for side in sides[1:]]

    def lines(*metrics: Metric) -> tuple[Line, ...]:
        return tuple(
            line(metric, [side.tuned for side in sides], found, seed) for metric in metrics
        )

    scored = lines(*ROUGE, MSE, MSE_READ, ACCURACY, ACCURACY_READ)
    return (*lines(LOSS), *speed(sides), *scored, *run_time(sides))


def base_against_tuned(side: Side, seed: int = 0) -> tuple[Line, ...]:
    """The untuned base (first) and the tuned model (second) on the same rows; empty when the base was not scored."""
    if "base" not in side.arrays:
        return ()
    base, tuned = side.arrays["base"], side.tuned
    found = Obstacles(rows="" if base.example == tuned.example else "different test rows")
    metrics = (LOSS, PARSED, *(m for m in ROUGE if m.key.endswith("rouge1")), MSE, ACCURACY)
    return tuple(line(metric, [base, tuned], [found], seed) for metric in metrics)
