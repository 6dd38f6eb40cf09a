"""Finnhub against a server that speaks as its documentation says: news by week, profiles, keys, quotas."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import DataError, MissingInputError, PermissionDeniedError
from fingpt.sources.live.catalogue import open_live
from fingpt.sources.month import Month
from fingpt.sources.records import Kind
from tests.sources.live.conftest import KEY
from tests.sources.live.vendor import Said

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
PROFILE = {
    "country": "US",
    "currency": "USD",
    "exchange": "NEW YORK STOCK EXCHANGE, INC.",
    "finnhubIndustry": "Machinery",
    "ipo": "1990-01-02",
    "marketCapitalization": 1234.5,
    "name": "Invented Works Inc",
    "shareOutstanding": 99.1,
    "ticker": "IVW",
}


def seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())


def news(asked) -> Said:
    """One item for each day that was asked for, newest first, as the service has them."""
    if asked.headers.get("x-finnhub-token") != KEY:
        return Said({"error": "Invalid API key"}, 401)
    if asked.query["symbol"] != "IVW":
        return Said([])
    start, end = (date.fromisoformat(asked.query[name]) for name in ("from", "to"))
    days = [start + timedelta(days=each) for each in range((end - start).days + 1)]
    return Said(
        [
            {
                "category": "company",
                "datetime": seconds(day),
                "headline": f"Works news of {day}",
                "id": seconds(day),
                "image": "",
                "related": "IVW",
                "source": "Wire",
                "summary": "Something happened.",
                "url": "https://news.example/1",
            }
            for day in reversed(days)
        ]
    )


@pytest.fixture
def source(vendor, clock, monkeypatch):
    monkeypatch.setenv("FINGPT_FINNHUB_KEY", KEY)
    vendor.routes = {
        "/api/v1/company-news": news,
        "/api/v1/stock/profile2": lambda asked: Said(
            PROFILE if asked.query["symbol"] == "IVW" else {}
        ),
    }
    return open_live("finnhub", {"address": f"{vendor.url}/api/v1"}, clock)


def test_a_month_of_news_is_asked_for_week_by_week_and_has_each_day_once(source, vendor):
    answers = list(source.fetch(Kind.NEWS, "IVW", OCTOBER))
    records = [record for answer in answers for record in source.read(answer)]
    assert len(answers) == 5
    assert [asked.query["to"] for asked in vendor.asked][-2:] == ["2026-10-28", "2026-10-31"]
    assert sorted(record.event_time.day for record in records) == list(range(1, 32))
    assert records[0].payload == {
        "headline": "Works news of 2026-10-07",
        "summary": "Something happened.",
        "url": "https://news.example/1",
        "publisher": "Wire",
    }
    assert all(record.available_at == record.event_time for record in records)
    assert {record.sha256 for record in records} == {answer.sha256 for answer in answers}


def test_the_present_month_is_asked_for_until_today(source, vendor):
    list(source.fetch(Kind.NEWS, "IVW", NOVEMBER))
    assert vendor.asked[-1].query == {"symbol": "IVW", "from": "2026-11-15", "to": "2026-11-20"}


def test_no_news_of_a_known_symbol_is_an_answer_and_of_an_unknown_one_a_failure(source, vendor):
    vendor.routes["/api/v1/company-news"] = Said([])
    assert len(list(source.fetch(Kind.NEWS, "IVW", OCTOBER))) == 5
    with pytest.raises(
        MissingInputError, match=r"does not know the symbol GONE.*renamed, delisted"
    ):
        list(source.fetch(Kind.NEWS, "GONE", OCTOBER))


def test_news_beyond_the_plan_are_a_failure_and_no_empty_list(source):
    with pytest.raises(DataError, match=r"older than 1 year.*set years_back"):
        list(source.fetch(Kind.NEWS, "IVW", Month(2025, 10)))
    assert source.capabilities().earliest == date(2025, 11, 1)


def test_a_profile_is_of_today_and_has_no_figure_that_changes(source, clock):
    (answer,) = source.fetch(Kind.PROFILE, "IVW", NOVEMBER)
    (record,) = source.read(answer)
    assert record.payload == {
        "name": "Invented Works Inc",
        "asset": "stock",
        "exchange": "NEW YORK STOCK EXCHANGE, INC.",
        "industry": "Machinery",
        "country": "US",
    }
    assert record.available_at == clock.now()
    assert list(source.fetch(Kind.PROFILE, "IVW", OCTOBER)) == []


def test_a_renamed_symbol_is_named_with_the_new_one(source, vendor):
    vendor.routes["/api/v1/stock/profile2"] = Said(PROFILE)
    with pytest.raises(
        DataError, match="answers for IVW when it is asked for OLD, so the symbol was renamed"
    ):
        list(source.fetch(Kind.PROFILE, "OLD", NOVEMBER))


def test_a_revoked_key_is_named_and_its_plan_too(source, vendor, monkeypatch):
    vendor.faults = [Said({"error": "You don't have access to this resource."}, 403)]
    with pytest.raises(
        PermissionDeniedError, match=r"refuses the key \(403\).*Your plan may also lack"
    ):
        list(source.fetch(Kind.NEWS, "IVW", OCTOBER))


def test_a_full_minute_is_waited_out_until_the_reset_that_it_names(source, vendor, clock):
    reset = {"X-Ratelimit-Reset": str(int(clock.now().timestamp()) + 40)}
    said = {"error": "API limit reached. Please try again later. Remaining Limit: 0"}
    vendor.faults = [Said(said, 429, header=reset)]
    assert len(list(source.fetch(Kind.NEWS, "IVW", OCTOBER))) == 5
    assert max(clock.slept) > 30


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "none"}, "is not as its documentation says"),
        ([{"headline": "x", "datetime": 0}], r"0\.datetime"),
        ([{"datetime": seconds(date(2026, 10, 5))}], r"0\.headline: field required"),
        ([{"headline": "x", "datetime": seconds(date(2026, 8, 5))}], "holds an item of 2026-08-05"),
        ("[1, 2", "is not JSON"),
    ],
)
def test_what_is_not_as_documented_is_never_kept(source, vendor, body, words):
    vendor.faults = [Said(body)]
    with pytest.raises(DataError, match=words):
        list(source.fetch(Kind.NEWS, "IVW", OCTOBER))
