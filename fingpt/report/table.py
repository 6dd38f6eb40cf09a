"""The table of a report: the six metrics of several runs, and each tuned model against its own base. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fingpt.report.metrics import (
    ACCURACY,
    ACCURACY_READ,
    LOSS,
    MSE,
    MSE_READ,
    PARSED,
    ROUGE,
    Metric,
)
from fingpt.report.sides import Obstacles, Side, obstacles
from fingpt.report.timing import run_time, speed
from fingpt.report.verdict import Line, line


def table(sides: Sequence[Side], seed: int = 0) -> tuple[Line, ...]:
    """The six metrics in the report's order, every later side against the first."""
    blocks = [obstacles(sides[0], side) for side in sides[1:]]

    def lines(*metrics: Metric) -> tuple[Line, ...]:
        return tuple(
            line(metric, [side.tuned for side in sides], blocks, seed) for metric in metrics
        )

    scored = lines(*ROUGE, MSE, MSE_READ, ACCURACY, ACCURACY_READ)
    return (*lines(LOSS), *speed(sides), *scored, *run_time(sides))


def base_against_tuned(side: Side, seed: int = 0) -> tuple[Line, ...]:
    """The untuned base (first) and the tuned model (second) on the same rows; empty when the base was not scored."""
    if "base" not in side.rows:
        return ()
    variants = [side.rows["base"], side.tuned]
    block = (
        Obstacles()
        if variants[0].example == variants[1].example
        else Obstacles(rows="different test rows")
    )
    metrics = (LOSS, PARSED, *(m for m in ROUGE if m.key.endswith("rouge1")), MSE, ACCURACY)
    return tuple(line(metric, variants, [block], seed) for metric in metrics)
