"""The headings of a prompt's parts (`[Technical Indicators]:`), whoever wrote the rows. Pure."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^\[([^\[\]\n]{1,60})\]:", re.MULTILINE)
_ITEMS = frozenset({"Headline", "Summary"})
"""Of single news, which some weeks do not have."""


def headings(text: str) -> frozenset[str]:
    """The headings of a prompt, without those of single news."""
    return frozenset(_HEADING.findall(text)) - _ITEMS


def has_news(text: str) -> bool:
    """Whether any week of a prompt tells news."""
    return not _ITEMS.isdisjoint(_HEADING.findall(text))
