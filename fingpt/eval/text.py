"""What an answer's text is like, beside its forecast: how long it is, and how many of its numbers its prompt has. Pure.

A number is in the prompt when one of the prompt's numbers rounds to it at the precision that the answer gives: "41.2%"
for 0.4119 or 41.19, "$2.6 billion" for 2,631 million. Signs, currency marks and thousands' commas mean nothing, since
texts say "fell 3%" for −3%. Left out, on purpose: list numbers, dates, and the forecast itself (ranges such as "2-3%"
and "more than 5%"). A number that was worked out from others counts as not in the prompt.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from fingpt.eval.forecast import strip_reasoning

_DATE = re.compile(r"\b(\d{4})-\d{1,2}-\d{1,2}\b", re.ASCII)
_MONTHS = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:[a-z]{0,7})\b\.?"
_DAY = re.compile(
    rf"\b{_MONTHS}[ ]\d{{1,2}}(?:st|nd|rd|th)?\b|\b\d{{1,2}}(?:st|nd|rd|th)?[ ]{_MONTHS}",
    re.ASCII | re.IGNORECASE,
)
_LISTED = re.compile(r"^[ \t>*•-]{0,8}\d{1,2}[.)][ \t]", re.ASCII | re.MULTILINE)
_FORECAST = re.compile(
    r"\b\d{1,2}(?:\.\d{1,2})?[ ]?%?[ ]?[-–—−][ ]?\d{1,2}(?:\.\d{1,2})?[ ]?%|\bmore than 5[ ]?%",
    re.ASCII | re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<whole>\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:\.(?P<part>\d{1,9}))?"
    r"(?:[ ]?(?P<percent>%|percent\b)|[ ]?(?P<scale>thousand|million|billion|trillion|bn|[kmbt])\b)?(?!\w|[.,]\d)",
    re.ASCII | re.IGNORECASE,
)
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9} | {
    "billion": 1e9,
    "t": 1e12,
    "trillion": 1e12,
}
_SLACK = 1e-9  # of binary fractions: 0.125 rounds to .13 and to .12 alike


@dataclass(frozen=True, slots=True)
class Number:
    """A number as a text gives it: its size, the worth of its last digit, and whether it is a percentage."""

    size: float
    last_digit: float
    percent: bool


@dataclass(frozen=True, slots=True)
class TextFacts:
    """An answer's `words`, its `numbers` as the module says, and how many of them the prompt has."""

    words: int
    numbers: int
    numbers_in_prompt: int


class PromptNumbers:
    """The numbers of one prompt, ready to be looked up."""

    def __init__(self, text: str) -> None:
        found = list(_numbers(_DATE.sub(" ", text)))
        # A year may be told where the prompt has it in a date alone.
        found += [Number(float(year), 1.0, False) for year in set(_DATE.findall(text))]
        self._sizes = sorted({number.size for number in found})

    def has(self, number: Number) -> bool:
        """Whether one of the prompt's numbers rounds to `number`; a percentage may stand there as a fraction."""
        return self._near(number.size, number.last_digit) or (
            number.percent and self._near(number.size / 100, number.last_digit / 100)
        )

    def _near(self, size: float, last_digit: float) -> bool:
        reach = last_digit / 2 * (1 + _SLACK) + _SLACK * last_digit
        place = bisect_left(self._sizes, size - reach)
        return place < len(self._sizes) and self._sizes[place] <= size + reach


def text_facts(prediction: str, prompt: PromptNumbers) -> TextFacts:
    """Facts of an answer, its reasoning left out."""
    answer, _ = strip_reasoning(prediction)
    told = answer
    for left_out in (_DATE, _DAY, _LISTED, _FORECAST):
        told = left_out.sub(" ", told)
    numbers = list(_numbers(told))
    return TextFacts(
        words=len(answer.split()),
        numbers=len(numbers),
        numbers_in_prompt=sum(prompt.has(number) for number in numbers),
    )


def _numbers(text: str) -> Iterable[Number]:
    for match in _NUMBER.finditer(text):
        scale = _SCALES[match["scale"].lower()] if match["scale"] else 1.0
        part = match["part"] or ""
        size = float(f"{match['whole'].replace(',', '')}.{part or 0}")
        yield Number(size * scale, scale * 10.0 ** -len(part), match["percent"] is not None)
