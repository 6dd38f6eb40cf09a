"""A price file with dividends and splits of its own is taken only where actions tells them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError
from fingpt.sources.files import open_files

Write = Callable[..., Path]

YFINANCE = """Date,symbol,Open,High,Low,Close,Volume,Dividends,Stock Splits
2025-01-02 00:00:00-05:00,AAPL,100,101,99,100.5,1000,0.0,0.0
2025-01-03 00:00:00-05:00,AAPL,100.5,103,100,102,1200,0.25,0.0
2025-01-06 00:00:00-05:00,AAPL,51,51.5,50,50.5,900,0.0,2.0
"""
TIINGO = """symbol,date,close,high,low,open,volume,adjClose,divCash,splitFactor
AAPL,2025-01-02,100.5,101,99,100,1000,100,0.0,1.0
AAPL,2025-01-03,102,103,100,100.5,1000,100,{cash},{factor}
"""


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_files(str(folder))
    return str(caught.value)


def test_what_yfinance_tells_beside_its_closes_has_to_stand_in_actions(write: Write) -> None:
    said = refusal(write(prices_csv=YFINANCE))
    assert said.startswith(
        "prices.csv, line 3, column 'dividends': found '0.25', which is a dividend"
    )
    assert "adjusted for dividends too: export with auto_adjust=False" in said
    (lines,) = re.findall(r"the lines ((?:\S+,\S+ ?)+?)\. ", said)
    assert lines == "AAPL,2025-01-03,dividend,0.25 AAPL,2025-01-06,split,2"
    (header,) = re.findall(r"header (\S+),", said)
    actions = "\n".join([header, *lines.split()]) + "\n"
    folder = write(prices_csv=YFINANCE, actions_csv=actions)
    assert open_files(str(folder)).symbols() == ("AAPL",)


@pytest.mark.parametrize(
    ("cash", "factor", "line"),
    [
        ("0.24", "1.0", "AAPL,2025-01-03,dividend,0.24"),
        ("0", "4.0", "AAPL,2025-01-03,split,4"),
        ("", "4:1", "AAPL,2025-01-03,split,4"),
    ],
)
def test_a_column_that_holds_an_action_is_no_silent_one(
    write: Write, cash: str, factor: str, line: str
) -> None:
    said = refusal(write(prices_csv=TIINGO.format(cash=cash, factor=factor)))
    assert f"the line {line}." in said
    assert "yfinance" not in said


@pytest.mark.parametrize(
    ("cash", "factor"), [("0", "1"), ("0.0", "0.0"), ("", ""), ("N/A", "1:1"), ("NaN", "1.0")]
)
def test_columns_without_any_action_are_fine(write: Write, cash: str, factor: str) -> None:
    folder = write(prices_csv=TIINGO.format(cash=cash, factor=factor))
    assert open_files(str(folder)).symbols() == ("AAPL",)


def test_a_cell_that_is_no_number_is_named(write: Write) -> None:
    said = refusal(write(prices_csv=TIINGO.format(cash="yes", factor="1")))
    assert said.startswith("prices.csv, line 3, column 'divcash': found 'yes', expected a number")


def test_an_action_of_another_day_or_kind_does_not_count(write: Write) -> None:
    text = TIINGO.format(cash="0.24", factor="1")
    for line in ("AAPL,2025-01-02,dividend,0.24", "AAPL,2025-01-03,split,1.01"):
        folder = write(prices_csv=text, actions_csv=f"symbol,date,type,value\n{line}\n")
        assert "the line AAPL,2025-01-03,dividend,0.24." in refusal(folder)


def test_actions_in_json_lines_and_parquet_are_seen_too(write: Write) -> None:
    row = {"symbol": "AAPL", "date": "2025-01-03", "open": 100, "high": 103, "low": 99}
    folder = write(prices_csv="")
    (folder / "prices.csv").unlink()
    (folder / "prices.jsonl").write_text(
        f'{{"Dividends":0.5,"close":102,{str(row)[1:]}'.replace("'", '"') + "\n"
    )
    assert "the line AAPL,2025-01-03,dividend,0.5." in refusal(folder)
    (folder / "prices.jsonl").unlink()
    table = pa.Table.from_pylist([row | {"close": 102.0, "Stock Splits": 2.0, "Dividends": 0.0}])
    pq.write_table(table, folder / "prices.parquet")
    assert refusal(folder).startswith("prices.parquet, row 1, column 'stock splits': found 2.0")
