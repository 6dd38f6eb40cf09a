"""What the scans look at: every number outside news, ratios, order of the rows, period, lengths, words. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingpt.prep.blocks import week_number
from fingpt.prep.facts import Case
from fingpt.prep.lint.effect import Floats, Ints
from fingpt.prep.lint.sections import Sections, dates_of, numbers_of

LAST = "last price"

_MOST_NUMBERS = 64  # the pairs of these are looked at, too
_MOST_WORDS = 20_000
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True)
class Feature:
    """One number of every row; `rule` is the finding that it would make. Pairs are many, so they are computed late."""

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
    """A word, or a figure with its value, and the rows that have it; `news` where it stands in news alone."""

    name: str
    news: bool
    rows: Ints


def number_features(rows: Sequence[Case], parts: Sequence[Sections], known: bool) -> list[Feature]:
    """Numbers and dates outside news, and ratios of them with each other and with the last price.

    `known`: leave out market capitalisation and shares, which a rule of their own has found.
    """
    names, table = _table([numbers_of(case, part) for case, part in zip(rows, parts, strict=True)])
    last = np.array([case.facts.last_price or np.nan for case in rows])
    if known:
        explained = [
            np.array([getattr(case.facts, name) or np.nan for case in rows])
            for name in ("market_cap", "shares", "last_price")
        ]
        kept = [i for i in range(len(names)) if not any(_same(table[i], x) for x in explained)]
        names, table = [names[i] for i in kept], table[kept]
    features = [Feature("number-tells-label", n, (v,)) for n, v in zip(names, table, strict=True)]
    features += [Feature("number-tells-label", LAST, (last,))]
    days, offsets = _table([dates_of(case, part) for case, part in zip(rows, parts, strict=True)])
    features += [Feature("number-tells-label", n, (v,)) for n, v in zip(days, offsets, strict=True)]
    return features + _ratios(names, table, last)


def order_features(rows: Sequence[Case], places: Sequence[int]) -> list[Feature]:
    """Where a row stands in its source (`places`), there and among the rows of its week."""
    place = np.array(places, np.float64)
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


def length_features(rows: Sequence[Case], parts: Sequence[Sections]) -> list[Feature]:
    """Lengths and counts of the prompt outside news, and how often each mark stands there: news may differ honestly."""
    texts = ["\n".join((p.prose, *p.heads, *(f"{k}: {v}" for k, v in p.figures))) for p in parts]
    marks = [Counter(re.findall(r"[^\w\s]", text)) for text in texts]
    common = Counter(mark for each in marks for mark in each)
    named: dict[str, list[float]] = {
        "characters outside news": [len(text) for text in texts],
        "lines of the prompt": [case.example.user.count("\n") for case in rows],
        "blanks in a row or at the end of a line": [
            len(re.findall(r"  | (?=\n)|\t| $", text)) for text in texts
        ],
        "capital letters": [sum(map(str.isupper, text)) for text in texts],
        "news items": [len(case.facts.headlines) for case in rows],
        "past weeks": [len(case.facts.weeks) for case in rows],
        "figures": [len(part.figures) for part in parts],
        "characters before the first week": [len("\n".join(part.before)) for part in parts],
        "characters behind the news": [len("\n".join(part.after)) for part in parts],
    }
    for mark, _ in common.most_common(24):
        named[f"number of '{mark}'"] = [each[mark] for each in marks]
    return [
        Feature("length-tells-label", name, (np.array(values, np.float64),))
        for name, values in named.items()
    ]


def whole_lengths(rows: Sequence[Case]) -> dict[str, Floats]:
    """Characters and words of whole prompts: the news' own length may tell honestly, but never whether it is odd."""
    texts = [case.example.user for case in rows]
    return {
        "characters of the prompt": np.array([float(len(text)) for text in texts]),
        "words of the prompt": np.array([float(len(text.split())) for text in texts]),
    }


def words_of(parts: Sequence[Sections]) -> list[Word]:
    """Words and figures with their value that stand in some rows and lack in others, by where they stand."""
    seen: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        outside = set(_TOKEN.findall(part.prose.casefold()))
        outside |= {f"{key} = {text}" for key, text in part.figures}
        for line in part.heads:
            outside |= set(_TOKEN.findall(line.casefold()))
        for name in outside:
            seen[name, False].append(number)
        for name in set(_TOKEN.findall("\n".join(part.news).casefold())):
            seen[name, True].append(number)
    least = max(8, len(parts) // 100)
    kept = [
        (key, where) for key, where in seen.items() if least <= len(where) <= len(parts) - least
    ]
    kept.sort(key=lambda each: (-len(each[1]), each[0]))
    return [
        Word(name, news, np.array(where, np.int64)) for (name, news), where in kept[:_MOST_WORDS]
    ]


def _table(found: Sequence[Mapping[str, float]]) -> tuple[list[str], Floats]:
    """The names that stand in enough rows, the commonest first, and one line of values for each; equal lines once."""
    counts = Counter(name for each in found for name in each)
    least = max(20, len(found) // 10)
    names = [name for name, count in counts.most_common() if count >= least]
    lines: dict[bytes, tuple[str, Floats]] = {}
    for name in names:
        values = np.array([each.get(name, np.nan) for each in found])
        if np.nanmin(values) < np.nanmax(values):
            lines.setdefault(values.tobytes(), (name, values))
        if len(lines) == _MOST_NUMBERS:
            break
    table = np.array([values for _, values in lines.values()]).reshape(len(lines), len(found))
    return [name for name, _ in lines.values()], table


def _ratios(names: Sequence[str], table: Floats, last: Floats) -> list[Feature]:
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
