"""One metric of two or more sets of scored rows: values, differences with intervals, and one verdict word each.

A verdict says how a later model stands against the first one. It is `better` or `worse` only where the 95 % interval of
the paired difference leaves out 0. Pure: records in, records out; the words around the table are `headline`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fingpt.record import Frozen
from fingpt.report.baselines import Baseline
from fingpt.report.metrics import Metric
from fingpt.report.score_arrays import Rows
from fingpt.report.sides import Obstacles
from fingpt.report.stats import MIN_WEEKS, Estimate, WeekBootstrap

Word = Literal["better", "worse", "no detectable difference", "not comparable"]


class Comparison(Frozen):
    """A later model (or the tuned one) against the first: difference, verdict word, and why it is not comparable."""

    difference: Estimate | None
    verdict: Word
    why: str = ""
    note: str = ""

    @property
    def phrase(self) -> str:
        """The verdict as it is printed."""
        return f"{self.verdict}: {self.why}" if self.why else self.verdict


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


class Skill(Frozen):
    """One model against the best trivial forecast: accuracy above it, and MSE skill 1 − MSE/MSE(no change)."""

    model: str
    accuracy_rival: str
    accuracy_gain: Estimate
    accuracy_verdict: Word
    mse_skill: Estimate
    mse_verdict: Word


def word(difference: Estimate, higher_is_better: bool) -> tuple[Word, str]:
    """Verdict word of a difference against 0, and the reason where there is none."""
    if difference.value is None:
        return "not comparable", "no answer could be read"
    if difference.low is None or difference.high is None:
        return "not comparable", f"{difference.weeks} test weeks, an interval needs {MIN_WEEKS}"
    if difference.low <= 0 <= difference.high:
        return "no detectable difference", ""
    return ("better" if (difference.low > 0) == higher_is_better else "worse"), ""


def line(metric: Metric, variants: Sequence[Rows], blocks: Sequence[Obstacles], seed: int) -> Line:
    """One metric over several variants of scored rows, each later one against the first unless a block forbids it."""
    values = tuple(_value(metric, rows, seed) for rows in variants)
    comparisons = []
    for rows, block in zip(variants[1:], blocks, strict=True):
        why = block.rows or (block.loss if metric.needs == "loss" else block.decoding)
        if why:
            comparisons.append(Comparison(difference=None, verdict="not comparable", why=why))
            continue
        bottoms = (
            (None, None)
            if metric.bottom is None
            else (metric.bottom(variants[0]), metric.bottom(rows))
        )
        difference = WeekBootstrap(rows.week, seed).difference(
            metric.top(variants[0]), metric.top(rows), *bottoms
        )
        verdict, reason = word(difference, metric.higher)
        comparisons.append(Comparison(difference=difference, verdict=verdict, why=reason))
    return Line(
        key=metric.key,
        group=metric.group,
        title=metric.title,
        unit=metric.unit,
        higher_is_better=metric.higher,
        scale=metric.scale,
        digits=metric.digits,
        values=values,
        comparisons=tuple(comparisons),
    )


def skill(title: str, rows: Rows, zero: Baseline, rival: Baseline, seed: int = 0) -> Skill:
    """The model `title` against no change (`zero`) in size, and the best trivial forecast (`rival`) in direction.

    The baselines must have been made for the same rows in the same order.
    """
    bootstrap = WeekBootstrap(rows.week, seed)
    assert rival.correct is not None
    gain = bootstrap.difference(rival.correct, rows.correct)
    ratio = bootstrap.mean(rows.squared_error, zero.squared_error)
    mse_skill = Estimate(
        value=None if ratio.value is None else 1 - ratio.value,
        low=None if ratio.high is None else 1 - ratio.high,
        high=None if ratio.low is None else 1 - ratio.low,
        n=ratio.n,
        weeks=ratio.weeks,
    )
    return Skill(
        model=title,
        accuracy_rival=rival.title,
        accuracy_gain=gain,
        accuracy_verdict=word(gain, True)[0],
        mse_skill=mse_skill,
        mse_verdict=word(mse_skill, True)[0],
    )


def _value(metric: Metric, rows: Rows, seed: int) -> Estimate:
    bottom = None if metric.bottom is None else metric.bottom(rows)
    found = WeekBootstrap(rows.week, seed).mean(metric.top(rows), bottom)
    counted = rows.n if metric.key == "loss" or bottom is None else int(bottom.sum())
    return found.model_copy(update={"n": counted})
