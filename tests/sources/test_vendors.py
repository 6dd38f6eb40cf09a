"""Price files as vendors export them: each is refused by a sentence that, followed to the letter, makes it readable."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas
import pytest

from fingpt.errors import DataError
from fingpt.sources.files import open_files
from fingpt.sources.records import Kind

Write = Callable[..., Path]

YAHOO = """Date,Open,High,Low,Close,Adj Close,Volume
2025-01-02,248.929993,249.100006,241.820007,243.850006,242.987427,55740700
2025-01-03,243.360001,244.179993,241.889999,243.360001,242.499161,40244100
"""
YAHOO_PAGE = """Date\tOpen\tHigh\tLow\tClose\tAdj Close**\tVolume
Jan 3, 2025\t243.36\t244.18\t241.89\t243.36\t242.50\t40,244,100
"""
STOOQ = """Date,Open,High,Low,Close,Volume
2025-01-02,248.93,249.1,241.82,243.85,55740731
"""
STOOQ_BULK = """<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
AAPL.US,D,20250102,000000,248.93,249.1,241.82,243.85,55740731,0
"""
TIINGO = """date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor
2025-01-02,243.85,249.1,241.8201,248.93,55740731,243.58,248.83,241.56,248.66,55740731,0.0,1.0
"""
NASDAQ = """Date,Close/Last,Volume,Open,High,Low
01/03/2025,$243.36,40244110,$243.36,$244.18,$241.89
01/02/2025,$243.85,55740730,$248.93,$249.10,$241.82
"""
INVESTING = """\ufeff"Date","Price","Open","High","Low","Vol.","Change %"
"01/02/2025","1,243.85","1,248.93","1,249.10","1,241.82","55.74M","-2.62%"
"""
EXCEL = """\ufeffDatum;Eröffnung;Hoch;Tief;Schluss;Volumen
02.01.2025;1.248,93;1.249,10;1.241,82;1.243,85;55.740.731
"""
ADJUSTED = """Date,Adj Close
2025-01-02,242.987427
"""
BLOOMBERG = """Security,Dates,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME
AAPL,2025-01-02,248.93,249.1,241.82,243.85,55740731
"""
FRENCH = """symbole,Date,Ouverture,Plus haut,Plus bas,Clôture,Volume
AAPL,2025-01-02,248.93,249.1,241.82,243.85,55740731
"""
YFINANCE_DOWNLOAD = """Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume
Ticker,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT,AAPL,MSFT
Date,,,,,,,,,,
2025-01-02,243.85,1.0,249.1,1.0,241.82,1.0,248.93,1.0,55740731,1
"""


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_files(str(folder))
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "lacking", "told"),
    [
        (YAHOO, "'symbol'", "Add a column symbol"),
        (YAHOO, "'symbol'", "an export of Yahoo: its prices are adjusted for later splits"),
        (YAHOO_PAGE, "'symbol'", "an export of Yahoo"),
        (STOOQ, "'symbol'", "Add a column symbol that has the ticker in every line."),
        (
            STOOQ_BULK,
            "'symbol', 'date', 'open', 'high', 'low' or 'close'",
            (
                "'<TICKER>' is called symbol here, '<DATE>' is called date here, '<OPEN>' is called open here, "
                "'<HIGH>' is called high here, '<LOW>' is called low here, '<CLOSE>' is called close here and '<VOL>' "
                "is called volume here: rename them. This looks like an export of Stooq: write its days (20250102)"
            ),
        ),
        (TIINGO, "'symbol'", "an export of Tiingo: its close is the traded one"),
        (
            NASDAQ,
            "'symbol' or 'close'",
            (
                "'Close/Last' is called close here: rename it. Add a column symbol that has the ticker in every line. "
                "This looks like an export of Nasdaq: write its days (month/day/year) as YYYY-MM-DD and its prices "
                "without $"
            ),
        ),
        (
            INVESTING,
            "'symbol' or 'close'",
            "'Price' is called close here and 'Vol.' is called volume here: rename them.",
        ),
        (
            EXCEL,
            "'symbol', 'date', 'open', 'high', 'low' or 'close'",
            (
                "'Datum' is called date here, 'Eröffnung' is called open here, 'Hoch' is called high here, 'Tief' is "
                "called low here, 'Schluss' is called close here and 'Volumen' is called volume here: rename them."
            ),
        ),
        (ADJUSTED, "'symbol', 'open', 'high', 'low' or 'close'", "'Adj Close' is no close: it is"),
    ],
)
def test_a_refusal_names_their_column_beside_ours(
    write: Write, text: str, lacking: str, told: str
) -> None:
    said = refusal(write(prices_csv=text))
    assert said.startswith(f"prices.csv has no column {lacking} (columns seen: ")
    assert told in said
    assert "symbol, date, open, high, low, close, and if you have them volume, currency" in said


def test_an_adjusted_close_is_never_said_to_be_the_close(write: Write) -> None:
    for name in ("Adj Close", "adjClose", "Adjusted Close", "adj_close", "Adj. Close", "close_adj"):
        text = f"symbol,date,open,high,low,{name}\nAAPL,2025-01-02,1,1,1,1\n"
        said = refusal(write(prices_csv=text))
        assert f"'{name}' is no close" in said
        assert "rename" not in said


def renamed(text: str, said: str) -> str:
    """The file with the columns that a refusal names renamed, as it says, and nothing else."""
    head, _, rows = text.partition("\n")
    for theirs, ours in re.findall(r"'([^']+)' is called (\w+) here", said):
        head = head.replace(theirs, ours)
    return f"{head}\n{rows}"


@pytest.mark.parametrize("text", [YAHOO, STOOQ, STOOQ_BULK, TIINGO, NASDAQ, INVESTING, EXCEL])
def test_what_is_told_makes_the_file_readable(write: Write, text: str) -> None:
    text = renamed(text, refusal(write(prices_csv=text)))
    delimiter = ";" if ";" in text else ","
    if "Add a column symbol" in refusal(write(prices_csv=text)):
        head, *rows = text.lstrip("\ufeff").splitlines()
        text = "\n".join([f"symbol{delimiter}{head}", *(f"AAPL{delimiter}{row}" for row in rows)])
    text = text.replace("$", "").replace("AAPL.US", "AAPL").replace("20250102", "2025-01-02")
    text = re.sub(r"(\d\d)/(\d\d)/(\d{4})", r"\3-\1-\2", text)
    text = re.sub(r"(\d\d)\.(\d\d)\.(\d{4})", r"\3-\2-\1", text).replace("55.74M", "55740000")
    german = delimiter == ";"
    text = text.replace(".", "").replace(",", ".") if german else text.replace('"1,2', '"12')
    first, *_ = open_files(str(write(prices_csv=text))).records(
        Kind.PRICE, "AAPL", before=datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert first.event_time == datetime(2025, 1, 2, 21, tzinfo=UTC)
    assert first.payload["close"] in (243.85, 243.850006, 1243.85)
    assert str(first.payload["volume"]).startswith("557")


@pytest.mark.parametrize(
    ("cell", "column", "expected"),
    [
        ("01/03/2025", "date", "nobody can tell the day from the month"),
        ("03.01.2025", "date", "nobody can tell the day from the month"),
        ("$101.00", "high", "no thousands separator, currency or letter for millions"),
        ("101.00 €", "high", "a plain number"),
        ('"1,101.00"', "high", "no thousands separator"),
        ("40.2M", "volume", "letter for millions, such as 1234.5"),
    ],
)
def test_a_cell_in_a_vendor_s_form_is_never_guessed(
    write: Write, cell: str, column: str, expected: str
) -> None:
    head, row = "symbol,date,open,high,low,close,volume", "AAPL,2025-01-03,100,101,99,100.5,1000"
    cells = row.split(",")
    cells[head.split(",").index(column)] = cell
    said = refusal(write(prices_csv=f"{head}\n{','.join(cells)}\n"))
    assert said.startswith(f"prices.csv, line 2, column '{column}': found '")
    assert expected in said


def test_a_decimal_comma_between_commas_is_told(write: Write) -> None:
    text = "symbol,date,open,high,low,close\nAAPL,2025-01-03,100,5,101,99,100,5\n"
    said = refusal(write(prices_csv=text))
    assert "found 8 fields, expected 6, as in the header (numbers have a decimal point)" in said


def test_a_close_of_yahoo_s_is_taken_with_a_warning_and_tiingo_s_without(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    def with_symbol(text: str) -> str:
        head, *rows = text.splitlines()
        return "\n".join([f"symbol,{head}", *(f"AAPL,{row}" for row in rows)])

    assert open_files(str(write(prices_csv=with_symbol(TIINGO)))).symbols() == ("AAPL",)
    assert caplog.records == []
    assert open_files(str(write(prices_csv=with_symbol(YAHOO)))).symbols() == ("AAPL",)
    (told,) = [record.message for record in caplog.records]
    assert told.startswith("prices.csv has 'Adj Close' beside its close, as exports of Yahoo do")


@pytest.mark.parametrize("text", [BLOOMBERG, FRENCH])
def test_renaming_what_is_told_is_enough_where_a_symbol_is_there(write: Write, text: str) -> None:
    text = renamed(text, refusal(write(prices_csv=text)))
    assert open_files(str(write(prices_csv=text))).symbols() == ("AAPL",)


def test_a_header_of_several_lines_is_told_and_the_command_for_it_works(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(prices_csv=YFINANCE_DOWNLOAD)
    said = refusal(folder)
    assert "a header of several lines (Price, Ticker, Date)" in said
    assert "rename" not in said.replace("rename_axis", "")
    (command,) = re.findall(r"in pandas: (.+?to_csv\('prices.csv'\))", said)
    monkeypatch.chdir(folder)
    eval(command, {"pd": pandas})
    assert open_files(str(folder)).symbols() == ("AAPL", "MSFT")


@pytest.mark.parametrize("head", ["Date,AAPL,MSFT", "date,BRK.B", ",AAPL,^GSPC,7203.T"])
def test_a_column_for_each_symbol_is_told_to_be_rows(write: Write, head: str) -> None:
    said = refusal(write(prices_csv=f"{head}\n2025-01-02{',1' * head.count(',')}\n"))
    assert f"one column for each symbol ({head.partition(',')[2].replace(',', ', ')})" in said
    assert "one row per symbol and day is expected" in said


def test_news_of_finnhub_name_their_columns(write: Write) -> None:
    text = "category,datetime,headline,id,image,related,source,summary,url\n"
    said = refusal(write(news_csv=f"{text}x,1735830000,Up,1,,AAPL,Reuters,,\n"))
    assert "'related' is called symbol here, 'datetime' is called published_at here" in said
    assert "'source' is called publisher here" in said
    assert "an export of Finnhub: write its seconds since 1970 as moments" in said


def test_remedies_of_adjusted_prices_are_whole(write: Write) -> None:
    for text in (YAHOO, NASDAQ, INVESTING):
        said = refusal(write(prices_csv=text))
        assert "multiply those before a split by its ratio, divide their volumes by it" in said
        assert "write the split into actions.csv" in said
