"""Any dated number of a symbol, from JSON or CSV, by settings alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fingpt.errors import ConfigError, DataError
from fingpt.sources.live.catalogue import open_live
from fingpt.sources.month import Month
from fingpt.sources.records import Kind
from tests.sources.live.conftest import KEY
from tests.sources.live.vendor import Said

NOVEMBER = Month(2026, 11)
JSON_SETTINGS = {
    "signal": "sentiment",
    "path": "/v1/{symbol}/scores",
    "parameters": {"from": "{from}", "until": "{to}"},
    "rows": "data.items",
    "day": "on",
    "value": "score",
    "terms": "our contract of 2026-01-01",
}


def records(source, symbol="BRK.B"):
    return [
        each
        for answer in source.fetch(Kind.SIGNAL, symbol, NOVEMBER)
        for each in source.read(answer)
    ]


def test_json_rows_are_found_by_their_path_and_a_day_counts_from_the_next_opening(vendor, clock):
    rows = [
        {"on": "2026-11-06", "score": 0.25},
        {"on": "2026-11-25", "score": "-1"},
        {"on": "2026-10-30", "score": 1},
    ]
    vendor.routes["/v1/BRK.B/scores"] = Said({"data": {"items": rows}})
    friday, eve = records(open_live("signals", {**JSON_SETTINGS, "address": vendor.url}, clock))
    assert vendor.asked[0].query == {"from": "2026-11-01", "until": "2026-11-30"}
    assert friday.payload == {"name": "sentiment", "value": 0.25}
    assert friday.event_time == datetime(2026, 11, 6, tzinfo=UTC)
    assert friday.available_at == datetime(2026, 11, 9, 14, 30, tzinfo=UTC), "Monday's opening"
    assert eve.available_at == datetime(2026, 11, 27, 14, 30, tzinfo=UTC), "after Thanksgiving"


def test_csv_with_times_of_publication_and_a_key(vendor, clock, monkeypatch):
    monkeypatch.setenv("FINGPT_SIGNALS_KEY", KEY)
    table = "on,score,out\r\n2026-11-05T16:00:00-05:00,7,1794002400\r\n"
    vendor.routes["/v1/BRK.B/scores"] = Said("\ufeff" + table, kind="text/csv")
    more = {
        "format": "csv",
        "available": "out",
        "lag_hours": 2,
        "key_header": "X-Api-Key",
        "key_prefix": "Key ",
    }
    (only,) = records(open_live("signals", {**JSON_SETTINGS, "address": vendor.url, **more}, clock))
    assert vendor.asked[0].headers["x-api-key"] == f"Key {KEY}"
    assert only.event_time == datetime(2026, 11, 5, 21, 0, tzinfo=UTC)
    assert only.available_at == datetime.fromtimestamp(1794002400 + 7200, UTC)


def test_a_symbol_cannot_leave_its_place_in_the_path(vendor, clock):
    source = open_live("signals", {**JSON_SETTINGS, "address": vendor.url}, clock)
    vendor.routes["/v1/..%2Fadmin%3Fx/scores"] = Said({"data": {"items": []}})
    assert records(source, "../admin?x") == []


ROW = {"on": "2026-11-06", "score": 1}
FAULTS = {
    "no list": ({"data": ROW}, "has no list of rows at 'data.items'"),
    "rows are no objects": ({"data": {"items": [1]}}, "has no list of rows"),
    "no such day": (
        {"data": {"items": [{"score": 1}]}},
        "in row 1 nothing usable as 'on', only score",
    ),
    "no such value": (
        {"data": {"items": [ROW, {"on": "2026-11-06"}]}},
        "in row 2 nothing usable as 'score'",
    ),
    "a word": (
        {"data": {"items": [{**ROW, "score": "high"}]}},
        "'high' as 'score', where a number",
    ),
    "not finite": (
        {"data": {"items": [{**ROW, "score": "nan"}]}},
        "'nan' as 'score', where a number",
    ),
    "no offset": (
        {"data": {"items": [{**ROW, "on": "2026-11-06T10:00:00"}]}},
        "a time with its offset",
    ),
    "no JSON": ("[", r"is no JSON \(is not JSON\)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_names_the_row_and_the_field(vendor, clock, fault):
    body, words = FAULTS[fault]
    vendor.routes["/v1/BRK.B/scores"] = Said(body)
    with pytest.raises(DataError, match=words):
        records(open_live("signals", {**JSON_SETTINGS, "address": vendor.url}, clock))


def test_a_number_that_is_published_before_its_own_day_is_refused(vendor, clock):
    rows = [{**ROW, "out": "2026-11-02"}]
    vendor.routes["/v1/BRK.B/scores"] = Said({"data": {"items": rows}})
    with pytest.raises(DataError, match="a publication before its own day"):
        records(
            open_live(
                "signals", {**JSON_SETTINGS, "address": vendor.url, "available": "out"}, clock
            )
        )


def test_a_signal_without_terms_or_key_is_refused(vendor, clock):
    settings = {**JSON_SETTINGS, "address": vendor.url}
    with pytest.raises(ConfigError, match=r"\(terms: field required\); it needs signal, address"):
        open_live("signals", {name: value for name, value in settings.items() if name != "terms"})
    with pytest.raises(ConfigError, match="needs a key: set FINGPT_SIGNALS_KEY"):
        records(open_live("signals", {**settings, "key_header": "X-Api-Key"}, clock))
