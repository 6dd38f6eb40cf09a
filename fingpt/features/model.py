"""Facts as records: what a prompt states of one symbol at one close, and the refusal where there are too few."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from fingpt.errors import DataError
from fingpt.record import Frozen, Moment

VERSION = 2
"""Of the facts and of the question made of them; raise it when equal sources would give another text."""


class NoFacts(DataError):
    """There is too little to state for this symbol and close; `reason` is a short word that manifests count."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Company(Frozen):
    """What does not change from week to week; empty where it is not known."""

    name: str
    asset: str
    exchange: str
    industry: str
    country: str


class NewsItem(Frozen):
    """One article, each text on one line; `published_at` is when it could be known first, UTC."""

    published_at: Moment
    headline: str
    summary: str
    source: str


class PastWeek(Frozen):
    """One past week, from close to close in shares of the as-of day.

    `dividend`: per share, of ex-dates in the week. `found`: articles that it had, of which `reprints` said again what
    an earlier one had said; `news` are those that the prompt quotes.
    """

    start: date
    end: date
    price_start: float
    price_end: float
    dividend: float
    news: tuple[NewsItem, ...]
    found: int
    reprints: int


class Reading(Frozen):
    """An indicator: its value as the prompt shows it, None where there are too few closes, and its state in words."""

    name: str
    value: float | None
    state: str


class Figure(Frozen):
    """A macro figure or a signal; `period` is what it is about."""

    name: str
    value: float
    unit: str
    period: str


class Fundamentals(Frozen):
    """Figures of one fiscal period (`period_end` YYYY-MM-DD), on `filed` the newest that anyone could know."""

    period_end: str
    filed: date
    form: str
    metrics: Mapping[str, float]


class Facts(Frozen):
    """All that is known of a symbol at `as_of`, the close of `day`.

    `weeks` are whole past weeks, the oldest first. Of the families a part is None where it is switched off, and empty
    where nothing was known. `horizon_end`: the session at whose close the forecast will be scored.
    `available_at_max`: the newest of all that was used. `degraded`: parts of the sources that failed, with the reason.
    """

    version: int = VERSION
    symbol: str
    as_of: Moment
    day: date
    horizon_days: int
    horizon_end: date
    company: Company | None
    weeks: tuple[PastWeek, ...]
    has_news: bool
    indicators: tuple[Reading, ...] | None
    fundamentals: Fundamentals | None
    has_fundamentals: bool
    macro: tuple[Figure, ...] | None
    signals: tuple[Figure, ...] | None
    available_at_max: Moment
    sources: tuple[str, ...]
    degraded: Mapping[str, str]

    @property
    def asset(self) -> str:
        """What kind of asset it is, as prompts call it."""
        stated = self.company.asset if self.company else ""
        return stated or ("cryptocurrency" if self.symbol.endswith("-USD") else "stock")

    @property
    def period(self) -> str:
        """The forecast week, in the published form."""
        return f"{self.day} to {self.horizon_end}"
