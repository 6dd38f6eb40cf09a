"""Yahoo through yfinance itself, whose requests are led to a server on loopback that has Yahoo's paths."""

from __future__ import annotations

from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import pytest
import requests
import yfinance
from requests.adapters import HTTPAdapter

from fingpt.errors import ConfigError, DataError, MissingInputError, TransientError
from fingpt.sources import calendar
from fingpt.sources.live.catalogue import open_live
from fingpt.sources.live.yahoo import Yahoo, YahooSettings
from fingpt.sources.month import Month
from fingpt.sources.policy import Use
from fingpt.sources.records import Kind
from tests.sources.live.vendor import Said

NOVEMBER = Month(2026, 11)
SPLIT, BEFORE, AFTER = date(2026, 10, 19), date(2026, 10, 5), date(2026, 11, 6)


class ToLoopback(HTTPAdapter):
    """Sends every request to one server, whatever host it names."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = urlsplit(url)

    def send(self, request, **more):
        there = urlsplit(request.url)
        request.url = there._replace(scheme="http", netloc=self._url.netloc).geturl()
        return super().send(request, **more)


class Chart:
    """Yahoo's chart of one symbol: prices are adjusted for the split of 4 to 1, as Yahoo's are."""

    def __init__(self, last: date = date(2026, 11, 20)) -> None:
        self.last, self.missing, self.open_session = last, set(), []

    def __call__(self, asked) -> Said:
        days = calendar.sessions(date(2026, 9, 1), self.last)
        days = [day for day in days if day not in self.missing] + self.open_session
        stamps = [int(calendar.open_of(day).timestamp()) for day in days]
        price = [100.0 + number for number in range(len(days))]
        quote = {
            "open": price,
            "high": [p + 2 for p in price],
            "low": [p - 2 for p in price],
            "close": [p + 1 for p in price],
        }
        quote["volume"] = [4_000_000] * len(days)
        split = {"date": opening(SPLIT), "numerator": 4, "denominator": 1, "splitRatio": "4:1"}
        paid = {str(day): {"date": opening(day), "amount": 0.25} for day in (BEFORE, AFTER)}
        events = {"splits": {"a": split}, "dividends": paid} if self.last > AFTER else {}
        meta = {
            "currency": "USD",
            "symbol": "IVW-B",
            "exchangeName": "NYQ",
            "instrumentType": "EQUITY",
            "exchangeTimezoneName": "America/New_York",
            "timezone": "EST",
            "gmtoffset": -18000,
            "priceHint": 2,
            "dataGranularity": "1d",
            "range": "",
            "validRanges": ["1d"],
            "regularMarketTime": stamps[-1],
            "firstTradeDate": stamps[0],
        }
        adjusted = [{"adjclose": [p * 0.9 for p in price]}]
        result = {
            "meta": meta,
            "timestamp": stamps,
            "events": events,
            "indicators": {"quote": [quote], "adjclose": adjusted},
        }
        return Said({"chart": {"result": [result], "error": None}})


def opening(day: date) -> int:
    return int(calendar.open_of(day).timestamp())


NOT_FOUND = {"code": "Not Found", "description": "No data found, symbol may be delisted"}


@pytest.fixture
def chart(vendor):
    vendor.routes = {
        "/": Said(b"", 404),
        "/v1/test/getcrumb": Said("crumb", kind="text/plain"),
        "/v8/finance/chart/IVW-B": Chart(),
    }
    vendor.unknown = Said({"chart": {"result": None, "error": NOT_FOUND}}, 404)
    return vendor.routes["/v8/finance/chart/IVW-B"]


@pytest.fixture
def source(vendor, clock, chart):
    yfinance.data.YfData.cache_get.cache_clear()
    with requests.Session() as session:
        session.mount("https://", ToLoopback(vendor.url))
        yield Yahoo(YahooSettings(accept_terms=True), clock, session)


def forget(source) -> None:
    """What the source and yfinance remember of earlier answers."""
    source._blocks.clear()
    yfinance.data.YfData.cache_get.cache_clear()


def records(source, kind, month, symbol="IVW.B"):
    return [each for answer in source.fetch(kind, symbol, month) for each in source.read(answer)]


def test_prices_before_a_split_are_what_was_traded(source):
    october = records(source, Kind.PRICE, Month(2026, 10))
    before = next(each for each in october if each.event_time.date() == date(2026, 10, 16))
    after = next(each for each in october if each.event_time.date() == SPLIT)
    # 16 October is the 33rd session since 1 September, 19 October the 34th.
    assert (before.payload["close"], before.payload["volume"]) == (4 * 133.0, 1_000_000)
    assert (after.payload["close"], after.payload["volume"]) == (134.0, 4_000_000)
    assert before.available_at == datetime(2026, 10, 16, 20, 0, tzinfo=UTC)
    assert before.payload["currency"] == "USD"


def test_dividends_before_a_split_are_what_was_paid(source):
    dividend, split = records(source, Kind.ACTION, Month(2026, 10))
    assert dividend.payload == {"type": "dividend", "amount": 1.0}
    assert split.payload == {"type": "split", "ratio": 4.0}
    (later,) = records(source, Kind.ACTION, NOVEMBER)
    assert later.payload == {"type": "dividend", "amount": 0.25}


def test_a_session_that_is_still_open_has_no_price_yet(source, chart, clock):
    clock._now = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
    days = [each.event_time.day for each in records(source, Kind.PRICE, NOVEMBER)]
    assert days[-1] == 19


def test_missing_and_stale_prices_are_named(source, chart):
    chart.missing = {date(2026, 11, 12)}
    with pytest.raises(
        DataError, match=r"no price of IVW.B for 1 of the sessions of 2026-11, first 2026-11-12"
    ):
        records(source, Kind.PRICE, NOVEMBER)
    forget(source)
    chart.missing, chart.last = set(), date(2026, 11, 13)
    with pytest.raises(DataError, match=r"last price of IVW.B is of 2026-11-13, 5 sessions ago"):
        records(source, Kind.PRICE, NOVEMBER)
    forget(source)
    chart.last = date(2026, 9, 30)
    with pytest.raises(MissingInputError, match="after 2026-09-30, so none in 2026-11: delisted"):
        records(source, Kind.PRICE, NOVEMBER)


def test_an_unknown_symbol_is_named(source):
    with pytest.raises(MissingInputError, match="no prices of GONE since 2025-01-01"):
        records(source, Kind.PRICE, NOVEMBER, "GONE")


def test_too_many_requests_are_no_missing_prices(source, vendor):
    vendor.routes["/v8/finance/chart/IVW-B"] = Said("Too Many Requests", 429, "text/plain")
    with pytest.raises(TransientError, match=r"refuses more requests for now \(429\)"):
        records(source, Kind.PRICE, NOVEMBER)


BODIES = ["<html>Will be right back...</html>", "{", "[]", '{"chart": {"result": [{"meta": {}}]}}']


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_what_yfinance_cannot_read_is_neither_an_empty_table_nor_a_missing_symbol(
    source, vendor, number
):
    # A symbol for each: yfinance keeps the time zones of those that it has seen.
    vendor.routes[f"/v8/finance/chart/NEW{number}"] = Said(BODIES[number])
    with pytest.raises((DataError, TransientError), match="Yahoo"):
        records(source, Kind.PRICE, NOVEMBER, f"NEW{number}")


def test_yahoo_is_off_unless_its_terms_were_accepted_and_says_them(source, warnings):
    with pytest.raises(ConfigError, match=r"accept_terms: true \(Yahoo allows personal use only"):
        open_live("yahoo", {})
    records(source, Kind.PRICE, NOVEMBER)
    ((name, fields),) = warnings
    assert (name, "terms" in fields) == ("source.terms", True)
    assert not source.policy.allows(Use.REDISTRIBUTION)
