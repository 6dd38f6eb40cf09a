"""Finds the parts of an answer: headers, prediction labels, starts of an analysis, and where another answer begins.

Headers and labels start a line, in any dress: case, brackets, `#`, `**`, bullet, number, `&`, `and`, `&amp;` or `/`,
colon. A label is the word `Prediction`, which may be followed by brackets or by `for …`. Bracketed headers with a
colon count inside a line too. Every pattern is bounded, and each looks at a text once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

HEADERS = ("pros", "cons", "section", "other")

_OPEN = r"(?P<open>[ \t>#*_\[(•|\-–]{0,16}(?:\d{1,2}[.)][ \t]{0,3})?[*_\[(#]{0,4})"
_NAMES = (
    r"(?P<pros>positive[ \t]{1,3}developments?|积极发展|积极因素)"
    r"|(?P<cons>potential[ \t]{1,3}concerns?|潜在担忧|潜在风险)"
    r"|(?P<section>predictions?[ \t]{0,3}(?:&amp;|&|and|/)[ \t]{0,3}analysis|预测[与和及]分析)"
    r"|(?P<other>company[ \t]introduction|basic[ \t]financials)"
)
_HEADER = re.compile(
    rf"^{_OPEN}(?:{_NAMES})(?P<close>[ \t*_\])#]{{0,8}})(?P<colon>[:：]?)[ \t*_\])]{{0,8}}(?P<end>$)?",
    re.IGNORECASE | re.MULTILINE,
)
_INLINE = re.compile(
    r"\[(?:(?P<pros>positive[ \t]{1,3}developments?)|(?P<cons>potential[ \t]{1,3}concerns?)"
    r"|(?P<section>prediction[ \t]{0,3}(?:&amp;|&|and|/)[ \t]{0,3}analysis)|(?P<other>company[ \t]introduction))\]:",
    re.IGNORECASE,
)
_WHAT = r"(?:stock|share|price|market|movement|final|my|the|next|week|weekly|week's)"
_FOR = r"(?:for|on|of[ \t](?:the[ \t])?(?:next|coming|stock|share|price|week))\b[^\n:：]{0,160}"
LABEL = re.compile(
    rf"^{_OPEN}(?:(?:[\w.&']{{1,12}}[ \t])?(?:{_WHAT}[ \t]){{1,4}})?"
    r"(?:predictions?|predicted[ \t](?:stock[ \t]|price[ \t])?(?:movement|direction|change)|预测)(?!\w)"
    rf"[ \t*_]{{0,4}}(?P<words>{_FOR}|[\[(（][^\n\])）]{{0,100}}[\])）])?[ \t*_\])]{{0,6}}"
    r"(?:(?P<colon>[:：=|]|[ \t][-–—][ \t])[ \t*_\])]{0,6}|(?=$))",
    re.IGNORECASE | re.MULTILINE,
)
ANALYSIS = re.compile(
    rf"^{_OPEN}(?:(?:summary|supporting|overall)[ \t])?"
    r"(?:analysis(?:[ \t]summary)?|summary|rationale|reasoning|conclusion|分析)[ \t*_]{0,4}[:：][ \t*_]{0,4}",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A part that begins: one of `HEADERS`, a `label` or an `analysis`; its text starts at `end`."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of one answer, and where it ends; `run_on` where another one follows."""

    marks: tuple[Mark, ...]
    end: int
    run_on: bool

    def first(self, kind: str) -> int | None:
        """Index of the first mark of a kind."""
        return next((index for index, mark in enumerate(self.marks) if mark.kind == kind), None)

    def until(self, index: int, kinds: tuple[str, ...] = ()) -> int:
        """Where the text of a mark ends: at the next mark (of `kinds`), or with the answer."""
        for mark in self.marks[index + 1 : None if kinds else index + 2]:
            if not kinds or mark.kind in kinds:
                return mark.start
        return self.end


def answers(text: str) -> Iterator[Answer]:
    """The answers of a text; a further one starts with its positive developments."""
    marks = _marks(text)
    starts = [index for index, mark in enumerate(marks) if mark.kind == "pros"][1:]
    for first, last in pairwise((0, *starts, len(marks))):
        own = tuple(_without_listed(marks[first:last]))
        if own:
            end = marks[last].start if last < len(marks) else len(text)
            yield Answer(own, end, run_on=last < len(marks))


def _marks(text: str) -> list[Mark]:
    found = [
        Mark(str(match.lastgroup), match.start(), match.end()) for match in _INLINE.finditer(text)
    ]
    for match in _HEADER.finditer(text):
        if _is_header(match):
            kind = next(kind for kind in HEADERS if match[kind] is not None)
            found.append(Mark(kind, match.start(), match.end()))
    for match in LABEL.finditer(text):
        if match["colon"] or not match["words"] or _is_marked(match["open"]):
            found.append(Mark("label", match.start(), match.end()))
    found += [Mark("analysis", match.start(), match.end()) for match in ANALYSIS.finditer(text)]
    kept: list[Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, mark.end)):
        if not kept or mark.start >= kept[-1].end:
            kept.append(mark)
    return kept


def _is_marked(opening: str) -> bool:
    return any(mark in opening for mark in ("[", "#", "**", "__"))


def _is_header(match: re.Match[str]) -> bool:
    """Prose such as "Potential concerns about debt" is none: a header has brackets, marks, a colon or its own line."""
    marked = _is_marked(match["open"]) or any(mark in match["close"] for mark in ("]", "**"))
    return marked or bool(match["colon"]) or match["end"] is not None


def _without_listed(marks: list[Mark]) -> Iterator[Mark]:
    """Without labels among the positive developments: points of the list, such as "Prediction for 2031: …"."""
    listing = False
    cons = any(mark.kind == "cons" for mark in marks)
    for mark in marks:
        listing = cons and (mark.kind == "pros" or (listing and mark.kind != "cons"))
        if not (listing and mark.kind in ("label", "analysis")):
            yield mark
