"""Low-order digits that tell the label: odd or even, the last digit, any remainder of a number at a fixed place. Pure.

A reference number that is even when the week goes up is a label in disguise: its size says nothing, so no rank
correlation finds it. Rows are grouped by the remainder, and the groups' mean ranks of the label within weeks are
compared with those under permuted labels, all numbers and divisors at once (max-T, as in `effect`).
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
    found: dict[str, tuple[array[int], array[int]]] = defaultdict(lambda: (array("q"), array("q")))
    for number, part in enumerate(parts):
        for name, value in _written(part).items():
            at, written = found[name]
            at.append(number)
            written.append(value)
    for name, lengths in counts.items():
        found[name] = array("q", range(len(lengths))), array("q", lengths.astype(np.int64).tolist())
    symbols = np.unique([case.example.symbol for case in rows], return_inverse=True)[1]
    least = max(20, len(rows) // 10)
    columns: dict[bytes, Column] = {}
    for name, (at, written) in sorted(found.items(), key=lambda each: (-len(each[1][0]), each[0])):
        places, values = np.array(at, np.int64), np.array(written, np.int64)
        if len(places) < least or _tells_symbol(symbols[places], values):
            continue
        low, high = np.quantile(values.astype(np.float64), [0.1, 0.9])
        column = Column(name, places, values % _CYCLE, float(high - low))
        columns.setdefault(places.tobytes() + column.remainders.tobytes(), column)
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
    for key, text in part.figures:
        if run := _RUN.search(text):
            _keep(found, f"'{key}'", run[0])
    for where, lines in (("introduction", part.before), ("closing", part.after)):
        found.update(_written_in(where, "\n".join(lines)))
    for back, line in enumerate(part.heads[: -_MOST_HEADS - 1 : -1], start=1):
        for place, run in enumerate(_RUN.finditer(line), start=1):
            _keep(found, f"number {place} of week -{back}", run[0])
    told = _RUN.findall("\n".join(part.news))
    for place in range(min(_NEWS_PLACES, len(told))):
        _keep(found, f"number {place + 1} of the news", told[place])
        _keep(found, f"number {-place - 1} of the news", told[-place - 1])
    return found


@lru_cache(maxsize=1024)  # a company's introduction is the same week after week
def _written_in(where: str, text: str) -> Mapping[str, int]:
    found: dict[str, int] = {}
    runs = list(_RUN.finditer(text))
    for place, run in enumerate(runs, start=1):
        _keep(found, f"number {place} of the {where}", run[0])
        _keep(found, f"number {place - len(runs) - 1} of the {where}", run[0])
        before = _RUN.sub("#", text[max(0, run.start() - 60) : run.start()])
        words = " ".join(_WORD.findall(before)[-2:]).lower()
        _keep(found, f"number after '{words}'", run[0])
    return found


def _keep(found: dict[str, int], name: str, text: str) -> None:
    digits = text.replace(",", "")
    found[name] = int(digits.replace(".", "")[-18:])
    if "." in digits:
        found[f"whole part of {name}"] = int(digits.partition(".")[0][-18:])


def _tells_symbol(symbols: Ints, values: Ints) -> bool:
    """Whether more than half of the rows have their symbol's commonest value, symbols of one row left out."""
    order = np.lexsort((values, symbols))
    symbol, value = symbols[order], values[order]
    new = np.r_[True, (symbol[1:] != symbol[:-1]) | (value[1:] != value[:-1])]
    counts = np.diff(np.r_[np.flatnonzero(new), len(order)])
    commonest = np.zeros(int(symbol.max()) + 1, np.int64)
    np.maximum.at(commonest, symbol[new], counts)
    rows = np.bincount(symbol)
    several = rows > 1
    return bool(2 * commonest[several].sum() > rows[several].sum() > 0)


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
