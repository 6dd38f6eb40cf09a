"""Low-order digits that tell the label: odd or even, the last digit, any remainder of a number at a fixed place. Pure.

A reference number that is even when the week goes up is a label in disguise: its size says nothing, so no rank
correlation finds it. Rows are grouped by the remainder, and the groups' mean ranks of the label within weeks are
compared with those under permuted labels, all numbers and divisors at once (max-T, as in `effect`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fingpt.prep.facts import Case
from fingpt.prep.lint.effect import ALPHA, DRAWS, Floats, Ints, Target
from fingpt.prep.lint.sections import Sections

_DIVISORS: dict[int, tuple[int, ...]] = {
    100: (2, 4, 5, 10, 20, 100),
    16: (8, 16),
    12: (3, 6, 12),
    9: (9,),
    7: (7,),
    11: (11,),
    13: (13,),
}
"""Divisors by the multiple of them whose groups are summed once."""
_CYCLE = (
    100 * 9 * 4 * 7 * 11 * 13
)  # a multiple of all: numbers of any length are kept as remainders by it
_ROOM = 4
"""A number's middle four fifths must span so many times a divisor, else its remainder is its size."""
_MOST_COLUMNS = 128
_MOST_HEADS = 4
_NEWS_PLACES = 2
_FOLDS = 5
_RUN = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_WORD = re.compile(r"[A-Za-z]+|#")


@dataclass(frozen=True)
class Column:
    """One number of the rows that have it: `rows` names these, `remainders` are by `_CYCLE`, `span` is its spread."""

    name: str
    rows: Ints
    remainders: Ints
    span: float


@dataclass(frozen=True)
class Told:
    """A column whose remainder by `divisor` goes with the label; `share`: how much of the ranks' variance it tells."""

    column: Column
    divisor: int
    share: float
    p: float

    @property
    def correlation(self) -> float:
        """The correlation of the ranks within weeks with what the remainder tells of them."""
        return float(np.sqrt(self.share))

    @property
    def name(self) -> str:
        """What of the number tells it."""
        part = {
            2: "odd or even",
            10: "last digit",
            100: "last two digits",
        }.get(self.divisor, f"remainder by {self.divisor}")
        return f"{self.column.name}, {part}"


def columns_of(
    rows: Sequence[Case], parts: Sequence[Sections], counts: Mapping[str, Floats]
) -> list[Column]:
    """Every number as it is written, at each fixed place that enough rows have; `counts`: lengths, by name.

    A number that says little more than which symbol a row is of is left out, since symbols drift.
    """
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for number, part in enumerate(parts):
        for name, value in _written(part).items():
            found[name].append((number, value))
    for name, lengths in counts.items():
        found[name] = list(enumerate(lengths.astype(np.int64).tolist()))
    symbols = [case.example.symbol for case in rows]
    least = max(20, len(rows) // 10)
    columns: dict[bytes, Column] = {}
    for name, pairs in sorted(found.items(), key=lambda each: (-len(each[1]), each[0])):
        if len(pairs) < least or _tells_symbol(pairs, symbols):
            continue
        places = np.array([place for place, _ in pairs], np.int64)
        values = np.array([value % _CYCLE for _, value in pairs], np.int64)
        low, high = np.quantile([float(value) for _, value in pairs], [0.1, 0.9])
        column = Column(name, places, values, float(high - low))
        columns.setdefault(places.tobytes() + values.tobytes(), column)
        if len(columns) == _MOST_COLUMNS:
            break
    return list(columns.values())


def told_by_remainders(columns: Sequence[Column], target: Target) -> list[Told]:
    """What goes with the label more than chance, the best first."""
    best = np.full(DRAWS, -np.inf)
    seen: list[tuple[Column, int, float]] = []
    scores: list[float] = []
    for column in columns:
        for divisor, statistics, share in _statistics(column, target):
            spread = statistics.std()
            if spread > 0:
                standard = (statistics - statistics.mean()) / spread
                best = np.maximum(best, standard[1:])
                seen.append((column, divisor, share))
                scores.append(float(standard[0]))
    found = []
    for place in np.argsort(-np.array(scores), kind="stable"):
        p = (1 + int((best >= scores[place] - 1e-6).sum())) / (1 + DRAWS)
        if p > ALPHA:
            break
        column, divisor, share = seen[place]
        found.append(Told(column, divisor, share, p))
    return found


def score_by_remainder(told: Told, target: Target) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What each remainder's commoner direction would score: (rows that have the number, whether each is right).

    The directions are learnt from four fifths of the weeks and tried on the others, in turn.
    """
    rows, groups = told.column.rows, told.column.remainders % told.divisor
    up, fold = target.up[rows], target.strata[rows] % _FOLDS
    right = np.zeros(len(rows), np.bool_)
    for held in range(_FOLDS):
        known, asked = fold != held, fold == held
        if known.any() and asked.any():
            sizes = np.bincount(groups[known], minlength=told.divisor)
            ups = np.bincount(groups[known], up[known], minlength=told.divisor)
            share = np.where(sizes > 0, ups / np.maximum(sizes, 1), up[known].mean())
            right[asked] = (share[groups[asked]] > 0.5) == up[asked]
    present = np.zeros(len(target.up), np.bool_)
    present[rows] = True
    return present, right


def _written(part: Sections) -> dict[str, int]:
    """Each number's digits by where it stands, the point left out, and those of its whole part where it has another."""
    found: dict[str, int] = {}

    def keep(name: str, text: str) -> None:
        digits = text.replace(",", "")
        found[name] = int(digits.replace(".", "")[-18:])
        if "." in digits:
            found[f"whole part of {name}"] = int(digits.partition(".")[0][-18:])

    for key, text in part.figures:
        if run := _RUN.search(text):
            keep(f"'{key}'", run[0])
    for where, lines in (("introduction", part.before), ("closing", part.after)):
        text = "\n".join(lines)
        runs = list(_RUN.finditer(text))
        for place, run in enumerate(runs, start=1):
            keep(f"number {place} of the {where}", run[0])
            keep(f"number {place - len(runs) - 1} of the {where}", run[0])
            before = _RUN.sub("#", text[max(0, run.start() - 60) : run.start()])
            words = " ".join(_WORD.findall(before)[-2:]).lower()
            keep(f"number after '{words}'", run[0])
    for back, line in enumerate(part.heads[: -_MOST_HEADS - 1 : -1], start=1):
        for place, run in enumerate(_RUN.finditer(line), start=1):
            keep(f"number {place} of week -{back}", run[0])
    told = _RUN.findall("\n".join(part.news))
    for place in range(min(_NEWS_PLACES, len(told))):
        keep(f"number {place + 1} of the news", told[place])
        keep(f"number {-place - 1} of the news", told[-place - 1])
    return found


def _tells_symbol(pairs: Sequence[tuple[int, int]], symbols: Sequence[str]) -> bool:
    """Whether more than half of the rows have their symbol's commonest value, symbols of one row left out."""
    values: dict[str, Counter[int]] = defaultdict(Counter)
    for place, value in pairs:
        values[symbols[place]][value] += 1
    several = [each for each in values.values() if each.total() > 1]
    same = sum(each.most_common(1)[0][1] for each in several)
    return 2 * same > sum(each.total() for each in several) > 0


def _statistics(column: Column, target: Target) -> Iterator[tuple[int, Floats, float]]:
    """(divisor, statistic under the true and each permuted labelling, share of variance told) for each divisor.

    The statistic is the cube root of the sum of the groups' squared standard scores, which is nearly normal for any
    number of groups (Wilson and Hilferty 1931).
    """
    strata, sizes = target.strata[column.rows], target.sizes
    spread = target.spread
    ranks = target.ranks[column.rows]
    total = float((ranks[:, 0].astype(np.float64) ** 2).sum())
    for multiple, divisors in _DIVISORS.items():
        fitting = [each for each in divisors if _ROOM * each <= column.span]
        if not fitting or not total:
            continue
        groups = column.remainders % multiple
        order = np.argsort(groups, kind="stable")
        names, starts = np.unique(groups[order], return_index=True)
        sums = np.add.reduceat(ranks[order], starts, axis=0)
        place = np.searchsorted(names, groups)
        counts = np.bincount(place * len(sizes) + strata, minlength=len(names) * len(sizes))
        table = counts.reshape(len(names), len(sizes)).astype(np.float64)
        for divisor in fitting:
            fold = (names % divisor)[None, :] == np.arange(divisor)[:, None]
            folded, within = fold.astype(np.float32) @ sums, fold.astype(np.float64) @ table
            variance = (within - within**2 / sizes) @ spread
            used = variance > 1e-9
            if used.sum() < 2:
                continue
            square = folded[used].astype(np.float64) ** 2
            statistic = np.cbrt((square / variance[used, None]).sum(axis=0))
            size = within[used].sum(axis=1)
            share = float((square[:, 0] / size).sum()) / total
            n, free = len(column.rows), int(used.sum()) - 1
            yield divisor, statistic, max(0.0, 1 - (1 - share) * (n - 1) / max(n - free - 1, 1))
