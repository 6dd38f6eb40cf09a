"""EDGAR against a server that has its paths: figures by acceptance, current reports as news, names as they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fingpt.errors import ConfigError, DataError, MissingInputError, TransientError
from fingpt.sources.live.catalogue import open_live
from fingpt.sources.month import Month
from fingpt.sources.records import Kind
from tests.sources.live.vendor import Said

SETTINGS = {"contact": "someone@example.com"}
CIK = 1234567
MAY, JULY = Month(2026, 5), Month(2026, 7)
Q1, Q2, FY = "0001234567-26-000011", "0001234567-26-000022", "0001234567-25-000090"

# accession, filed, report date, accepted, form, items, XBRL, document
FILINGS = [
    (
        "0001234567-26-000023",
        "2026-07-31",
        "2026-07-30",
        "2026-07-30T20:31:00.000Z",
        "8-K",
        "2.02,9.01",
        1,
        "a.htm",
    ),
    (Q2, "2026-07-31", "2026-06-30", "2026-07-31T10:01:36.000Z", "10-Q", "", 1, "q2.htm"),
    ("0001234567-26-000020", "2026-07-15", "", "2026-07-15T18:00:00.000Z", "4", "", 0, "form4.xml"),
    (Q1, "2026-05-01", "2026-03-31", "2026-04-30T22:05:00.000Z", "10-Q", "", 1, "q1.htm"),
]
OLDER = [(FY, "2025-12-01", "2025-09-30", "2025-12-01T12:00:00.000Z", "10-K", "", 1, "fy.htm")]
FIELDS = "accessionNumber filingDate reportDate acceptanceDateTime form items isXBRL primaryDocument".split()


def columns(filings) -> dict:
    turned = zip(*filings, strict=True) if filings else [[] for _ in FIELDS]
    return {name: list(values) for name, values in zip(FIELDS, turned, strict=True)}


def company(filings=FILINGS) -> dict:
    older = {"name": f"CIK{CIK:010d}-submissions-001.json", "filingCount": 1}
    return {
        "cik": f"{CIK:010d}",
        "entityType": "operating",
        "sic": "3571",
        "sicDescription": "Electronic Computers",
        "name": "Invented Works Inc.",
        "tickers": ["IVW-B"],
        "exchanges": ["NYSE"],
        "formerNames": [
            {
                "name": "OLD WORKS CORP",
                "from": "2001-01-01T05:00:00.000Z",
                "to": "2026-06-15T04:00:00.000Z",
            }
        ],
        "addresses": {"business": {"stateOrCountry": "CA", "stateOrCountryDescription": "CA"}},
        "filings": {
            "recent": columns(filings),
            "files": [{**older, "filingFrom": "2001-01-01", "filingTo": "2025-12-31"}],
        },
    }


def fact(value, accession, end, start=None, form="10-Q") -> dict:
    span = {"start": start} if start else {}
    return {
        **span,
        "end": end,
        "val": value,
        "accn": accession,
        "fy": 2026,
        "fp": "Q2",
        "form": form,
        "filed": end,
    }


def facts() -> dict:
    revenue = [
        fact(
            800, Q2, "2025-06-30", "2025-04-01"
        ),  # the year before comes first, as in the real document
        fact(900, Q1, "2026-03-31", "2026-01-01"),
        fact(1000, Q2, "2026-06-30", "2026-04-01"),
        fact(1900, Q2, "2026-06-30", "2026-01-01"),
        fact(3500, FY, "2025-09-30", "2024-10-01", "10-K"),
    ]
    gaap = {
        "RevenueFromContractWithCustomerExcludingAssessedTax": {"units": {"USD": revenue}},
        "NetIncomeLoss": {"units": {"USD": [fact(-50, Q2, "2026-06-30", "2026-04-01")]}},
        "EarningsPerShareDiluted": {
            "units": {"USD/shares": [fact(-0.5, Q2, "2026-06-30", "2026-04-01")]}
        },
        "Assets": {"units": {"USD": [fact(6000, Q2, "2025-12-31"), fact(7000, Q2, "2026-06-30")]}},
        "NetCashProvidedByUsedInOperatingActivities": {
            "units": {"USD": [fact(99, Q2, "2026-06-30", "2026-01-01")]}
        },
    }
    return {"cik": CIK, "entityName": "Invented Works Inc.", "facts": {"us-gaap": gaap}}


@pytest.fixture
def source(vendor, clock):
    tickers = {"0": {"cik_str": CIK, "ticker": "IVW-B", "title": "Invented Works Inc."}}
    vendor.routes = {
        "/files/company_tickers.json": Said(tickers),
        f"/submissions/CIK{CIK:010d}.json": Said(company()),
        f"/submissions/CIK{CIK:010d}-submissions-001.json": Said(columns(OLDER)),
        f"/api/xbrl/companyfacts/CIK{CIK:010d}.json": Said(facts()),
    }
    addresses = {"address": vendor.url, "data_address": vendor.url}
    return open_live("edgar", {**SETTINGS, **addresses}, clock)


def records(source, kind, month, symbol="IVW.B"):
    return [each for answer in source.fetch(kind, symbol, month) for each in source.read(answer)]


def test_figures_are_those_of_the_quarter_as_the_report_stated_them(source):
    (report,) = records(source, Kind.FUNDAMENTALS, JULY)
    assert report.payload == {
        "period_end": "2026-06-30",
        "form": "10-Q",
        "metrics": {
            "revenue": 1000.0,
            "net_income": -50.0,
            "earnings_per_share_diluted": -0.5,
            "total_assets": 7000.0,
        },
    }
    assert report.event_time == datetime(2026, 6, 30, tzinfo=UTC)


def test_an_ambiguous_time_of_acceptance_counts_as_the_later_of_both(source):
    (report,) = records(source, Kind.FUNDAMENTALS, JULY)
    assert report.available_at == datetime(2026, 7, 31, 14, 1, 36, tzinfo=UTC), "10:01 in New York"
    (before,) = records(source, Kind.FUNDAMENTALS, MAY)
    assert before.payload["metrics"] == {"revenue": 900.0}
    assert before.available_at == datetime(2026, 5, 1, 2, 5, tzinfo=UTC), (
        "22:05 in New York is the next month"
    )
    assert records(source, Kind.FUNDAMENTALS, Month(2026, 4)) == []


def test_what_was_seen_before_the_later_reading_was_public_when_it_was_seen(source, vendor, clock):
    filing = (
        "0001234567-26-000099",
        "2026-11-20",
        "2026-11-20",
        "2026-11-20T21:30:00.000Z",
        "8-K",
        "8.01",
        0,
        "x.htm",
    )
    vendor.routes[f"/submissions/CIK{CIK:010d}.json"] = Said(company([filing]))
    (news,) = records(source, Kind.NEWS, Month(2026, 11))
    assert news.available_at == clock.now()


def test_older_filings_come_from_further_files_and_years_for_annual_reports(source, vendor):
    (report,) = records(source, Kind.FUNDAMENTALS, Month(2025, 12))
    assert report.payload == {
        "period_end": "2025-09-30",
        "form": "10-K",
        "metrics": {"revenue": 3500.0},
    }
    (answer,) = source.fetch(Kind.FUNDAMENTALS, "IVW.B", Month(2025, 12))
    assert answer.request.count(vendor.url) == 3
    assert answer.body.split(b"\x1e")[3].strip() == Said(facts()).data


def test_a_month_without_reports_asks_for_no_figures_and_is_no_answer(source, vendor):
    assert list(source.fetch(Kind.FUNDAMENTALS, "IVW.B", Month(2026, 6))) == []
    assert not [asked for asked in vendor.asked if "companyfacts" in asked.path]


def test_current_reports_are_news_with_the_titles_of_their_items(source):
    (news,) = records(source, Kind.NEWS, JULY)
    assert news.payload == {
        "headline": "Invented Works Inc. files 8-K: Results of Operations and Financial Condition",
        "summary": "",
        "url": "https://www.sec.gov/Archives/edgar/data/1234567/000123456726000023/a.htm",
        "publisher": "SEC EDGAR",
    }
    assert news.available_at == datetime(2026, 7, 31, 0, 31, tzinfo=UTC)


def test_a_profile_has_the_name_of_its_month(source):
    (before,) = records(source, Kind.PROFILE, MAY)
    (after,) = records(source, Kind.PROFILE, JULY)
    assert (before.payload["name"], after.payload["name"]) == (
        "OLD WORKS CORP",
        "Invented Works Inc.",
    )
    assert after.payload["asset"] == "stock"
    assert (after.payload["industry"], after.payload["country"]) == ("Electronic Computers", "US")
    assert after.available_at == datetime(2026, 7, 1, tzinfo=UTC)
    assert records(source, Kind.PROFILE, Month(2026, 12)) == [], "nobody knows a later month"


def test_each_document_is_fetched_once_with_the_contact(source, vendor):
    for month in (Month(2025, 12), *(Month(2026, number) for number in range(1, 12))):
        records(source, Kind.FUNDAMENTALS, month)
    paths = [asked.path for asked in vendor.asked]
    assert len(paths) == len(set(paths)) == 4
    assert {asked.headers["user-agent"] for asked in vendor.asked} == {
        "fingpt-jobs someone@example.com"
    }


def test_a_report_whose_figures_are_not_there_yet_is_named(source, vendor):
    document = facts()
    document["facts"]["us-gaap"] = {"Assets": {"units": {"USD": [fact(1, Q1, "2026-03-31")]}}}
    vendor.routes[f"/api/xbrl/companyfacts/CIK{CIK:010d}.json"] = Said(document)
    with pytest.raises(
        DataError, match=r"no figures yet of the 10-Q that IVW.B filed on 2026-07-31"
    ):
        records(source, Kind.FUNDAMENTALS, JULY)


def test_a_delisted_symbol_needs_its_cik(source, vendor, clock):
    with pytest.raises(
        MissingInputError, match=r"no company under the ticker GONE today.*set ciks: \{GONE:"
    ):
        records(source, Kind.NEWS, JULY, "GONE")
    addresses = {"address": vendor.url, "data_address": vendor.url, "ciks": {"GONE": CIK}}
    assert (
        len(records(open_live("edgar", {**SETTINGS, **addresses}, clock), Kind.NEWS, JULY, "GONE"))
        == 1
    )


@pytest.mark.parametrize(
    "contact", [None, "", "someone", "some one@example.com", "a@b.c\nX-Evil: 1"]
)
def test_a_contact_is_required(contact):
    with pytest.raises(ConfigError, match=r"settings of the source edgar.*contact: a mail address"):
        open_live("edgar", {} if contact is None else {"contact": contact})


@pytest.mark.parametrize("status", [403, 429])
def test_a_block_for_too_many_requests_is_no_refused_right(source, vendor, status, clock):
    vendor.faults = [
        Said(
            "<html><title>SEC.gov | Request Rate Threshold Exceeded</title></html>",
            status,
            "text/html",
        )
    ]
    with pytest.raises(TransientError, match="blocks it for ten minutes"):
        records(source, Kind.NEWS, JULY)
    assert clock.slept == []


def test_an_undeclared_tool_is_told_to_set_its_contact(source, vendor):
    vendor.faults = [
        Said(
            "<html>Your Request Originates from an Undeclared Automated Tool</html>",
            403,
            "text/html",
        )
    ]
    with pytest.raises(DataError, match="set contact of edgar to a mail address"):
        records(source, Kind.NEWS, JULY)


BROKEN = {
    "other lengths": {**company(), "filings": {"recent": {**columns(FILINGS), "form": ["8-K"]}}},
    "no filings": {"cik": 1, "name": "x"},
    "a time that is none": company([(*FILINGS[0][:3], "yesterday", *FILINGS[0][4:])]),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_submissions_that_are_not_as_documented_are_refused(source, vendor, fault):
    vendor.routes[f"/submissions/CIK{CIK:010d}.json"] = Said(BROKEN[fault])
    words = {
        "other lengths": "columns of different lengths",
        "no filings": "filings: field required",
    }
    with pytest.raises(DataError, match=words.get(fault, "'yesterday' as a time of acceptance")):
        records(source, Kind.NEWS, JULY)


@pytest.mark.parametrize(
    "document", [{"facts": {}}, {"facts": {"us-gaap": {"Assets": {"units": 7}}}}, [1]]
)
def test_figures_that_edgartools_cannot_read_are_refused(source, vendor, document):
    vendor.routes[f"/api/xbrl/companyfacts/CIK{CIK:010d}.json"] = Said(document)
    with pytest.raises(DataError, match=r"no figures that edgartools can read|is no JSON object"):
        records(source, Kind.FUNDAMENTALS, JULY)
