"""Finnhub: company news and profiles. Needs a key; its free plan is for personal use, and news reach back one year.

GET /company-news (symbol, from, to: days, both included) answers a list without pages; weeks are asked one by one,
because a long span may be cut without a word. GET /stock/profile2 answers `{}` for a symbol that it does not know.

GET /stock/metric (basic financials) is not asked: `series` has ratios by the end of their period, `metric` those of
now.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter

from fingpt.errors import DataError, MissingInputError
from fingpt.record import Frozen
from fingpt.sources.live.answers import Shape, kept, parse, record, where
from fingpt.sources.live.client import Client, Service
from fingpt.sources.live.failures import JSON, excerpt
from fingpt.sources.live.keys import require_key
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

_NO_FUNDAMENTALS = (
    "Finnhub's basic financials say which period they are of and not when they were filed, and its ratios are of "
    "today's prices: a prompt of the past would know them before anybody did. Take edgar, whose figures have the time "
    "of their acceptance."
)


class FinnhubSettings(Frozen):
    """`years_back`: how far the plan's news reach; `calls_per_minute`: what the plan allows."""

    address: str = "https://finnhub.io/api/v1"
    years_back: Annotated[int, Field(ge=1, le=30)] = 1
    calls_per_minute: Annotated[int, Field(ge=1, le=1800)] = 60


class _Item(Shape):
    datetime: Annotated[int, Field(gt=0, lt=1 << 33)]
    headline: str
    summary: str = ""
    url: str = ""
    source: str = ""


class _Profile(Shape):
    name: str = ""
    ticker: str = ""
    exchange: str = ""
    finnhubIndustry: str = ""  # noqa: N815 (the service's name for it)
    country: str = ""


_NEWS = TypeAdapter(list[_Item])
_PROFILE = TypeAdapter(_Profile)


class Finnhub:
    """News by publication time, and what a company is today."""

    name = "finnhub"
    policy = UsagePolicy.allowing(
        Use.RESEARCH,
        Use.PRIVATE_DISPLAY,
        prohibited=(Use.COMMERCIAL,),
        terms="Finnhub's free plan is for personal use; of redistribution nothing is verified",
    )

    def __init__(self, settings: FinnhubSettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._client: Client | None = None
        self._known: set[str] = set()

    def capabilities(self) -> Capabilities:
        """News and profiles of any symbol, as far back as the plan goes."""
        return Capabilities(
            kinds=frozenset({Kind.NEWS, Kind.PROFILE}),
            earliest=self._earliest(),
            needs_key=True,
            rate=self._settings.calls_per_minute / 60,
            refused={Kind.FUNDAMENTALS: _NO_FUNDAMENTALS},
        )

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer for each week of news; one profile for the present month, none for earlier ones.

        A profile tells what is true today; of an earlier month it would know too much.
        """
        now = self._clock.now()
        if kind is Kind.PROFILE:
            if month == Month.of(now.date()):
                reply = self._asking().get("/stock/profile2", {"symbol": symbol}, JSON)
                yield kept(self, kind, symbol, month, reply)
            return
        if month.first < self._earliest():
            raise DataError(
                f"Finnhub's news of {symbol} in {month} are older than {self._settings.years_back} year(s), which the "
                "plan does not reach; set years_back of finnhub to what yours does, or begin later."
            )
        empty = True
        for start, end in _weeks(month, now.date()):
            days = {"symbol": symbol, "from": start.isoformat(), "to": end.isoformat()}
            answer = kept(
                self, kind, symbol, month, self._asking().get("/company-news", days, JSON)
            )
            empty = empty and answer.body.strip() == b"[]"
            yield answer
        if empty:
            self._check_known(symbol)

    def read(self, answer: Answer) -> Iterator[Record]:
        """News at their publication, or the profile at its retrieval."""
        if answer.kind is Kind.PROFILE:
            yield from self._profile(answer)
            return
        for item in parse(_NEWS, answer.body, where(answer)):
            moment = datetime.fromtimestamp(item.datetime, UTC)
            # Days of the request may be New York's or Greenwich's: a day to either side is still of that month.
            if (
                not answer.month.first - timedelta(1)
                <= moment.date()
                <= answer.month.last + timedelta(1)
            ):
                raise DataError(
                    f"{where(answer)} holds an item of {moment:%Y-%m-%d}, which was not asked for; the service may "
                    "have changed: leave its news out until that is clear."
                )
            payload: dict[str, object] = {
                "headline": item.headline,
                "summary": item.summary,
                "url": item.url or None,
                "publisher": item.source or None,
            }
            yield record(answer, moment, moment, payload)

    def _profile(self, answer: Answer) -> Iterator[Record]:
        found = parse(_PROFILE, answer.body, where(answer))
        _check_profile(found, answer.symbol)
        payload: dict[str, object] = {
            "name": found.name,
            "asset": "stock",
            "exchange": found.exchange or None,
            "industry": found.finnhubIndustry or None,
            "country": found.country or None,
        }
        yield record(answer, answer.retrieved_at, answer.retrieved_at, payload)

    def _check_known(self, symbol: str) -> None:
        """MissingInputError for a symbol that Finnhub does not know: of those it says that there is no news."""
        if symbol not in self._known:
            reply = self._asking().get("/stock/profile2", {"symbol": symbol}, JSON)
            _check_profile(
                parse(_PROFILE, reply.body, f"The profile of {symbol} at finnhub"), symbol
            )
            self._known.add(symbol)

    def _earliest(self) -> date:
        today = self._clock.now().date()
        return (today - timedelta(days=round(365.25 * self._settings.years_back))).replace(day=1)

    def _asking(self) -> Client:
        if self._client is None:
            limits = (Limit(self._settings.calls_per_minute, 60), Limit(30, 1))
            key = require_key("finnhub", "header", "X-Finnhub-Token")
            service = Service("Finnhub", self._settings.address, limits, key)
            self._client = Client(service, self._clock)
        return self._client


def _weeks(month: Month, today: date) -> Iterator[tuple[date, date]]:
    """The month cut into spans of at most seven days, none of them after today."""
    start, last = month.first, min(month.last, today)
    while start <= last:
        end = min(start + timedelta(days=6), last)
        yield start, end
        start = end + timedelta(days=1)


def _check_profile(found: _Profile, symbol: str) -> None:
    if not found.name:
        raise MissingInputError(
            f"Finnhub does not know the symbol {symbol}; it may be misspelt, renamed, delisted, or no stock."
        )
    if found.ticker and found.ticker != symbol:
        raise DataError(
            f"Finnhub answers for {excerpt(found.ticker)[:20]} when it is asked for {symbol}, so it was renamed; "
            "use the new one for the time after, and another source for the time before."
        )
