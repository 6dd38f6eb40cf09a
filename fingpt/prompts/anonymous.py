"""A prompt without its company and its time, and a question with nothing else: what a model knows by heart shows. Pure.

Names: the company's full name from the introduction, what is left of it without legal forms, a telling first word, and
the symbol. Dates: moved by whole years of weeks, so that weekdays stay. Products, people and other companies stay, so
an anonymous prompt is harder to recognise, not impossible.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

from fingpt.prompts.examples import Example

COMPANY, TICKER = "Company A", "CMPA"
SHIFT = timedelta(weeks=520)
"""Ten years of 52 weeks, forward: no model has been trained on those weeks."""

_NAME = re.compile(r"\[Company Introduction\]:\s{1,8}([^\n]{1,80}?) is a ")
_FORMS = frozenset(
    "inc corp co company companies corporation group holdings plc ltd limited sa ag nv se international "
    "communications systems & the".split()
)
_COMMON = frozenset("american international general united national first global".split())
_TELLING_LETTERS = 5
_DATE = re.compile(r"\b(?:19|20)\d\d-\d\d-\d\d\b", re.ASCII)
_YEAR = re.compile(r"(?<![\w.,$-])20[0-4]\d(?![\w%-]|[.,]\d)", re.ASCII)


def anonymise(example: Example) -> Example:
    """The example with another user text; nothing else is changed, so it answers to the same label."""
    # The symbol first, and in its own case: DOW is a symbol, Dow a name.
    text = re.sub(rf"(?<!\w){re.escape(example.symbol)}(?!\w)", TICKER, example.user)
    for name in _names(example):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", COMPANY, text, flags=re.IGNORECASE)
    text = _YEAR.sub(lambda match: str(int(match[0]) + SHIFT.days // 364), text)
    return replace(example, user=_DATE.sub(_shifted, text))


def recall(example: Example) -> Example:
    """The example with a question that gives company, symbol and week and nothing that happened before."""
    found = _NAME.search(example.user)
    company = f"{found[1]} ({example.symbol})" if found else example.symbol
    question = (
        f"From what you remember, without any news: how did the stock price of {company} change in the week "
        f"{example.period}?"
    )
    return replace(example, user=question)


def _names(example: Example) -> list[str]:
    """The names of the company, the longest first."""
    match = _NAME.search(example.user)
    if match is None:
        return []
    words = match[1].split()
    names = {match[1]}
    while len(words) > 1 and words[-1].lower().rstrip(".,") in _FORMS:
        words.pop()
        names.add(" ".join(words))
    if len(words[0]) >= _TELLING_LETTERS and words[0].lower() not in _COMMON:
        names.add(words[0])
    return sorted(names, key=lambda name: (-len(name), name))


def _shifted(match: re.Match[str]) -> str:
    try:
        return (date.fromisoformat(match[0]) + SHIFT).isoformat()
    except (ValueError, OverflowError):
        return match[0]
