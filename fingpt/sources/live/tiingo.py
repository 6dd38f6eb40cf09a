"""Tiingo: daily prices as they were traded, splits and dividends. Needs a key.

GET /tiingo/daily/<ticker>/prices answers all days of a span at once, /tiingo/daily/<ticker> the first and last day that
it knows. Five years are asked for together and cut into months when they are read, because its free plan has few calls
an hour. Over its quota it answers 429, or 200 with a sentence instead of prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Annotated, NamedTuple
from urllib.parse import quote

from pydantic import Field, TypeAdapter, field_validator

from fingpt.errors import DataError, FingptError, MissingInputError, TransientError
from fingpt.record import Frozen
from fingpt.sources import calendar
from fingpt.sources.live.answers import (
    STALE_SESSIONS,
    Shape,
    kept,
    parse,
    record,
    sessions_since,
    wanted_sessions,
    where,
)
from fingpt.sources.live.client import Client, Reply, Service
from fingpt.sources.live.failures import JSON, excerpt
from fingpt.sources.live.keys import require_key
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

_BLOCK_YEARS = 5
_BLOCKS_KEPT = (
    128  # some 300 kB each; prices and actions of a symbol are asked for one after the other
)
_Price = Annotated[float, Field(gt=0)]


class TiingoSettings(Frozen):
    """`calls_per_hour`: what the plan allows; its free one allows 50."""

    address: str = "https://api.tiingo.com"
    calls_per_hour: Annotated[int, Field(ge=1, le=100_000)] = 50


class _Meta(Shape):
    startDate: date | None  # noqa: N815 (the service's name for it, as all of these)
    endDate: date | None  # noqa: N815


class _Day(Shape):
    date: date
    open: _Price
    high: _Price
    low: _Price
    close: _Price
    volume: Annotated[float, Field(ge=0)] | None = None
    divCash: Annotated[float, Field(ge=0)]  # noqa: N815
    splitFactor: Annotated[float, Field(gt=0)]  # noqa: N815

    @field_validator("date", mode="before")
    @classmethod
    def _day_of_a_moment(cls, value: object) -> object:
        """Days come as their midnight, `2026-11-20T00:00:00.000Z`."""
        return value[:10] if isinstance(value, str) else value


class _Parsed(NamedTuple):
    sha256: str
    days: list[_Day]


_META = TypeAdapter(_Meta)
_DAYS = TypeAdapter(list[_Day])


class Tiingo:
    """Prices and actions of US stocks and funds."""

    name = "tiingo"
    policy = UsagePolicy.allowing(
        Use.RESEARCH,
        Use.PRIVATE_DISPLAY,
        prohibited=(Use.REDISTRIBUTION,),
        terms="Tiingo takes tools that come with their user's own token; redistribution needs a licence",
    )

    def __init__(self, settings: TiingoSettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._client: Client | None = None
        self._metas: dict[str, _Meta] = {}
        self._blocks: dict[tuple[str, int], Reply] = {}
        self._parsed = _Parsed("", [])

    def capabilities(self) -> Capabilities:
        """Prices and actions of any symbol."""
        return Capabilities(
            kinds=frozenset({Kind.PRICE, Kind.ACTION}),
            needs_key=True,
            rate=self._settings.calls_per_hour / 3600,
        )

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer, with the five years that the month lies in; DataError when days of the month are missing.

        None before it was listed, MissingInputError when it is unknown or listed no more.
        """
        meta = self._meta(symbol)
        start = _first_day(symbol, month, meta)
        if month.last < start:  # not listed yet, and it has said so
            return
        answer = kept(self, kind, symbol, month, self._block(symbol, month))
        self._check_whole(answer, meta)
        yield answer

    def read(self, answer: Answer) -> Iterator[Record]:
        """The sessions of the answer's month, or their splits and dividends."""
        for day in self._days(answer):
            if Month.of(day.date) != answer.month:
                continue
            if answer.kind is Kind.PRICE:
                close = calendar.close_of(day.date)
                yield record(answer, close, close, _price(day))
                continue
            opening = calendar.open_of(day.date)
            if day.splitFactor != 1:
                yield record(answer, opening, opening, {"type": "split", "ratio": day.splitFactor})
            if day.divCash:
                yield record(answer, opening, opening, {"type": "dividend", "amount": day.divCash})

    def _days(self, answer: Answer) -> list[_Day]:
        """All days of an answer; the last one's are kept, since its other months are read next."""
        if self._parsed.sha256 != answer.sha256:
            days = parse(_DAYS, answer.body, where(answer))
            for one, two in pairwise(days):
                if one.date >= two.date:
                    raise DataError(
                        f"{where(answer)} has {two.date} after {one.date}; each day is expected once and in order. "
                        "Leave this symbol out until the service is right again."
                    )
            self._parsed = _Parsed(answer.sha256, days)
        return self._parsed.days

    def _check_whole(self, answer: Answer, meta: _Meta) -> None:
        """DataError for a session without a price, or a newest price that is too old."""
        now, symbol, month = self._clock.now(), answer.symbol, answer.month
        assert meta.endDate is not None  # _first_day has seen to it
        wanted = [day for day in wanted_sessions(month, now, meta.startDate) if day <= meta.endDate]
        missing = sorted(set(wanted) - {day.date for day in self._days(answer)})
        if missing:
            raise DataError(
                f"Tiingo has no price of {symbol} for {len(missing)} of the sessions of {month}, first {missing[0]}; a "
                "trading halt, or a gap at the service: leave the month out, or take its prices from another source."
            )
        age = sessions_since(meta.endDate, now)
        if month.end > now and age > STALE_SESSIONS:
            raise DataError(
                f"Tiingo's last price of {symbol} is of {meta.endDate}, {age} sessions ago: halted, delisted, renamed, "
                "or the service lags. Nothing can be forecast from a stale price."
            )

    def _meta(self, symbol: str) -> _Meta:
        if symbol not in self._metas:
            reply = self._asking().get(f"/tiingo/daily/{_ticker(symbol)}", {}, JSON)
            self._metas[symbol] = parse(_META, reply.body, f"What tiingo says of {symbol}")
        return self._metas[symbol]

    def _block(self, symbol: str, month: Month) -> Reply:
        first = month.year - month.year % _BLOCK_YEARS
        key = symbol, first
        if key not in self._blocks:
            end = min(date(first + _BLOCK_YEARS - 1, 12, 31), self._clock.now().date())
            span = {"startDate": f"{first}-01-01", "endDate": end.isoformat()}
            fixed = {"format": "json", "resampleFreq": "daily"}
            path = f"/tiingo/daily/{_ticker(symbol)}/prices"
            if len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[key] = self._asking().get(path, {**span, **fixed}, JSON)
        return self._blocks[key]

    def _asking(self) -> Client:
        if self._client is None:
            key = require_key("tiingo", "header", "Authorization", prefix="Token ")
            limits = (Limit(self._settings.calls_per_hour, 3600),)
            service = Service("Tiingo", self._settings.address, limits, key, explain=_explain)
            self._client = Client(service, self._clock)
        return self._client


def _explain(status: int, text: str) -> FingptError | None:
    """Its quota, which comes under several statuses, 200 among them, and ends with the hour, the day or the month."""
    if status in (200, 403, 429) and "You have run over your" in text:
        return TransientError(
            f"Tiingo's quota is used up ({status}: '{excerpt(text)}'); the same command goes on from here once the "
            "hour, or the day or month that it names, is over."
        )
    return None


def _first_day(symbol: str, month: Month, meta: _Meta) -> date:
    """The first day with a price; MissingInputError where there is none, or none any more."""
    if meta.startDate is None or meta.endDate is None:
        raise MissingInputError(f"Tiingo knows {symbol}, but has no price of it; check the symbol.")
    if month.first > meta.endDate:
        raise MissingInputError(
            f"Tiingo has no price of {symbol} after {meta.endDate}, so none in {month}: delisted or renamed."
        )
    return meta.startDate


def _price(day: _Day) -> dict[str, object]:
    prices = {"open": day.open, "high": day.high, "low": day.low, "close": day.close}
    return {**prices, "volume": day.volume, "currency": "USD"}


def _ticker(symbol: str) -> str:
    """Share classes have a hyphen here: BRK.B is BRK-B."""
    return quote(symbol.replace(".", "-"), safe="")
