"""The answer without a teacher: the label line, and reasons that are made of the facts alone. Pure.

Reasons, their order and the analysis depend on the facts and never on what came of the week; only the prediction line
does. They are what rules read off the figures, no judgement, and no text to learn style from.
"""

from __future__ import annotations

from collections.abc import Iterator

from fingpt.features.model import Facts, PastWeek, Reading
from fingpt.features.text import figure, price
from fingpt.prompts.examples import PREDICTION_HEADER

_MOST = 4
_QUOTED_WORDS = 8
"""More of a headline would make the answer a copy of its prompt (`answer-in-prompt` of the leak linter)."""

Point = tuple[int, str]
"""+1 or −1, and the sentence."""


def rationale(facts: Facts, label: str) -> str:
    """An answer in the published layout."""
    points = list(_points(facts))
    good = [text for sign, text in points if sign > 0]
    bad = [text for sign, text in points if sign < 0]
    return (
        f"[Positive Developments]:\n{_numbered(good, 'a rise')}\n\n"
        f"[Potential Concerns]:\n{_numbered(bad, 'a fall')}\n\n"
        f"{PREDICTION_HEADER} {label.capitalize()}\nAnalysis: {_analysis(facts, len(good), len(bad))}"
    )


def _numbered(points: list[str], move: str) -> str:
    lines = points[:_MOST] or [f"No figure or price above speaks for {move}."]
    return "\n".join(f"{number}. {text}" for number, text in enumerate(lines, start=1))


def _points(facts: Facts) -> Iterator[Point]:
    for place, week in enumerate(reversed(facts.weeks)):
        yield from _of_week(week, newest=place == 0)
    for reading in facts.indicators or ():
        yield from _of_indicator(reading)
    found = facts.fundamentals
    for name, value in found.metrics.items() if found else ():
        if "margin" in name.casefold() and value:
            word = "positive" if value > 0 else "negative"
            yield (1 if value > 0 else -1), f"The reported {name} of {figure(value)} is {word}."


def _of_week(week: PastWeek, *, newest: bool) -> Iterator[Point]:
    change = 100 * ((week.price_end + week.dividend) / week.price_start - 1)
    if not change:
        return
    verb = "gained" if change > 0 else "lost"
    told = ""
    if newest and week.news:
        words = week.news[-1].headline.split()
        quoted = " ".join(words[:_QUOTED_WORDS]) + (" …" if len(words) > _QUOTED_WORDS else "")
        told = f', with news such as "{quoted}"'
    yield (
        (1 if change > 0 else -1),
        f"In the week to {week.end} its holders {verb} {abs(change):.1f}%{told}.",
    )


def _of_indicator(reading: Reading) -> Iterator[Point]:
    if reading.value is None:
        return
    state = reading.state
    if reading.name.startswith("RSI"):
        if "oversold" in state or "overbought" in state:
            yield (1 if "oversold" in state else -1), f"RSI says {state.split(',')[0]}."
    elif reading.name.startswith(("SMA(50", "MACD(")):
        above = "above" in state
        what = "price is" if reading.name.startswith("SMA") else "MACD is"
        than = "its 50-day average" if reading.name.startswith("SMA") else "its signal line"
        yield (1 if above else -1), f"The {what} {'above' if above else 'below'} {than}."


def _analysis(facts: Facts, good: int, bad: int) -> str:
    first, last = facts.weeks[0], facts.weeks[-1]
    weeks = len(facts.weeks)
    lean = "an even count" if good == bad else "more for" if good > bad else "more against"
    return (
        f"Over {weeks} past week{'s' if weeks > 1 else ''} the price went from {price(first.price_start)} to "
        f"{price(last.price_end)}. The points above count {good} for a rise and {bad} for a fall, {lean}. They are "
        "read off the figures by fixed rules, and what moves the price next need not be among them."
    )
