"""A line of the table: one metric of two or more models, each value and each pair's difference with its interval.

A metric is columns of per-row contributions and a statistic of their sums, so that one way of dividing them among weeks
serves them all. Which metrics stand in the table is `table`'s; what a family of lines shows together is `flips`';
timings are `timing`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fingpt.leaks import Touched
from fingpt.metrics import Floats, mean
from fingpt.record import Frozen
from fingpt.report.clusters import Weeks
from fingpt.report.flips import Difference
from fingpt.report.paired import Parts, paired, parts, seeded
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Columns, Estimate, Statistic, WeekBootstrap
from fingpt.report.verdict import Verdict


@dataclass(frozen=True)
class Metric:
    """A metric of scored rows: `columns` of contributions, one entry per row, and the `statistic` of their sums.

    `rows`: over which rows; `both` are those whose answers every compared model gave in a form that can be read;
    `all` counts an unread answer as something, so it is compared only where about as many were read; `scored` needs no
    answer. `touch`: which leaks spoil it. `needs`: which obstacle of its own forbids a comparison. `scale` and
    `digits`: for display, see `Line`.
    """

    key: str
    group: str
    title: str
    unit: str
    higher_is_better: bool
    columns: Callable[[ScoreArrays], Columns]
    statistic: Statistic = mean
    rows: Literal["all", "both", "scored"] = "all"
    touch: Touched | None = "forecast"
    needs: Literal["loss", "decoding", ""] = "decoding"
    compared: bool = True
    scale: float = 1.0
    digits: int = 3

    def of(self, scores: ScoreArrays) -> Estimate:
        """The metric's value over one model's answers; where `rows` is `both`, over those that it gave."""
        weeks = Weeks.of(scores.week)
        variant = Variant.of([scores], weeks)
        return measured(self, variant, variant.mask(self, variant.read), weeks.count)[0]

    def counted(self, scores: ScoreArrays, mask: Floats) -> Columns:
        """The columns, with 0 for rows outside `mask`."""
        columns = self.columns(scores)
        return {name: np.where(mask > 0, column, 0.0) for name, column in columns.items()}


class Comparison(Frozen):
    """Model number `second` against model number `first`, both counted from 0; `why`: what forbids a comparison.

    The interval of `difference` holds at `level`, together with those of all lines that are tested with it.
    """

    first: int = 0
    second: int = 1
    difference: Estimate | None
    level: float | None = None
    verdict: Verdict
    why: str = ""
    note: str = ""

    @property
    def phrase(self) -> str:
        """The verdict as it is printed, with its reason."""
        return f"{self.verdict.label}: {self.why}" if self.why else self.verdict.label


class Line(Frozen):
    """One row of the table: a metric, each model's value, and each later model against each earlier one.

    `group` is one of the six metrics. `scale` multiplies values for display (100 for percent), `digits` rounds them.
    `primary`: the question that was written down before the training.
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
    primary: bool = False


@dataclass(frozen=True, eq=False)
class Variant:
    """Scored answers of one model under one name, one `ScoreArrays` per training seed over the same rows."""

    seeds: tuple[ScoreArrays, ...]
    codes: NDArray[np.intp]
    block: int
    _bootstraps: dict[bytes, WeekBootstrap] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, seeds: Sequence[ScoreArrays], weeks: Weeks) -> Variant:
        """The seeds' answers with the week of each row."""
        return cls(tuple(seeds), weeks.codes(seeds[0].week), weeks.block)

    def bootstrap(self, used: NDArray[np.bool_]) -> WeekBootstrap:
        """The resampled weeks of these rows, made once."""
        key = used.tobytes()
        if key not in self._bootstraps:
            self._bootstraps[key] = WeekBootstrap(self.codes[used], block=self.block)
        return self._bootstraps[key]

    @property
    def read(self) -> Floats:
        """1 where the answers of all seeds could be read."""
        found: Floats = np.prod([scores.valid for scores in self.seeds], axis=0)
        return found

    @property
    def asked(self) -> Floats:
        """1 where an answer was asked for."""
        found: Floats = np.prod([scores.asked for scores in self.seeds], axis=0)
        return found

    def mask(self, metric: Metric, both: Floats) -> Floats:
        """1 for rows that enter the metric; `both`: rows that every compared model answered."""
        if metric.rows == "scored":
            return np.ones(len(self.codes))
        return both if metric.rows == "both" else self.asked


def answered(variants: Sequence[Variant]) -> list[Floats]:
    """For each variant the rows that it and all others over the same rows answered."""
    found = []
    for one in variants:
        alike = [v for v in variants if v.seeds[0].example == one.seeds[0].example]
        found.append(np.prod([v.read for v in alike], axis=0))
    return found


def measured(
    metric: Metric, variant: Variant, mask: Floats, weeks: int
) -> tuple[Estimate, Parts | None]:
    """The metric's value with its interval over the rows of `mask`, and its parts by week and seed."""
    columns = [metric.counted(scores, mask) for scores in variant.seeds]
    found = parts(metric.statistic, columns, variant.codes, weeks)
    if len(columns) > 1 and found is not None:
        return seeded(found, variant.codes, mask, variant.block), found
    used = mask > 0
    kept = {name: column[used] for name, column in columns[0].items()}
    return variant.bootstrap(used).estimate(metric.statistic, kept), found


@dataclass(frozen=True, eq=False)
class Draft:
    """A line before its verdicts: the values, and for each pair the difference or the reason why there is none."""

    metric: Metric
    values: tuple[Estimate, ...]
    pairs: tuple[tuple[int, int], ...]
    differences: tuple[Difference | str, ...]


def draft(
    metric: Metric,
    variants: Sequence[Variant],
    weeks: int,
    why_not: Callable[[int, int], str],
) -> Draft:
    """One metric over several variants; `why_not` names what forbids comparing the pair of these numbers."""
    masks = [
        variant.mask(metric, both)
        for variant, both in zip(variants, answered(variants), strict=True)
    ]
    found = [
        measured(metric, variant, mask, weeks)
        for variant, mask in zip(variants, masks, strict=True)
    ]
    pairs = tuple(combinations(range(len(variants)), 2))
    differences: list[Difference | str] = []
    for first, second in pairs:
        why = why_not(first, second)
        gap = (
            None
            if why
            else paired(found[first][1], found[second][1], variants[first].codes, masks[first])
        )
        lacking = [found[place][1] is None for place in (first, second)]
        undefined = f"undefined for {'both' if all(lacking) else 'one of the two'}"
        nothing = undefined if masks[first].any() else "no answer could be read"
        differences.append(why if why else gap if gap is not None else nothing)
    return Draft(metric, tuple(value for value, _ in found), pairs, tuple(differences))
