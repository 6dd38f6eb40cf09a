"""Low-order digits that tell the label: odd or even, the last digit, any remainder of a number at a fixed place. Pure.

A reference number that is even when the week goes up is a label in disguise: its size says nothing, so no rank
correlation finds it. Rows are grouped by the remainder, and the groups' mean ranks of the label within weeks are
compared with those under permuted labels, all numbers and divisors at once (max-T, as in `effect`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from fingpt.prep.facts import Case
from fingpt.prep.lint.columns import Columns, Head
from fingpt.prep.lint.effect import ALPHA, DRAWS, Floats, Target, sums_of
from fingpt.prep.lint.sections import Sections
from fingpt.prep.lint.spill import Ints

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
_LEAST_COLUMN = 20
_MOST_HEADS = 4
_NEWS_PLACES = 2
_FOLDS = 5
_RUN = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_WORD = re.compile(r"[A-Za-z]+|#")
_TOKEN = re.compile(rf"({_RUN.pattern})|[A-Za-z]+|#")


@dataclass(frozen=True)
class Column:
    """One number of the rows that have it: `rows` names these, `remainders` are by `_CYCLE`, `span` is its spread."""

    name: str
    rows: Ints
    remainders: Ints
    span: float


@dataclass(frozen=True)
class Told:
    """A number whose remainder by `divisor` goes with the label; `share`: how much of the ranks' variance it tells.

    `column`: its cells, of the one that tells most alone.
    """

    number: str
    column: Column | None
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
        return f"{self.number}, {part}"


def columns_of(
    rows: Sequence[Case], numbers: Columns[str], counts: Mapping[str, Floats]
) -> Iterator[Column]:
    """Every number as it is written, at each fixed place that enough rows have; `counts`: lengths, by name.

    A number that says little more than which symbol a row is of is left out, since symbols drift.
    """
    symbols = np.unique([case.example.symbol for case in rows], return_inverse=True)[1]
    every = np.arange(len(rows))
    heads = [head for head in numbers.heads() if head.name not in counts]
    heads += [Head(name, len(rows), 0) for name in counts if len(rows) >= _LEAST_COLUMN]
    heads.sort(key=lambda head: (-head.count, head.name))
    cells = numbers.read([head for head in heads if head.name not in counts])
    seen: set[bytes] = set()
    for head in heads:
        given = counts.get(head.name)
        places, values = next(cells) if given is None else (every, given.astype(np.int64))
        if _tells_symbol(symbols[places], values):
            continue
        low, high = np.quantile(values.astype(np.float64), [0.1, 0.9])
        column = Column(head.name, places, values % _CYCLE, float(high - low))
        key = sha256(places.tobytes() + column.remainders.tobytes()).digest()
        if key not in seen:
            seen.add(key)
            yield column
        if len(seen) == _MOST_COLUMNS:
            break


def told_by_remainders(columns: Iterable[Column], target: Target) -> list[Told]:
    """What goes with the label more than chance, the best first; its column is the one that is kept whole."""
    best = np.full(DRAWS, -np.inf)
    seen: list[tuple[str, int, float]] = []
    scores: list[float] = []
    kept: Column | None = None
    for column in columns:
        for divisor, statistics, share in _statistics(column, target):
            spread = statistics.std()
            if spread > 0:
                standard = (statistics - statistics.mean()) / spread
                best = np.maximum(best, standard[1:])
                score = float(standard[0])
                if score > max(scores, default=-np.inf):
                    kept = column
                seen.append((column.name, divisor, share))
                scores.append(score)
    found = []
    for place in np.argsort(-np.array(scores), kind="stable"):
        p = (1 + int((best >= scores[place] - 1e-6).sum())) / (1 + DRAWS)
        if p > ALPHA or kept is None:
            break
        name, divisor, share = seen[place]
        found.append(Told(name, kept if name == kept.name else None, divisor, share, p))
    return found


def score_by_remainder(told: Told, target: Target) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What each remainder's commoner direction would score: (rows that have the number, whether each is right).

    The directions are learnt from four fifths of the weeks and tried on the others, in turn.
    """
    assert told.column is not None
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


def written(part: Sections) -> dict[str, int]:
    """Each number's digits by where it stands, the point left out, and those of its whole part where it has another."""
    found: dict[str, int] = {}
    for key, text in part.figures:
        for value in _values(text)[:1]:
            _keep(found, f"'{key}'", value)
    for where, lines in (("introduction", part.before), ("closing", part.after)):
        found.update(_written_in(where, "\n".join(lines)))
    for back, line in enumerate(part.heads[: -_MOST_HEADS - 1 : -1], start=1):
        for place, value in enumerate(_values(line), start=1):
            _keep(found, _name(place, f"week -{back}"), value)
    told = [value for line in part.news for value in _values(line)]
    for place in range(min(_NEWS_PLACES, len(told))):
        _keep(found, _name(place + 1, "the news"), told[place])
        _keep(found, _name(-place - 1, "the news"), told[-place - 1])
    return found


@lru_cache(maxsize=1024)  # a company's introduction is the same week after week
def _written_in(where: str, text: str) -> Mapping[str, int]:
    found: dict[str, int] = {}
    one: re.Match[str] | None = None
    two: re.Match[str] | None = None
    runs = []
    for match in _TOKEN.finditer(text):
        if match.lastindex:
            runs.append((match[0], _before(text, match.start(), one, two)))
        one, two = two, match
    for place, (run, words) in enumerate(runs, start=1):
        value = _value(run)
        _keep(found, _name(place, f"the {where}"), value)
        _keep(found, _name(place - len(runs) - 1, f"the {where}"), value)
        _keep(found, f"number after '{words.lower()}'", value)
    return found


def _before(text: str, start: int, one: re.Match[str] | None, two: re.Match[str] | None) -> str:
    """The last two words or numbers within 60 characters before `start`; `one` and `two` are the last two anywhere."""
    first = max(0, start - 60)
    if one is None or two is None or one.start() < first:
        return " ".join(_WORD.findall(_RUN.sub("#", text[first:start]))[-2:])
    return f"{'#' if one.lastindex else one[0]} {'#' if two.lastindex else two[0]}"


@lru_cache(maxsize=1024)
def _name(place: int, where: str) -> str:
    return f"number {place} of {where}"


@lru_cache(maxsize=4096)  # news stand in the prompts of a few weeks, and so do the heads of weeks
def _values(line: str) -> tuple[tuple[int, int | None], ...]:
    """What `_value` says of each number of a line."""
    return tuple(_value(text) for text in _RUN.findall(line))


def _value(text: str) -> tuple[int, int | None]:
    """(a number's digits without its point, those before the point where it has one), the last 18 of each."""
    digits = text.replace(",", "")
    whole, point, part = digits.partition(".")
    return int((whole + part)[-18:]), int(whole[-18:]) if point else None


def _keep(found: dict[str, int], name: str, value: tuple[int, int | None]) -> None:
    found[name] = value[0]
    if value[1] is not None:
        found[_whole(name)] = value[1]


@lru_cache(maxsize=4096)
def _whole(name: str) -> str:
    return f"whole part of {name}"


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
    total = float((target.true[column.rows].astype(np.float64) ** 2).sum())
    for multiple, divisors in _DIVISORS.items():
        fitting = [each for each in divisors if _ROOM * each <= column.span]
        if not fitting or not total:
            continue
        groups = column.remainders % multiple
        order = np.argsort(groups, kind="stable")
        names, starts = np.unique(groups[order], return_index=True)
        sums = sums_of(target, column.rows[order], starts)
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
