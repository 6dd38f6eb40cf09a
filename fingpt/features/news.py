"""Which news of a past week a prompt quotes: no reprints, each item in one week, a seeded draw. Pure.

A week is half open, [start, end), by when an item could be known: an item at a boundary is in one week alone, and the
newest week ends where the price does. Two headlines are one when nine of ten characters agree, in any order of words,
and all numbers do, in their order: another figure is other news.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from rapidfuzz import fuzz, process

from fingpt.features.markup import without_markup
from fingpt.features.text import MAX_HEADLINE, MAX_SUMMARY, one_line
from fingpt.sources.records import Record

ALIKE = 90.0
"""Similarity of two headlines, 0 to 100, from which on the later one is a reprint."""

_WORDS = re.compile(r"\w+")
_NUMBER = re.compile(r"(?:(?<!\w)[-−])?\d+(?:[.,]\d+)*[^\W\d_]*")


@dataclass(frozen=True, slots=True)
class WeekOfNews:
    """The chosen records of a week in order of time; `found` is how many it had, `reprints` how many said it again."""

    chosen: tuple[Record, ...]
    found: int
    reprints: int


def choose_news(
    records: Sequence[Record], ends: Sequence[datetime], count: int, seed: str
) -> list[WeekOfNews]:
    """News of the weeks between neighbouring `ends` (in order of time), at most `count` of each.

    `records` may hold other ones. Equal seeds draw the same items of a week, whatever the weeks before it are, but for
    items that an earlier week had already.
    """
    ordered = sorted(records, key=lambda record: (record.available_at, record.sha256))
    kept: dict[tuple[str, ...], list[str]] = {}
    weeks = []
    for start, end in pairwise(ends):
        inside = [one for one in ordered if start <= one.available_at < end and headline_of(one)]
        fresh = [one for one in inside if _is_fresh(headline_of(one), kept)]
        drawn = fresh
        if len(fresh) > count:
            rng = random.Random(f"{seed}/{end.isoformat()}")
            places = sorted(rng.sample(range(len(fresh)), count))
            drawn = [fresh[place] for place in places]
        weeks.append(WeekOfNews(tuple(drawn), len(inside), len(inside) - len(fresh)))
    return weeks


def headline_of(record: Record) -> str:
    """The headline on one line; empty where there is none."""
    value = record.payload.get("headline")
    return one_line(without_markup(value), MAX_HEADLINE) if isinstance(value, str) else ""


def summary_of(record: Record) -> str:
    """The summary on one line; empty where there is none, or where it only repeats the headline."""
    value = record.payload.get("summary")
    line = one_line(without_markup(value), MAX_SUMMARY) if isinstance(value, str) else ""
    return "" if line == headline_of(record) else line


def _is_fresh(headline: str, kept: dict[tuple[str, ...], list[str]]) -> bool:
    """Whether no kept headline, by its numbers, says the same; it is then kept."""
    folded = headline.casefold()
    plain = " ".join(sorted(_WORDS.findall(folded)))
    alike = kept.setdefault(tuple(map(_number, _NUMBER.findall(folded))), [])
    if process.extractOne(plain, alike, scorer=fuzz.ratio, score_cutoff=ALIKE) is not None:
        return False
    alike.append(plain)
    return True


def _number(text: str) -> str:
    """A number with its unit, written in one way: 1,200 is 1200, and 1.20 is 1.2."""
    digits = text.rstrip("".join(c for c in set(text) if c.isalpha()))
    value = digits.replace(",", "").replace("−", "-")
    return (value.rstrip("0").rstrip(".") if "." in value else value) + text[len(digits) :]
