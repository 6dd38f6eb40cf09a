"""Blocks of whole weeks: how wide an embargo must be, where the blocks are cut, which rows are purged. Pure.

Rows are cut by the day on which their forecast is made (the as-of date). An embargo of k weeks keeps every forecast's
end at least k weeks before the first as-of date of the next block (López de Prado 2018, chapter 7, has purging and
embargo).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from math import ceil

from fingpt.prep.facts import facts
from fingpt.prompts.examples import Example

_FIT = {"train": 20, "test": 10, "validation": 4, "embargo": 4}
"""Weeks that a good split has of each; a suggestion for few weeks keeps the same proportions."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes in weeks; `later`: weeks behind the test block, which the newer origins of a walk-forward test."""

    test: int
    validation: int
    embargo: int
    later: int = 0


@dataclass(frozen=True, slots=True)
class Blocks:
    """Rows per block; `embargoed` rows lie between the blocks, `later` ones behind the test block."""

    train: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()
    embargoed: int = 0
    later: int = 0


def week_number(example: Example) -> int:
    """Number of the calendar week, Sunday to Saturday, in which the forecast starts."""
    return example.start.toordinal() // 7


def weeks_of(rows: Iterable[Example]) -> int:
    """Number of distinct forecast weeks: the effective sample, as rows of one week share the market."""
    return len({week_number(example) for example in rows})


def least_embargo(rows: Iterable[Example]) -> int:
    """Weeks that the prompts look back or the labels look ahead, whichever is more; at least 1."""
    days = [
        (one.start - min([week.start for week in facts(one).weeks], default=one.start)).days
        for one in rows
    ]
    days += [(one.end - one.start).days for one in rows]
    return max(1, ceil(max(days, default=7) / 7))


def cut(rows: Sequence[Example], shape: Shape) -> Blocks:
    """Whole weeks from the newest backwards: later, test, embargo, validation, embargo; the rest is train.

    A block that the weeks do not suffice for is empty.
    """
    weeks = sorted({week_number(example) for example in rows})
    end = len(weeks) - shape.later
    if end < shape.test:
        return Blocks()
    tested = set(weeks[end - shape.test : end])
    test = tuple(one for one in rows if week_number(one) in tested)
    older = [one for one in rows if week_number(one) < min(tested)]
    found = cut_before(older, test, shape)
    later = len(rows) - len(test) - len(older)
    return Blocks(found.train, found.validation, test, found.embargoed, later)


def cut_before(rows: Sequence[Example], test: tuple[Example, ...], shape: Shape) -> Blocks:
    """Validation, before it train, each with its embargo, of `rows` for a test block that is given."""
    before = _ending_before(rows, test, shape.embargo)
    validation: tuple[Example, ...] = ()
    if shape.validation:
        weeks = sorted({week_number(one) for one in before})
        if len(weeks) < shape.validation:
            return Blocks(test=test, embargoed=len(rows) - len(before))
        first = weeks[-shape.validation]
        validation = tuple(one for one in before if week_number(one) >= first)
        older = [one for one in before if week_number(one) < first]
        before = _ending_before(older, validation, shape.embargo)
    left = len(rows) - len(validation) - len(before)
    return Blocks(tuple(before), validation, test, left)


def _ending_before(
    rows: Sequence[Example], block: Sequence[Example], embargo: int
) -> list[Example]:
    latest = min(one.start for one in block) - timedelta(weeks=embargo)
    return [one for one in rows if one.end <= latest]


def purged(rows: Sequence[Example], later: Iterable[Example]) -> tuple[Example, ...]:
    """Those of `rows` whose forecast week overlaps no forecast week of `later`, and whose prompt tells no price of one.

    A week ends on the day on which the next one starts, without an overlap.
    """
    starts, ends = _joined((one.start, one.end) for one in later)

    def overlaps(start: date, end: date) -> bool:
        return bisect_left(starts, end) > bisect_right(ends, start)

    return tuple(
        one
        for one in rows
        if not overlaps(one.start, one.end)
        and not any(overlaps(week.start, week.end) for week in facts(one).weeks)
    )


def _joined(spans: Iterable[tuple[date, date]]) -> tuple[list[date], list[date]]:
    """Starts and ends of the fewest disjoint spans that cover the same days, in order."""
    starts: list[date] = []
    ends: list[date] = []
    for start, end in sorted(set(spans)):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends


def interleaving(train: Sequence[Example], test: Sequence[Example]) -> float:
    """Share of (train row, test row) pairs in which the train row is not the older one.

    0 for a cut by calendar; about a half where rows were drawn at random.
    """
    tested = sorted(one.start for one in test)
    newer = sum(bisect_right(tested, one.start) for one in train)
    return newer / (len(train) * len(test)) if train and test else 0.0


def fitting_shape(rows: Sequence[Example], wanted: Shape, origins: int, least: int) -> Shape | None:
    """The shape of at most `wanted`'s sizes that suits these weeks best; None when there are too few for any.

    `origins` test blocks follow one another, and the oldest must have training rows. `least`: of the embargo.
    """
    weeks = {week_number(one): one for one in rows}
    sample = [weeks[number] for number in sorted(weeks)]

    def enough(found: Blocks) -> bool:
        tuned = bool(found.validation) or not wanted.validation
        return bool(found.train) and bool(found.test) and tuned

    def fitness(shape: Shape) -> tuple[float, float]:
        found = cut(sample, shape)
        if not enough(found):
            return 0.0, 0.0
        sizes = {
            "train": len(found.train),
            "test": origins * shape.test,
            "validation": shape.validation,
            "embargo": shape.embargo,
        }
        parts = [min(1.0, size / _FIT[name]) for name, size in sizes.items()]
        return min(parts), sum(parts)

    shapes = [
        Shape(test, validation, embargo, (origins - 1) * test)
        for test, validation, embargo in product(
            range(1, wanted.test + 1),
            range(min(1, wanted.validation), wanted.validation + 1),
            range(min(least, wanted.embargo), wanted.embargo + 1),
        )
    ]
    best = max(shapes, key=fitness)
    return best if enough(cut(rows, best)) else None
