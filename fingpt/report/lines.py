"""A line of the table: one metric of two or more variants, each value and each paired difference with its interval.

A metric is columns of per-row contributions and a statistic of their sums, so that one bootstrap serves them all.
Which metrics stand in the table, and in what order, is `table`'s; timings are `timing`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fingpt.metrics import mean
from fingpt.record import Frozen
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Obstacles
from fingpt.report.stats import Columns, Estimate, Statistic, WeekBootstrap
from fingpt.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Metric:
    """A metric of scored rows: `columns` of contributions, one entry per row, and the `statistic` of their sums.

    `only_read`: over the answers that the parser read, instead of over all rows. `needs`: which of `Obstacles` forbids
    a comparison. `scale` and `digits`: for display, see `Line`.
    """

    key: str
    group: str
    title: str
    unit: str
    higher_is_better: bool
    columns: Callable[[ScoreArrays], Columns]
    statistic: Statistic = mean
    only_read: bool = False
    needs: Literal["loss", "decoding"] = "decoding"
    scale: float = 1.0
    digits: int = 3

    def of(self, scores: ScoreArrays, seed: int = 0) -> Estimate:
        """The metric's value over one variant; its `n` counts the rows that entered."""
        found = WeekBootstrap(scores.week, seed).estimate(self.statistic, self.counted(scores))
        return found.model_copy(
            update={"n": int(scores.valid.sum()) if self.only_read else scores.n}
        )

    def counted(self, scores: ScoreArrays) -> Columns:
        """The columns, with 0 for rows that do not count."""
        columns = self.columns(scores)
        if not self.only_read:
            return columns
        return {name: column * scores.valid for name, column in columns.items()}


class Comparison(Frozen):
    """A later model (or the tuned one) against the first; `why`: what forbids a comparison."""

    difference: Estimate | None
    verdict: Verdict
    why: str = ""
    note: str = ""

    @property
    def phrase(self) -> str:
        """The verdict as it is printed, with its reason."""
        return f"{self.verdict.label}: {self.why}" if self.why else self.verdict.label


class Line(Frozen):
    """One row of the table: a metric, each model's value, and each later model against the first.

    `group` is one of the six metrics. `scale` multiplies values for display (100 for percent), `digits` rounds them.
    """

    key: str
    group: str
    title: str
    unit: str
    higher_is_better: bool
    scale: float
    digits: int
    values: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]


def line(
    metric: Metric, variants: Sequence[ScoreArrays], obstacles: Sequence[Obstacles], seed: int
) -> Line:
    """One metric over several variants, each later one against the first unless an obstacle forbids it."""
    comparisons = []
    for scores, obstacle in zip(variants[1:], obstacles, strict=True):
        why = obstacle.rows or (obstacle.loss if metric.needs == "loss" else obstacle.decoding)
        if why:
            found = Comparison(difference=None, verdict=Verdict.NOT_COMPARABLE, why=why)
        else:
            difference = WeekBootstrap(scores.week, seed).difference(
                metric.statistic, metric.counted(variants[0]), metric.counted(scores)
            )
            word, reason = verdict(difference, metric.higher_is_better)
            found = Comparison(difference=difference, verdict=word, why=reason)
        comparisons.append(found)
    return Line(
        key=metric.key,
        group=metric.group,
        title=metric.title,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        digits=metric.digits,
        values=tuple(metric.of(scores, seed) for scores in variants),
        comparisons=tuple(comparisons),
    )
