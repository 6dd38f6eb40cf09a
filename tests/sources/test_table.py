from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError
from fingpt.sources import table
from fingpt.sources.files import open_files
from fingpt.sources.records import Kind

Write = Callable[..., Path]
LATER = datetime(2026, 1, 1, tzinfo=UTC)


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_files(str(folder))
    return str(caught.value)


def prices(folder: Path) -> list[object]:
    found = open_files(str(folder)).records(Kind.PRICE, "AAPL", before=LATER)
    return [record.payload for record in found]


def test_a_text_that_is_too_long_is_told_how_long_it_may_be(write: Write) -> None:
    head, long = "symbol,published_at,headline\n", "long " * 2_000_000
    news = f'{head}AAPL,2025-01-02T15:00:00Z,"{long}"\n'
    said = refusal(write(news_csv=news))
    assert said.startswith("news.csv, line 2, column 'headline': found 'long long")
    assert re.search("long ?(lo|lon)?…', expected a text", said.replace("long …", "long…"))
    assert said.endswith("expected a text of at most 20,000 characters; correct it.")
    assert "is not readable CSV" in refusal(write(news_csv=news.replace('"\n', "\n")))


def test_no_field_is_read_without_end(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    before = csv.field_size_limit(1000)
    monkeypatch.setattr(table, "_FIELD_CHARACTERS", 2000)
    text = f"symbol,published_at,headline\nAAPL,2025-01-02T15:00:00Z,{'x' * 3000}\n"
    try:
        assert "line 2: a field is longer than 2,000 characters; shorten it" in refusal(
            write(news_csv=text)
        )
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_columns_are_known_whatever_their_capitals_and_blanks(write: Write, kind: str) -> None:
    folder = write()
    expected = prices(folder)
    head, *lines = (folder / "prices.csv").read_text().splitlines()
    (folder / "prices.csv").unlink()
    names = [f"{name.title()} " for name in head.split(",")]
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), folder / "prices.parquet")
    else:
        text = [json.dumps(row) for row in rows] if kind == "jsonl" else [";".join(names)]
        text += [line.replace(",", ";") for line in lines] if kind == "csv" else []
        (folder / f"prices.{kind}").write_text("\n".join(text))
    assert prices(folder) == expected


@pytest.mark.parametrize("other", ["close", "Close", "CLOSE", " close "])
def test_a_column_that_stands_there_twice_is_refused_whatever_its_capitals(
    write: Write, other: str
) -> None:
    text = f"symbol,date,open,high,low,close,{other}\nAAPL,2025-01-02,1,1,1,1,2\n"
    assert "has column 'close' more than once" in refusal(write(prices_csv=text))
    folder = write()
    (folder / "prices.csv").unlink()
    row = f'{{"symbol":"AAPL","date":"2025-01-02","open":1,"high":1,"low":1,"close":1,"{other}":2}}'
    if other != "close":  # that one is no JSON object of ours at all
        (folder / "prices.jsonl").write_text(row)
        assert "has column 'close' more than once" in refusal(folder)
