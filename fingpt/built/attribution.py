"""What in a row's facts a finding of the leak linter speaks of, and what rids the rows of it. Pure.

The linter sees prompts alone. Its findings quote words, keys or prices of the prompt; here they are looked up in the
facts that the prompt states, which know family and day of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from fingpt.features.config import Family
from fingpt.features.model import Facts
from fingpt.features.text import figure, one_line

_QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|for example (\d+\.\d\d)\b")
_OF_FAMILY = (
    ("news", Family.NEWS),
    ("headline", Family.NEWS),
    ("fundamentals", Family.FUNDAMENTALS),
)
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Stated:
    """A line of a prompt: its family, the day of what it tells, and how a person finds it in the sources."""

    family: Family
    line: str
    day: date
    named: str


def remedy(rule: str, told: str, facts: Facts) -> str:
    """Where that which a finding tells stands in `facts`, those of the first row that has it, and what to do."""
    family = next(
        (each for word, each in _OF_FAMILY if word in rule or f"of the {word}" in told), None
    )
    one = _found(told, [each for each in _stated(facts) if family in (None, each.family)])
    row = f"{facts.symbol} at the close of {facts.day}"
    if one is not None:
        where = f"The first such row is {row}, and it stands in its {one.family}: {one.named} of {one.day}."
        mend = "Take it and its like out of the sources, or build"
    elif family is not None:
        where, mend = (
            f"The first such row is {row}, and it stands in its {family}.",
            "Correct the sources, or build",
        )
    else:
        return (
            f"The first such row is {row}. Correct the sources; to build without a family of features, "
            + without("news, signals, macro or fundamentals")
        )
    name = (one.family if one else family) or ""
    return f"{where} {mend} without {name}: {without(str(name))}"


def without(family: str) -> str:
    """The command and file that switch a family off, whether or not there is a file already."""
    known = family if family in list(Family) else "news"
    other = "" if known == family else f" (or {family})"
    return (
        f"put `features: {{{known}: false}}`{other} into the SOURCES file; where there is none, write one that says so "
        "and `sources: {files: {}}`, and give it beside DATA."
    )


def _found(told: str, stated: list[Stated]) -> Stated | None:
    """The first line that a quotation of `told` names: by its key, else by its words."""
    for match in _QUOTED.finditer(told):
        words = _plain(next(group for group in match.groups() if group))
        for one in stated:
            if _plain(one.line).startswith(f"{words}:"):
                return one
        for one in stated:
            if words in _plain(one.line):
                return one
    return None


def _plain(text: str) -> str:
    return text.replace('"', "'").casefold()


def _stated(facts: Facts) -> Iterator[Stated]:
    for week in facts.weeks:
        for item in week.news:
            named = f'the article "{one_line(item.headline, _SHOWN)}"'
            for line in (f"[Headline]: {item.headline}", f"[Summary]: {item.summary}"):
                yield Stated(Family.NEWS, line, item.published_at.date(), named)
    tables = (
        (Family.SIGNALS, [(one.name, one.value) for one in facts.signals or ()]),
        (Family.MACRO, [(one.name, one.value) for one in facts.macro or ()]),
        (
            Family.FUNDAMENTALS,
            list((facts.fundamentals.metrics if facts.fundamentals else {}).items()),
        ),
        (Family.INDICATORS, [(one.name, one.value) for one in facts.indicators or ()]),
    )
    for family, figures in tables:
        for name, value in figures:
            if value is not None:
                line = f"{name}: {figure(value)}"
                yield Stated(family, line, facts.day, f"'{name}' in the row")
