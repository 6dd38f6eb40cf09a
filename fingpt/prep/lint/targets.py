"""The outcome of the forecast week among the numbers of the news: to the cent, or numbers that go with the label."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from fingpt.prep.facts import Case
from fingpt.prep.lint.cases import Cases, all_cases, finding, scored
from fingpt.prep.lint.sections import Sections, sections_of
from fingpt.runs.manifest import Finding

FEW = 3
"""So many prices to the cent, in one row of a hundred, are no coincidence (2 of 356 published rows are)."""

_PRICE = re.compile(
    r"(?<![\w.,])[$]?\s?(\d{1,3}(?:,\d{3})+|\d{1,6})(\.\d{1,4})?(?![\d,]*\d|\.\d|\s?%|\s?per ?cent|[A-Za-z])"
)
_PERCENT = re.compile(
    r"(?P<way>[-+−]|\b[A-Za-z]+)(?P<gap>[^\w%\n]{0,3}(?:(?:by|about|around|nearly|over|some)\W)?)"
    r"(?P<size>\d{1,2}(?:\.\d{1,3})?)\s?(?:%|per ?cent)"
)
_ABOUT_STOCK = re.compile(
    r"\b(?:stock|shares?|price|week|clos\w+|trad\w+|session|friday|rally|return)\b", re.IGNORECASE
)
_UP = re.compile(
    r"\+|up|ris\w+|rose|gain\w*|jump\w*|climb\w*|higher|advanc\w*|surg\w*|add\w*|rall\w+|increas\w*",
    re.IGNORECASE,
)
_DOWN = re.compile(
    r"[-−]|down|fall\w*|fell|los[est]\w*|drop\w*|slip\w*|lower|declin\w*|tumbl\w*|sink\w*|sank|shed\w*|decreas\w*",
    re.IGNORECASE,
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_PICKS: dict[str, Callable[[list[float]], float]] = {
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "least": min,
    "largest": max,
}
_SERIES = ("price in the news / last price", "change in the news")
NEWS = tuple(f"{word} {series}" for series in _SERIES for word in _PICKS)
"""The numbers that `news_numbers` names."""
_RANGE = (0.7, 1.4)  # what a price may be of the last one


def future_prices(cases: Cases) -> Iterator[Finding]:
    """News that state the price at the end of the forecast week to the cent, as a later prompt's price line has it."""
    ends = {
        (case.example.symbol, week.start, week.end): week.price_end
        for case in all_cases(cases)
        for week in case.facts.weeks
    }
    for split, part in cases.items():
        asked = ((case, case.example) for case in part)
        known = [(c, e) for c, row in asked if (e := ends.get((row.symbol, row.start, row.end)))]
        hits = [(case, end) for case, end in known if _states(case, end)]
        if len(hits) >= max(FEW, len(known) // 100):
            text = (
                f"News state the price at the end of the forecast week to the cent: {len(hits)} of {len(known)} rows "
                f"whose later price is known, for example {hits[0][1]:.2f}."
            )
            late = [case for case, _ in hits]
            found = finding("target-in-news", "error", split, late, len(part), text)
            yield scored(found, [_up(case, end) == (case.example.margin > 0) for case, end in hits])


def news_numbers(case: Case, parts: Sections) -> Iterator[tuple[str, float]]:
    """Of prices in the news over the last price, and of signed changes of the stock in per cent: each of NEWS that the
    news have.
    """
    for series, values in zip(_SERIES, (_prices(case, parts), _changes(parts)), strict=True):
        if values:
            for word, pick in _PICKS.items():
                yield f"{word} {series}", pick(values)


def _states(case: Case, end: float) -> bool:
    """Whether a number of the news is `end` to the cent, and no price that the prompt's heads tell anyway."""
    told = {price for week in case.facts.weeks for price in (week.price_start, week.price_end)}
    if end in told:
        return False
    price, user = f"{end:.2f}", case.example.user.replace(",", "")
    if price not in user:
        return False
    news = "\n".join(sections_of(case).news).replace(",", "")
    return bool(re.search(rf"(?<![\d.,]){re.escape(price)}(?!\d)", news))


def _up(case: Case, end: float) -> bool:
    last = case.facts.last_price
    return last is not None and end >= last


def _prices(case: Case, parts: Sections) -> list[float]:
    last = case.facts.last_price
    if not last:
        return []
    text = _DATE.sub(" ", "\n".join(parts.news))
    values = (float(m[1].replace(",", "") + (m[2] or "")) / last for m in _PRICE.finditer(text))
    return [value for value in values if _RANGE[0] <= value <= _RANGE[1]]


def _changes(parts: Sections) -> list[float]:
    return [change for line in parts.news for change in _changes_in(line)]


@lru_cache(maxsize=4096)  # news stand in the prompts of a few weeks
def _changes_in(line: str) -> tuple[float, ...]:
    found = []
    for match in _PERCENT.finditer(line):
        sentence = line[max(0, match.start() - 80) : match.end() + 60]
        if _ABOUT_STOCK.search(sentence):
            if _UP.fullmatch(match["way"]):
                found.append(float(match["size"]))
            elif _DOWN.fullmatch(match["way"]):
                found.append(-float(match["size"]))
    return tuple(found)
