"""BLS, Treasury and ALFRED against servers that speak as their documentation says: when is a figure known?"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import (
    ConfigError,
    DataError,
    PermissionDeniedError,
    TransientError,
)
from fingpt.sources.live.catalogue import open_live
from fingpt.sources.month import Month
from fingpt.sources.policy import Use
from fingpt.sources.records import Kind
from tests.sources.live.conftest import KEY
from tests.sources.live.vendor import HandClock, Said

SEPTEMBER, OCTOBER, NOVEMBER = (Month(2026, number) for number in (9, 10, 11))


def records(source, month):
    return [each for answer in source.fetch(Kind.MACRO, "", month) for each in source.read(answer)]


# The Bureau of Labor Statistics


def figures(asked) -> Said:
    """Both versions: months newest first, the annual average as M13, an absent figure as "-"."""
    wanted = asked.json
    most = 20 if "/v2/" in asked.path else 10
    assert int(wanted["endyear"]) - int(wanted["startyear"]) < most
    key = wanted.get("registrationkey")
    if "/v2/" in asked.path and key != KEY:
        message = f"The key:{key} provided by the User is invalid. Please provide a proper key"
        return Said(
            {
                "status": "REQUEST_NOT_PROCESSED",
                "responseTime": 0,
                "message": [message],
                "Results": {},
            }
        )
    rows = [
        {
            "year": "2026",
            "period": f"M{number:02d}",
            "periodName": "",
            "value": f"{300 + number}.5",
            "footnotes": [{}],
        }
        for number in range(10, 0, -1)
    ]
    rows += [
        {"year": "2025", "period": "M13", "value": "290.0"},
        {"year": "2025", "period": "M10", "value": "-"},
    ]
    series = [{"seriesID": name, "data": rows} for name in wanted["seriesid"]]
    results = {
        "status": "REQUEST_SUCCEEDED",
        "responseTime": 78,
        "message": [],
        "Results": {"series": series},
    }
    return Said(results, kind="application/json;charset=UTF-8")


@pytest.fixture
def bls(vendor, clock):
    vendor.routes = {f"/publicAPI/v{n}/timeseries/data/": figures for n in (1, 2)}
    return open_live("bls", {"address": vendor.url}, clock)


def test_a_figure_is_known_after_its_lag_or_when_it_was_seen(bls, clock):
    prices, jobs = records(bls, SEPTEMBER)
    assert (prices.payload["series"], prices.payload["value"]) == ("CUUR0000SA0", 309.5)
    assert prices.payload["period"] == "2026-09"
    assert prices.event_time.date() == date(2026, 9, 30)
    assert prices.available_at == datetime(2026, 11, 1, tzinfo=UTC)
    assert jobs.available_at == clock.now(), "52 days are not over, but the figure is there"
    later = records(
        open_live(
            "bls", {"address": bls._settings.address}, HandClock(clock.now() + timedelta(30))
        ),
        SEPTEMBER,
    )
    assert later[1].available_at == datetime(2026, 11, 22, tzinfo=UTC)


def test_a_series_that_is_revised_counts_from_its_retrieval(vendor, clock, bls):
    series = {"CES0000000001": {"unit": "thousands", "lag_days": None}}
    revised = open_live("bls", {"address": vendor.url, "series": series}, clock)
    assert [each.available_at for each in records(revised, Month(2026, 1))] == [clock.now()]


def test_averages_and_absent_figures_are_no_figures(bls):
    assert records(bls, Month(2025, 12)) == records(bls, Month(2025, 10)) == []


def test_ten_years_are_one_request(bls, vendor):
    for number in range(1, 11):
        records(bls, Month(2026, number))
    assert len(vendor.asked) == 1
    assert vendor.asked[0].json["startyear"] == "2020"


def test_a_key_means_the_second_version_and_a_wrong_one_is_named_without_being_shown(
    bls, vendor, monkeypatch
):
    monkeypatch.setenv("FINGPT_BLS_KEY", KEY)
    assert len(records(bls, SEPTEMBER)) == 2
    assert vendor.asked[-1].path == "/publicAPI/v2/timeseries/data/"
    monkeypatch.setenv("FINGPT_BLS_KEY", "another-key-9876543210")
    other = open_live("bls", {"address": vendor.url}, HandClock())
    with pytest.raises(
        PermissionDeniedError, match=r"The key:\*\*\* provided.*FINGPT_BLS_KEY"
    ) as caught:
        records(other, SEPTEMBER)
    assert "another-key" not in str(caught.value)


def test_a_used_up_day_is_no_answer(bls, vendor, clock):
    message = "Request could not be serviced, as the daily threshold for total number of requests has been reached."
    vendor.faults = [
        Said(
            {
                "status": "REQUEST_NOT_PROCESSED",
                "responseTime": 0,
                "message": [message],
                "Results": {},
            }
        )
    ]
    with pytest.raises(
        TransientError, match=r"takes no more requests today.*25 a day.*Tomorrow the same command"
    ):
        records(bls, SEPTEMBER)
    assert clock.slept == []


def test_a_series_that_does_not_exist_is_named(bls, vendor):
    empty = {
        "status": "REQUEST_SUCCEEDED",
        "message": ["Series does not exist for Series CUUR0000SA0"],
    }
    data = [{"seriesID": "CUUR0000SA0", "data": []}, {"seriesID": "LNU04000000", "data": []}]
    vendor.faults = [Said({**empty, "Results": {"series": data}})]
    with pytest.raises(DataError, match="no figure of CUUR0000SA0, LNU04000000"):
        records(bls, SEPTEMBER)


def test_a_refused_request_says_what_the_bureau_says(bls, vendor):
    vendor.faults = [
        Said({"status": "REQUEST_FAILED", "message": ["Your request is bad"], "Results": {}})
    ]
    with pytest.raises(DataError, match=r"does not take the request.*Your request is bad"):
        records(bls, SEPTEMBER)


# The Treasury

ENTRY = """<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml">
<m:properties xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
 xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices">
<d:Id m:type="Edm.Int32">1</d:Id><d:NEW_DATE m:type="Edm.DateTime">{day}T00:00:00</d:NEW_DATE>
<d:BC_1MONTH m:type="Edm.Double" m:null="true"/><d:BC_3MONTH m:type="Edm.Double">3.72</d:BC_3MONTH>
<d:BC_2YEAR m:type="Edm.Double">{two}</d:BC_2YEAR><d:BC_10YEAR m:type="Edm.Double">4.21</d:BC_10YEAR>
</m:properties></content></entry>"""


def feed(*days: object, two: object = "3.5") -> Said:
    """The service's feed; its root is no Atom feed but `pre`."""
    entries = "".join(ENTRY.format(day=day, two=two) for day in days)
    return Said(
        f'<?xml version="1.0" encoding="utf-8"?><pre>{entries}</pre>',
        kind="text/xml; charset=UTF-8",
    )


PATH = "/resource-center/data-chart-center/interest-rates/pages/xml"


@pytest.fixture
def treasury(vendor, clock):
    return open_live("treasury", {"address": vendor.url, "rates": ["BC_1MONTH", "BC_2YEAR"]}, clock)


def test_rates_are_known_at_six_in_new_york(treasury, vendor):
    vendor.routes[PATH] = feed("2026-11-20", "2026-10-30")
    vendor.routes[PATH] = feed("2026-11-20", "2026-11-19")
    found = records(treasury, NOVEMBER)
    assert [each.payload["period"] for each in found] == ["2026-11-19", "2026-11-20"], (
        "empty maturities are none"
    )
    assert found[0].payload == {
        "series": "BC_2YEAR",
        "value": 3.5,
        "unit": "percent",
        "period": "2026-11-19",
    }
    assert found[0].available_at == datetime(2026, 11, 19, 23, 0, tzinfo=UTC)
    assert vendor.asked[0].query == {
        "data": "daily_treasury_yield_curve",
        "field_tdr_date_value_month": "202611",
    }


def test_rates_that_stop_early_are_stale(treasury, vendor):
    vendor.routes[PATH] = feed("2026-10-01", "2026-10-26")
    with pytest.raises(
        DataError, match="last rates in 2026-10 are of 2026-10-26, 4 sessions before"
    ):
        records(treasury, OCTOBER)
    vendor.routes[PATH] = feed()
    with pytest.raises(DataError, match="are of no day, 22 sessions before"):
        records(treasury, OCTOBER)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (feed("2026-11-19", two="n/a"), "NEW_DATE or rates are not as documented"),
        (feed("2026-11-19", two="inf"), "NEW_DATE or rates are not as documented"),
        (feed("soon"), "NEW_DATE or rates are not as documented"),
        (feed("2026-09-18"), "or of another month"),
        (feed("2026-11-19", "2026-11-19"), "has a day twice"),
        (Said("<pre><entry>", kind="text/xml"), "is no XML of rates"),
        (
            Said('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', kind="text/xml"),
            "it declares a document type",
        ),
    ],
)
def test_a_feed_that_is_not_as_documented_is_never_kept(treasury, vendor, said, words):
    vendor.routes[PATH] = said
    with pytest.raises(DataError, match=words):
        records(treasury, NOVEMBER)


# ALFRED

VINTAGES = [
    # As one request for November answers them: each value once, with the days of the month on which it held.
    {
        "realtime_start": "2026-11-01",
        "realtime_end": "2026-11-05",
        "date": "2026-09-01",
        "value": "4.2",
    },
    {
        "realtime_start": "2026-11-06",
        "realtime_end": "2026-11-20",
        "date": "2026-09-01",
        "value": "4.3",
    },
    {
        "realtime_start": "2026-11-06",
        "realtime_end": "2026-11-20",
        "date": "2026-10-01",
        "value": "4.4",
    },
    {
        "realtime_start": "2026-11-06",
        "realtime_end": "2026-11-20",
        "date": "2026-11-01",
        "value": ".",
    },
]


def observations(asked) -> Said:
    if asked.query.get("api_key") != KEY:
        message = "Bad Request.  The value for variable api_key is not registered."
        return Said({"error_code": 400, "error_message": message}, 400)
    if asked.query["series_id"] != "UNRATE":
        return Said(
            {"error_code": 400, "error_message": "Bad Request.  The series does not exist."}, 400
        )
    offset, limit = int(asked.query["offset"]), 3
    page = {"count": len(VINTAGES), "offset": offset, "limit": limit}
    return Said({**page, "observations": VINTAGES[offset : offset + limit]})


@pytest.fixture
def alfred(vendor, clock, monkeypatch):
    monkeypatch.setenv("FINGPT_ALFRED_KEY", KEY)
    vendor.routes["/fred/series/observations"] = observations
    settings = {"address": vendor.url, "accept_terms": True, "series": {"UNRATE": "percent"}}
    return open_live("alfred", settings, clock)


def test_a_vintage_is_known_from_the_day_after_it_and_what_held_before_from_the_first(
    alfred, vendor
):
    found = records(alfred, NOVEMBER)
    assert [
        (each.payload["period"], each.payload["value"], str(each.available_at)) for each in found
    ] == [
        ("2026-09-01", 4.2, "2026-11-02 05:00:00+00:00"),
        ("2026-09-01", 4.3, "2026-11-07 05:00:00+00:00"),
        ("2026-10-01", 4.4, "2026-11-07 05:00:00+00:00"),
    ]
    assert [asked.query["offset"] for asked in vendor.asked] == ["0", "3"]
    assert vendor.asked[0].query["realtime_end"] == "2026-11-20"


def test_alfred_is_off_unless_its_terms_were_accepted_and_says_them(vendor, alfred, warnings):
    for settings in ({}, {"accept_terms": False}):
        with pytest.raises(
            ConfigError, match=r"accept_terms: true .*bar storing its data and training models"
        ):
            open_live("alfred", settings)
    records(alfred, NOVEMBER)
    ((name, fields),) = warnings
    assert (name, "terms" in fields) == ("source.terms", True)
    assert not alfred.policy.allows(Use.PERSISTENT_STORAGE)
    assert not alfred.policy.allows(Use.MODEL_PROCESSING)


def test_the_key_in_the_query_stays_out_of_answers_and_messages(alfred, vendor, monkeypatch):
    for answer in alfred.fetch(Kind.MACRO, "", NOVEMBER):
        assert KEY not in answer.request
    vendor.faults = [Said({"error_code": 400, "error_message": "api_key is not registered."}, 400)]
    with pytest.raises(PermissionDeniedError, match="FINGPT_ALFRED_KEY"):
        records(alfred, NOVEMBER)


def test_a_series_that_alfred_does_not_have_is_named(vendor, alfred, clock):
    other = open_live(
        "alfred", {"address": vendor.url, "accept_terms": True, "series": {"X": ""}}, clock
    )
    with pytest.raises(DataError, match=r"no such series.*correct the settings of alfred"):
        records(other, NOVEMBER)


def test_a_page_that_is_not_the_one_asked_for_is_refused(alfred, vendor):
    vendor.faults = [Said({"count": 9, "offset": 0, "limit": 3, "observations": []})]
    with pytest.raises(DataError, match="not the page that was asked for"):
        records(alfred, NOVEMBER)
