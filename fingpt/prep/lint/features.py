"""What the scans look at: every number outside news, ratios, order of the rows, period, lengths, words. Pure."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np

from fingpt.prep.blocks import week_number
from fingpt.prep.facts import Case
from fingpt.prep.lint.columns import Columns, Head
from fingpt.prep.lint.digits import written
from fingpt.prep.lint.effect import Floats
from fingpt.prep.lint.sections import Sections, dates_of, numbers_of, sections_of
from fingpt.prep.lint.spill import Ints, Lines
from fingpt.prep.lint.targets import NEWS, news_numbers

LAST = "last price"

_MOST_NUMBERS = 64  # the pairs of these are looked at, too
_MOST_WORDS = 20_000
_MARKS = 24
_LEAST_NEWS = 20
_LENGTHS = (
    "characters outside news",
    "lines of the prompt",
    "blanks in a row or at the end of a line",
    "capital letters",
    "news items",
    "past weeks",
    "figures",
    "characters before the first week",
    "characters behind the news",
)
_WHOLE = ("characters of the prompt", "words of the prompt")
_TOLD = (*_LENGTHS, *_WHOLE, *NEWS)
_MARK = re.compile(r"[^\w\s]")
_BLANKS = re.compile(r"  | (?=\n)|\t| $")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True)
class Feature:
    """One number of every row; `rule` is the finding that it would make. Pairs are many, so they are computed late.

    `over` and `under` are mapped from files, but for a few that all pairs share.
    """

    rule: str
    name: str
    over: tuple[Floats, ...]
    under: tuple[Floats, ...] = ()

    @property
    def values(self) -> Floats:
        """The product of `over` divided by all of `under`, NaN where a row has none."""
        values = self.over[0].copy()
        with np.errstate(all="ignore"):
            for factor in self.over[1:]:
                values *= factor
            for divisor in self.under:
                values /= divisor
        values[~np.isfinite(values)] = np.nan
        return values


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or a figure with its value; `news` where it stands in news alone; `column` says which rows have it."""

    name: str
    news: bool
    column: Head[str]


class Seen:
    """What one pass over all rows has gathered of their prompts: columns that few or all rows have, in files."""

    def __init__(self, count: int) -> None:
        least = max(20, count // 10)
        self.count = count
        self.numbers, self.days = Columns[str](least), Columns[str](least)
        self.marks = Columns[str](1)
        self.written = Columns[str](least, np.int64)
        least = max(8, count // 100)
        self.words = {news: Columns[str](least, None) for news in (False, True)}
        self._told = Lines(len(_TOLD), np.float64)

    def told(self) -> dict[str, Floats]:
        """Lengths of prompts and numbers of their news by name, NaN where a row has none."""
        return dict(zip(_TOLD, self._told.table().T, strict=True))

    def see(self, case: Case) -> None:
        """One more row."""
        part = sections_of(case)
        user = case.example.user
        self.numbers.add(numbers_of(case, part))
        self.days.add(dates_of(case, part))
        self.written.add(written(part))
        outside = frozenset().union(*map(_tokens, (*part.before, *part.after, *part.heads)))
        self.words[False].add([*outside, *{f"{key} = {text}" for key, text in part.figures}])
        self.words[True].add(frozenset().union(*map(_tokens, part.news)))
        text = "\n".join((part.prose, *part.heads, *(f"{k}: {v}" for k, v in part.figures)))
        self.marks.add(Counter(_MARK.findall(text)))
        told = dict.fromkeys(_TOLD, math.nan)
        told.update(_lengths(case, part, text, user))
        told.update(whole_lengths(user))
        told.update(news_numbers(case, part))
        self._told.append(np.array(list(told.values()), np.float64))


def number_features(rows: Sequence[Case], seen: Seen, known: bool) -> list[Feature]:
    """Numbers and dates outside news, and ratios of them with each other and with the last price.

    `known`: leave out market capitalisation and shares, which a rule of their own has found.
    """
    names, table = _table(seen.numbers, len(rows))
    last = np.array([case.facts.last_price or np.nan for case in rows])
    if known:
        explained = [
            np.array([getattr(case.facts, name) or np.nan for case in rows])
            for name in ("market_cap", "shares", "last_price")
        ]
        kept = [i for i in range(len(names)) if not any(_same(table[i], x) for x in explained)]
        names, table = [names[i] for i in kept], [table[i] for i in kept]
    features = [Feature("number-tells-label", n, (v,)) for n, v in zip(names, table, strict=True)]
    features += [Feature("number-tells-label", LAST, (last,))]
    days, offsets = _table(seen.days, len(rows))
    features += [Feature("number-tells-label", n, (v,)) for n, v in zip(days, offsets, strict=True)]
    return features + _ratios(names, table, last)


def order_features(rows: Sequence[Case], places: Ints) -> list[Feature]:
    """Where a row stands in its source (`places`), there and among the rows of its week."""
    place = places.astype(np.float64)
    weeks = np.array([week_number(case.example) for case in rows])
    order = np.lexsort((place, weeks))
    within = np.empty(len(rows))
    starts = np.r_[True, np.diff(weeks[order]) != 0]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))
    within[order] = np.arange(len(rows)) - first
    named = {
        "place in the source": place,
        "place in the source, odd or even": place % 2,
        "place among the rows of its week, odd or even": within % 2,
    }
    return [Feature("order-tells-label", name, (values,)) for name, values in named.items()]


def period_features(rows: Sequence[Case]) -> list[Feature]:
    """Days of the forecast week, and the weekdays that it starts and ends on."""
    spans = [(case.example.start, case.example.end) for case in rows]
    named = {
        "days of the period": [(end - start).days for start, end in spans],
        "weekday on which the period starts": [start.weekday() for start, _ in spans],
        "weekday on which the period ends": [end.weekday() for _, end in spans],
    }
    return [
        Feature("period-tells-label", name, (np.array(values, np.float64),))
        for name, values in named.items()
    ]


def length_features(seen: Seen) -> list[Feature]:
    """Lengths and counts of the prompt outside news, and how often each mark stands there: news may differ honestly."""
    names, told = list(_LENGTHS), seen.told()
    lines = Lines(seen.count, np.float64)
    for name in names:
        lines.append(told[name])
    commonest = sorted(seen.marks.heads(), key=lambda head: (-head.count, head.place))[:_MARKS]
    for head, (rows, times) in zip(commonest, seen.marks.read(commonest), strict=True):
        values = np.zeros(seen.count)
        values[rows] = times
        names.append(f"number of '{head.name}'")
        lines.append(values)
    named = zip(names, lines.table(), strict=True)
    return [Feature("length-tells-label", name, (values,)) for name, values in named]


def news_features(seen: Seen) -> list[Feature]:
    """The numbers of `targets.NEWS` that enough rows have."""
    told = seen.told()
    return [
        Feature("target-in-news", name, (told[name],))
        for name in NEWS
        if np.count_nonzero(~np.isnan(told[name])) >= _LEAST_NEWS
    ]


def all_lengths(seen: Seen, lengths: Sequence[Feature]) -> dict[str, Floats]:
    """Those of `lengths`, and characters and words of whole prompts: the news' own length may tell honestly, but never
    whether it is odd.
    """
    told = seen.told()
    return {each.name: each.over[0] for each in lengths} | {name: told[name] for name in _WHOLE}


def words_of(seen: Seen) -> list[Word]:
    """Words, and figures with their value, that stand in some rows and lack in others, the commonest first."""
    most = seen.count - max(8, seen.count // 100)
    kept = [
        Word(head.name, news, head)
        for news, columns in seen.words.items()
        for head in columns.heads()
        if head.count <= most
    ]
    return sorted(kept, key=lambda word: (-word.column.count, word.name, word.news))[:_MOST_WORDS]


def rows_of(seen: Seen, words: Sequence[Word]) -> Iterator[Ints]:
    """The rows that have each of `words`."""
    columns = {
        news: found.read([word.column for word in words if word.news == news])
        for news, found in seen.words.items()
    }
    return (next(columns[word.news])[0] for word in words)


@lru_cache(maxsize=4096)  # a template's lines stand in every prompt, news in those of a few weeks
def _tokens(line: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(line.casefold()))


def _lengths(case: Case, part: Sections, text: str, user: str) -> Iterator[tuple[str, float]]:
    return zip(
        _LENGTHS,
        (
            len(text),
            user.count("\n"),
            len(_BLANKS.findall(text)),
            sum(map(str.isupper, text)),
            case.facts.headlines,
            len(case.facts.weeks),
            len(part.figures),
            len("\n".join(part.before)),
            len("\n".join(part.after)),
        ),
        strict=True,
    )


def whole_lengths(user: str) -> Iterator[tuple[str, float]]:
    """Characters and words of a whole prompt."""
    return zip(_WHOLE, (len(user), len(user.split())), strict=True)


def _table(columns: Columns[str], count: int) -> tuple[list[str], list[Floats]]:
    """The commonest columns first, and one line of values for each, NaN where a row has none; equal lines once."""
    heads = sorted(columns.heads(), key=lambda head: (-head.count, head.place))
    lines, names = Lines(count, np.float64), dict[bytes, str]()
    for head, (rows, numbers) in zip(heads, columns.read(heads), strict=False):
        values = np.full(count, np.nan)
        values[rows] = numbers
        if np.nanmin(values) < np.nanmax(values):
            digest = sha256(values.tobytes()).digest()
            if digest not in names:
                names[digest] = head.name
                lines.append(values)
        if len(names) == _MOST_NUMBERS:
            break
    return list(names.values()), list(lines.table())


def _ratios(names: Sequence[str], table: Sequence[Floats], last: Floats) -> list[Feature]:
    """Each number over the last price; each pair's ratio, alone and over the last price; each product over it."""
    rule = "ratio-tells-label"
    found: list[Feature] = []
    for i, name in enumerate(names):
        found.append(Feature(rule, f"{name} / {LAST}", (table[i],), (last,)))
        for j in range(i):
            pair = f"{name} / {names[j]}"
            found.append(Feature(rule, pair, (table[i],), (table[j],)))
            found.append(Feature(rule, f"{pair} / {LAST}", (table[i],), (table[j], last)))
            other = f"{names[j]} / {name} / {LAST}"
            found.append(Feature(rule, other, (table[j],), (table[i], last)))
            both = (table[i], table[j])
            found.append(Feature(rule, f"{name} × {names[j]} / {LAST}", both, (last,)))
    return found


def _same(values: Floats, others: Floats) -> bool:
    """Whether a number is another one wherever both stand."""
    both = ~np.isnan(values) & ~np.isnan(others)
    return bool(both.any()) and float(np.mean(np.isclose(values[both], others[both]))) > 0.9
