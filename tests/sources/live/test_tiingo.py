"""Tiingo against a server that speaks as its documentation says: prices, actions, quotas, ends of listings."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from fingpt.errors import DataError, MissingInputError, PermissionDeniedError, TransientError
from fingpt.sources import calendar
from fingpt.sources.live.catalogue import open_live
from fingpt.sources.month import Month
from fingpt.sources.records import Kind
from tests.sources.live.conftest import KEY
from tests.sources.live.vendor import Said

NOVEMBER = Month(2026, 11)
SPLIT, EX = date(2026, 6, 10), date(2026, 11, 6)


class Listing:
    """The service's two paths for one ticker; `missing` days have no row."""

    def __init__(self, vendor, start=date(2026, 1, 2), end=date(2026, 11, 20)) -> None:
        self.start, self.end, self.missing = start, end, set()
        vendor.routes = {
            "/tiingo/daily/IVW-B": self.meta,
            "/tiingo/daily/IVW-B/prices": self.prices,
        }
        vendor.unknown = Said({"detail": "Error: Ticker 'GONE' not found"}, 404)

    def meta(self, asked) -> Said:
        if asked.headers.get("authorization") != f"Token {KEY}":
            return Said({"detail": "Invalid token."}, 401)
        days = {"startDate": str(self.start), "endDate": str(self.end)}
        return Said(
            {"ticker": "IVW-B", "name": "Works", "exchangeCode": "NYSE", "description": "", **days}
        )

    def prices(self, asked) -> Said:
        first, last = (date.fromisoformat(asked.query[name]) for name in ("startDate", "endDate"))
        days = calendar.sessions(max(first, self.start), min(last, self.end))
        return Said([row(day, each) for each, day in enumerate(days) if day not in self.missing])


def row(day: date, number: int) -> dict:
    raw = 400.0 + number if day < SPLIT else 100.0 + number
    adjusted = {f"adj{name}": 1.0 for name in ("Open", "High", "Low", "Close", "Volume")}
    return {
        "date": f"{day}T00:00:00.000Z",
        "open": raw,
        "high": raw + 2,
        "low": raw - 2,
        "close": raw + 1,
        "volume": 1_000_000,
        **adjusted,
        "divCash": 0.5 if day == EX else 0.0,
        "splitFactor": 4.0 if day == SPLIT else 1.0,
    }


@pytest.fixture
def listing(vendor):
    return Listing(vendor)


@pytest.fixture
def source(vendor, clock, monkeypatch):
    monkeypatch.setenv("FINGPT_TIINGO_KEY", KEY)
    return open_live("tiingo", {"address": vendor.url}, clock)


def records(source, kind, month):
    return [each for answer in source.fetch(kind, "IVW.B", month) for each in source.read(answer)]


def test_a_month_has_its_sessions_at_their_closes_as_they_were_traded(source, listing, vendor):
    found = records(source, Kind.PRICE, NOVEMBER)
    assert len(found) == 15
    assert found[0].event_time == datetime(2026, 11, 2, 21, 0, tzinfo=UTC), "winter time"
    first = records(source, Kind.PRICE, Month(2026, 6))[0]
    assert first.event_time == datetime(2026, 6, 1, 20, 0, tzinfo=UTC), "summer time"
    assert first.available_at == first.event_time
    assert first.payload["close"] > 400, "not adjusted for a later split"
    assert first.payload["currency"] == "USD"
    assert set(first.payload) == {"open", "high", "low", "close", "volume", "currency"}


def test_five_years_are_one_request_and_the_ticker_s_dates_another(source, listing, vendor):
    vendor.routes |= {path.replace("IVW-B", "OTH"): route for path, route in vendor.routes.items()}
    for kind in (Kind.ACTION, Kind.PRICE):
        for symbol in ("IVW.B", "OTH"):
            for number in range(1, 12):
                list(source.fetch(kind, symbol, Month(2026, number)))
    paths = [
        f"/tiingo/daily/{ticker}{rest}" for ticker in ("IVW-B", "OTH") for rest in ("", "/prices")
    ]
    assert [asked.path for asked in vendor.asked] == paths
    assert vendor.asked[1].query["startDate"] == "2025-01-01"
    assert vendor.asked[1].query["endDate"] == "2026-11-20"


def test_splits_and_dividends_come_at_the_opening_of_their_day(source, listing):
    (split,) = records(source, Kind.ACTION, Month(2026, 6))
    assert split.payload == {"type": "split", "ratio": 4.0}
    assert split.event_time == datetime(2026, 6, 10, 13, 30, tzinfo=UTC)
    (dividend,) = records(source, Kind.ACTION, NOVEMBER)
    assert dividend.payload == {"type": "dividend", "amount": 0.5}


def test_a_session_without_a_price_is_named(source, listing):
    listing.missing = {date(2026, 11, 11), date(2026, 11, 12)}
    with pytest.raises(
        DataError, match=r"no price of IVW.B for 2 of the sessions of 2026-11, first 2026-11-11"
    ):
        records(source, Kind.PRICE, NOVEMBER)


def test_a_last_price_that_is_old_is_stale(source, listing):
    listing.end = date(2026, 11, 13)
    with pytest.raises(
        DataError, match=r"last price of IVW.B is of 2026-11-13, 5 sessions ago.*stale"
    ):
        records(source, Kind.PRICE, NOVEMBER)


def test_a_listing_that_ended_has_its_last_month_and_no_later_one(source, listing):
    listing.end = date(2026, 8, 28)
    assert records(source, Kind.PRICE, Month(2026, 8))[-1].event_time.date() == listing.end
    with pytest.raises(
        MissingInputError, match=r"no price of IVW.B after 2026-08-28.*delisted or renamed"
    ):
        records(source, Kind.PRICE, Month(2026, 9))
    assert records(source, Kind.PRICE, Month(2025, 12)) == [], "not listed yet"


def test_an_unknown_ticker_is_named_with_what_the_service_says(source, listing, vendor):
    with pytest.raises(MissingInputError, match=r"\(404\) and says .*Ticker 'GONE' not found"):
        list(source.fetch(Kind.PRICE, "GONE", NOVEMBER))
    with pytest.raises(MissingInputError, match="404"):
        list(source.fetch(Kind.PRICE, "../x?y", NOVEMBER))
    assert vendor.asked[-1].target == "/tiingo/daily/--%2Fx%3Fy"


QUOTA = "You have run over your hourly request allocation. Please upgrade at https://api.tiingo.com/pricing"


@pytest.mark.parametrize(
    "said",
    [
        Said(
            f"You have run over your 500 symbol look up for this month. {QUOTA}", kind="text/html"
        ),
        Said({"detail": f"Error: {QUOTA}"}),
        Said({"detail": f"Error: {QUOTA}"}, 429),
    ],
)
def test_a_used_up_quota_is_never_taken_for_an_answer_or_a_missing_symbol(
    source, listing, vendor, clock, said
):
    vendor.faults = [said]
    with pytest.raises(
        TransientError, match=r"quota is used up .*once the hour, or the day or month"
    ):
        records(source, Kind.PRICE, NOVEMBER)
    assert clock.slept == []


def test_a_revoked_key_names_its_variable(source, listing, monkeypatch):
    monkeypatch.setenv("FINGPT_TIINGO_KEY", "another-key-9876543210")
    with pytest.raises(PermissionDeniedError, match=r"Invalid token.*FINGPT_TIINGO_KEY"):
        records(source, Kind.PRICE, NOVEMBER)


def test_days_twice_or_out_of_order_are_refused(source, listing, vendor):
    vendor.routes["/tiingo/daily/IVW-B/prices"] = Said(
        [row(date(2026, 11, 3), 1), row(date(2026, 11, 3), 1)]
    )
    with pytest.raises(DataError, match="has 2026-11-03 after 2026-11-03"):
        records(source, Kind.PRICE, NOVEMBER)


@pytest.mark.parametrize(
    ("field", "value"), [("close", None), ("open", -1), ("divCash", "x"), ("date", "soon")]
)
def test_a_row_that_is_not_as_documented_is_refused(source, listing, vendor, field, value):
    vendor.routes["/tiingo/daily/IVW-B/prices"] = Said(
        [{**row(date(2026, 11, 3), 1), field: value}]
    )
    with pytest.raises(DataError, match=rf"is not as its documentation says \(0\.{field}"):
        records(source, Kind.PRICE, NOVEMBER)
