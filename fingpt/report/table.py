"""The table of a report: every line with its verdicts, of several models and of each model against its base.

The question that was written down first is tested at one level, all other lines of the report together at another, so
that a report of pure noise names a winner in at most 5 % of cases. Which metrics there are is `measures`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from fingpt.config import CompareConfig
from fingpt.report.clusters import MIN_CLUSTERS, Weeks
from fingpt.report.flips import PRIMARY_ALPHA, SECONDARY_ALPHA, Difference, Interval, intervals
from fingpt.report.formatting import p_value
from fingpt.report.lines import Comparison, Draft, Line, Metric, Variant, draft
from fingpt.report.measures import (
    ANCHORED,
    CALIBRATED,
    LOG_LOSS,
    LOSS,
    MARGINS,
    OWN,
    PRIMARIES,
    PROBABILITIES,
    SCORED,
    TEXT,
)
from fingpt.report.sides import Obstacles, Side, obstacles, own_obstacles
from fingpt.report.stats import Estimate, diebold_mariano_p
from fingpt.report.timing import run_time, speed
from fingpt.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Tables:
    """The report's lines: the models against each other, and each against its own base (empty where not scored).

    `primary`: key of the line that answers the primary question; `margin`: its margin of equivalence, in its own unit.
    `secondary`: how many other comparisons were tested together. `block`: weeks that were drawn as one.
    """

    lines: tuple[Line, ...]
    own: tuple[tuple[Line, ...], ...]
    primary: str
    margin: float
    secondary: int
    block: int


def tables(sides: Sequence[Side], weeks: Weeks | None = None) -> Tables:
    """All lines with their verdicts; `weeks` says what is drawn as one, by default the days of the rows."""
    weeks = weeks or Weeks.of(day for side in sides for day in side.tuned.week)
    ask = sides[0].compare
    found = {
        pair: obstacles(sides[pair[0]], sides[pair[1]])
        for pair in combinations(range(len(sides)), 2)
    }
    variants = [Variant.of(side.seeds("tuned"), weeks) for side in sides]
    labels = _label_metrics(variants)
    text = TEXT if all(map(_has_text, variants)) else ()
    main = [_draft(metric, variants, found, weeks) for metric in (LOSS, *labels, *text, *SCORED)]
    own = [_own_drafts(side, weeks) for side in sides]
    primary = _primary(ask, main)
    block = _block(primary, weeks)
    rest = [one for one in (*main, *(one for each in own for one in each)) if one is not primary]
    margin = ask.margin or MARGINS[primary.metric.key]
    decided = {
        **_decide([primary], PRIMARY_ALPHA, block, margin),
        **_decide(rest, SECONDARY_ALPHA, block),
    }
    lines = [_line(one, decided[id(one)], one is primary) for one in main]
    asked = 1 + len(labels)
    return Tables(
        lines=(*lines[:asked], *speed(sides), *lines[asked:], *run_time(sides)),
        own=tuple(tuple(_line(one, decided[id(one)]) for one in each) for each in own),
        primary=primary.metric.key,
        margin=margin,
        secondary=sum(
            isinstance(gap, Difference) and one.metric.compared
            for one in rest
            for gap in one.differences
        ),
        block=block,
    )


def _draft(
    metric: Metric,
    variants: Sequence[Variant],
    found: dict[tuple[int, int], Obstacles],
    weeks: Weeks,
) -> Draft:
    return draft(
        metric,
        variants,
        weeks.count,
        lambda i, j: found[i, j].against(metric.rows, metric.touch, metric.needs),
    )


def _own_drafts(side: Side, weeks: Weeks) -> list[Draft]:
    if "base" not in side.arrays:
        return []
    variants = [Variant.of(side.seeds(name), weeks) for name in ("base", "tuned")]
    labels = (LOG_LOSS,) if all(map(_has_labels, variants)) else ()
    found = {(0, 1): own_obstacles(side)}
    return [_draft(metric, variants, found, weeks) for metric in (*labels, *OWN)]


def _label_metrics(variants: Sequence[Variant]) -> tuple[Metric, ...]:
    """The metrics of label probabilities that all variants have, those that were fitted first."""
    if not all(map(_has_labels, variants)):
        return ()
    fitted = all(one.anchored_logp is not None for each in variants for one in each.seeds)
    return (ANCHORED, LOG_LOSS, CALIBRATED, *PROBABILITIES[1:]) if fitted else PROBABILITIES


def _has_text(variant: Variant) -> bool:
    return all(scores.numbers is not None for scores in variant.seeds)


def _has_labels(variant: Variant) -> bool:
    return all(scores.label_logp is not None for scores in variant.seeds)


def _primary(ask: CompareConfig, main: Sequence[Draft]) -> Draft:
    """The line that answers the primary question: the first of its metrics that can be compared."""
    known = {one.metric.key: one for one in main}
    asked = [known[metric.key] for metric in PRIMARIES[ask.primary] if metric.key in known]
    for one in asked:
        if any(isinstance(gap, Difference) for gap in one.differences):
            return one
    return asked[0]


def _block(primary: Draft, weeks: Weeks) -> int:
    """Weeks that are drawn as one: more than one where windows overlap or the primary differences correlate."""
    found = [weeks.block]
    for gap in primary.differences:
        if isinstance(gap, Difference):
            used = gap.share > 0
            found.append(weeks.block_for(gap.weekly[used] / gap.share[used]))
    return max(found)


def _decide(
    drafts: Sequence[Draft], alpha: float, block: int, margin: float | None = None
) -> dict[int, list[Comparison]]:
    """The comparisons of every draft (by its identity), those with a difference tested together at `alpha`."""
    family = [
        gap
        for one in drafts
        for gap in one.differences
        if isinstance(gap, Difference) and one.metric.compared
    ]
    found = iter(intervals(family, alpha, block))
    decided = {}
    for one in drafts:
        comparisons = []
        for gap in one.differences:
            if isinstance(gap, str):
                its = Comparison(difference=None, verdict=Verdict.NOT_COMPARABLE, why=gap)
            elif not one.metric.compared:
                its = Comparison(difference=_estimate(gap, None), verdict=Verdict.NOTE)
            else:
                its = _compared(one.metric, gap, next(found), block, margin)
                its = its.model_copy(update={"level": 1 - alpha})
            comparisons.append(its)
        decided[id(one)] = comparisons
    return decided


def _compared(
    metric: Metric, gap: Difference, found: Interval | None, block: int, margin: float | None
) -> Comparison:
    estimate = _estimate(gap, found)
    if found is None:
        why = f"{gap.weeks} test weeks"
        if block > 1:
            why += f" drawn {block} at a time, since they overlap or correlate"
        return Comparison(
            difference=estimate,
            verdict=Verdict.NOT_COMPARABLE,
            why=f"{why}; an interval needs {MIN_CLUSTERS}",
        )
    word = verdict(found, metric.higher_is_better, margin)
    return Comparison(
        difference=estimate, verdict=word, note=_dm(gap, block) if metric.group == "MSE" else ""
    )


def _dm(gap: Difference, block: int) -> str:
    used = gap.share > 0
    p = diebold_mariano_p(gap.weekly[used] / gap.share[used], block - 1)
    return "" if p is None else f"Diebold–Mariano {p_value(p)}"


def _estimate(gap: Difference, found: Interval | None) -> Estimate:
    return Estimate(
        value=gap.value,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        n=gap.n,
        weeks=gap.weeks,
    )


def _line(one: Draft, comparisons: Sequence[Comparison], primary: bool = False) -> Line:
    metric = one.metric
    return Line(
        key=metric.key,
        group=metric.group,
        title=metric.title,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        scale=metric.scale,
        digits=metric.digits,
        values=one.values,
        comparisons=tuple(
            comparison.model_copy(update={"first": i, "second": j})
            for (i, j), comparison in zip(one.pairs, comparisons, strict=True)
        ),
        primary=primary,
    )
