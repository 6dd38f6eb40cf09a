"""Quantities of a sentence: `2-3%`, `50 basis points`, `two to three percent`, each with its place and its measure.

The middle of a stated range counts; an open range (`more than 4%`, `up to 2%`) counts half a point beyond its bound,
or half of it. No size: a confidence or probability, a price, a year, a date. Without a unit a number counts after
`by` only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

OPEN_BIN_MARGIN = 5.5  # the middle that the open bin, more than 5 %, counts as
_OPEN_BIN_FROM = 5.0
_BARE_LIMIT = 100.0
_NEAR = 28  # characters around a quantity that say what it measures

_COUNTS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve".split(),
        range(13),
        strict=True,
    ),
    fifteen=15,
    twenty=20,
)
_UNIT = r"(?:%|per\s?cent\b|percentage\s+points?\b|pct\b|pp\b|bps?\b|basis\s+points?\b)"
_COUNT_WORD = re.compile(
    rf"\b(?P<count>{'|'.join(_COUNTS)})(?P<half>\s+and\s+a\s+half)?"
    rf"(?=\s?(?:{_UNIT}|(?:to|or|-)\s?(?:{'|'.join(_COUNTS)})\b))"
)
_HALF = re.compile(r"\b(?:half\s+an?\s+per\s?cent(?:age\s+point)?|half\s+of\s+a\s+per\s?cent)\b")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}(?![\d,]))")
_BETWEEN = re.compile(rf"\bbetween (\S{{1,12}}) and (?=\S{{1,8}}?\s?{_UNIT})")

_NUMBER = r"(?<![\w.$€£¥])[+-]?\d{1,9}(?:\.\d{1,9})?"
_QUANTITY = re.compile(
    rf"(?P<bound>\b(?:(?:no|not)\s+more\s+than|more\s+than|over|above|at\s+least|greater\s+than|exceed(?:s|ing)"
    rf"|less\s+than|under|below|at\s+most|up\s+to)\b|[<>]=?)?\s?(?:about|around|approximately)?\s?(?P<low>{_NUMBER})"
    rf"(?P<plus>\s?\+(?!\s?\d))?\s?(?P<low_unit>{_UNIT})?"
    rf"(?:\s?(?:-|~|to|or)\s?(?P<high>[+-]?\d{{1,9}}(?:\.\d{{1,9}})?))?(?P<plus2>\s?\+)?\s?(?P<high_unit>{_UNIT})?"
    rf"(?P<more>\s(?:or|and)\smore\b)?"
)
_LOWER_BOUNDS = {
    "more than", "over", "above", "at least", "greater than", "exceeds", "exceeding", ">", ">=",
}  # fmt: skip
_BY = re.compile(r"\bby(?:\s+(?:around|about|approximately|roughly|some))?\s*$")
_BARE_END = re.compile(
    r"\s*(?:$|[.,;:)]|(?:in|over|next|this|during|for|on|due|driven|and|but|as|amid|after|with)\b)"
)
_CHANCE = (
    r"confiden(?:ce|t)|probabilit(?:y|ies)|chances?|likelihood|certain(?:ty)?|odds|sure|conviction"
)
_CHANCE_AFTER = re.compile(rf"[\s-]{{0,2}}(?:\w{{1,12}}\s)?(?:{_CHANCE})\b")
_CHANCE_BEFORE = re.compile(
    rf"\b(?:{_CHANCE})(?:\s+(?:level|score|of|at|is|about|around))*\W*$"
    rf"|\b(?:{_CHANCE})\s(?:of|for|that)\s[^.;,%\d]{{0,60}}\b(?:is|are|at|remains)"
    r"(?:\s(?:only|just|about|around|roughly|approximately|below|under|above|over|less than|more than|at least))*\s?$"
)
_NEAR_CHANCE = 110


@dataclass(frozen=True, slots=True)
class Size:
    """A stated move at place `start`: `middle` in percentage points, `flag` where it is no plain closed range.

    `signed`: the sign says which way; that of a range such as `-2% to +1%` does not.
    """

    start: int
    middle: float
    signed: bool
    flag: str | None

    @property
    def magnitude(self) -> float:
        """Size without its sign, capped at the middle of the open bin."""
        return min(abs(self.middle), OPEN_BIN_MARGIN)


def plain_numbers(text: str) -> str:
    """Number words, decimal commas and `between … and` written as `2.5 to 3.5`; `text` is lower case."""
    text = _HALF.sub("0.5 percent", text)
    text = _COUNT_WORD.sub(_count, text)
    text = _DECIMAL_COMMA.sub(".", text)
    return _BETWEEN.sub(r"\1 to ", text)


def sizes(text: str) -> Iterator[Size]:
    """Every quantity in points of `text`, in order; numbers without a unit only straight after `by`."""
    for match in _QUANTITY.finditer(text):
        if _is_chance(text, match):
            continue
        if (
            match["low_unit"]
            or match["high_unit"]
            or (
                abs(float(match["low"])) <= _BARE_LIMIT
                and _BY.search(text[max(0, match.start() - _NEAR) : match.start("low")])
                and _BARE_END.match(text, match.end())
            )
        ):
            yield _measure(match)


def _count(match: re.Match[str]) -> str:
    return str(_COUNTS[match["count"]] + (0.5 if match["half"] else 0))


def _is_chance(text: str, match: re.Match[str]) -> bool:
    """`70% confidence`, `probability of 60%`: how sure, not how far."""
    return bool(
        _CHANCE_AFTER.match(text, match.end())
        or _CHANCE_BEFORE.search(text[max(0, match.start() - _NEAR_CHANCE) : match.start("low")])
    )


def _measure(match: re.Match[str]) -> Size:
    start, low_text = match.start("low"), match["low"]
    unit = match["high_unit"] or match["low_unit"] or ""
    per_point = 100.0 if unit.startswith("b") else 1.0
    low = float(low_text)
    signed = low_text[0] in "+-"
    bound = " ".join((match["bound"] or "").split())
    if match["high"] is not None and (match["high_unit"] or not match["low_unit"]):
        high = float(match["high"])
        if low < 0 < high and match["high"][0] not in "+-":
            high = -high  # "-1-2%" and "-1 to 2%" carry the sign once
        return Size(start, (low + high) / 2 / per_point, signed and low * high >= 0, None)
    low /= per_point
    if match["plus"] or match["plus2"] or match["more"] or bound in _LOWER_BOUNDS:
        middle = math.copysign(abs(low) + 0.5, low)
        return Size(start, middle, signed, None if abs(low) >= _OPEN_BIN_FROM else "open_range")
    if bound:
        return Size(start, low / 2, signed, "open_range")
    return Size(start, low, signed, "single_value")
