from __future__ import annotations

import gzip
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import ConfigError, DataError, FingptError, MissingInputError
from fingpt.sources.calendar import close_of, open_of
from fingpt.sources.files import open_files, read_folder
from fingpt.sources.folder import TEMPLATES, FolderSettings, look
from fingpt.sources.policy import Use
from fingpt.sources.records import Kind, Record
from fingpt.sources.schema import TABLES
from fingpt.sources.snapshot import Snapshot

Write = Callable[..., Path]
LATER = datetime(2026, 1, 1, tzinfo=UTC)
HEAD = "symbol,date,open,high,low,close,volume\n"
DAY = "AAPL,2025-01-02,100,101,99,100.5,1000\n"


def every(snapshot: Snapshot, kind: Kind, symbol: str = "AAPL") -> list[Record]:
    return snapshot.records(kind, symbol, before=LATER)


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        open_files(str(folder))
    return str(caught.value)


def test_the_templates_are_valid_input_with_a_row_in_every_table() -> None:
    snapshot = open_files(str(TEMPLATES))
    assert snapshot.symbols() == ("DEMO", "OTHR")
    assert snapshot.degraded == {}
    for table in TABLES.values():
        symbol = "" if table.kind is Kind.MACRO else "DEMO"
        assert every(snapshot, table.kind, symbol), table.name


def test_the_templates_settings_are_the_defaults() -> None:
    assert look(TEMPLATES).settings == FolderSettings()


def test_a_template_names_every_column_that_has_no_rule_of_its_own() -> None:
    for table in TABLES.values():
        header = (TEMPLATES / f"{table.name}.csv").read_text().splitlines()[0].split(",")
        known = [column.name for column in table.columns]
        assert header == [name for name in known if name not in ("available_at", "currency")]


def test_prices_are_known_at_the_close_of_their_session(write: Write) -> None:
    first, *_ = every(open_files(str(write())), Kind.PRICE)
    assert first.event_time == first.available_at == close_of(date(2025, 1, 2))
    assert first.payload == {
        "open": 100.0,
        "high": 101.0,
        "low": 99.0,
        "close": 100.5,
        "volume": 1000.0,
        "currency": "USD",
    }


def test_records_are_as_if_they_had_been_checked_one_by_one() -> None:
    snapshot = open_files(str(TEMPLATES))
    for kind in Kind:
        for record in every(snapshot, kind, "" if kind is Kind.MACRO else "DEMO"):
            assert Record.model_validate(record.model_dump()) == record
            assert Record.model_validate_json(record.model_dump_json()) == record
            assert record.event_time.tzinfo is record.available_at.tzinfo is UTC


def test_a_filing_is_known_from_its_acceptance_and_of_a_bare_date_from_the_next_opening(
    write: Write,
) -> None:
    head = "symbol,period_end,form,accepted_at,metric,value\n"
    rows = (
        "AAPL,2024-09-30,10-Q,2024-11-01T16:31:07-04:00,revenue,5\n"
        "AAPL,2024-09-30,10-Q,2024-11-01T16:31:07-04:00,eps,1.5\n"
        "AAPL,2024-06-30,10-Q,2024-08-02,revenue,4\n"
    )
    older, newer = every(open_files(str(write(fundamentals_csv=head + rows))), Kind.FUNDAMENTALS)
    assert newer.available_at == datetime(2024, 11, 1, 20, 31, 7, tzinfo=UTC)
    assert newer.payload["metrics"] == {"eps": 1.5, "revenue": 5.0}
    assert older.available_at == open_of(date(2024, 8, 5))
    assert older.event_time == datetime(2024, 6, 30, tzinfo=UTC)


def test_an_amended_figure_is_seen_only_once_it_was_filed(write: Write) -> None:
    text = (
        "symbol,period_end,form,accepted_at,metric,value\n"
        "AAPL,2024-09-30,10-Q,2024-11-01T20:00:00Z,revenue,5\n"
        "AAPL,2024-09-30,10-Q/A,2024-12-01T20:00:00Z,revenue,6\n"
    )
    snapshot = open_files(str(write(fundamentals_csv=text)))
    between = datetime(2024, 11, 15, tzinfo=UTC)
    (seen,) = snapshot.records(Kind.FUNDAMENTALS, "AAPL", before=between)
    assert seen.payload["metrics"] == {"revenue": 5.0}
    assert len(every(snapshot, Kind.FUNDAMENTALS)) == 2


def test_an_action_is_known_when_its_ex_date_opens(write: Write) -> None:
    text = "symbol,date,type,value\nAAPL,2025-01-03,dividend,0.25\n"
    (action,) = every(open_files(str(write(actions_csv=text))), Kind.ACTION)
    assert action.available_at == open_of(date(2025, 1, 3))
    assert action.payload == {"type": "dividend", "amount": 0.25}


def test_a_split_is_new_shares_per_old_one(write: Write) -> None:
    prices = HEAD + DAY + "AAPL,2025-01-03,25,26,24,25.5,4000\n"
    text = "symbol,date,type,value\nAAPL,2025-01-03,split,4\n"
    snapshot = open_files(str(write(prices_csv=prices, actions_csv=text)))
    (action,) = every(snapshot, Kind.ACTION)
    assert action.payload == {"type": "split", "ratio": 4.0}
    assert snapshot.degraded == {}


def test_late_news_is_known_when_it_came(write: Write) -> None:
    text = (
        "symbol,published_at,headline,available_at\n"
        "AAPL,2025-01-02T15:00:00Z,Late,2025-01-05T10:00:00Z\n"
    )
    snapshot = open_files(str(write(news_csv=text)))
    (late,) = every(snapshot, Kind.NEWS)
    assert late.available_at == datetime(2025, 1, 5, 10, tzinfo=UTC)
    assert snapshot.records(Kind.NEWS, "AAPL", before=close_of(date(2025, 1, 3))) == []


def test_news_that_comes_twice_counts_once_and_is_counted(write: Write) -> None:
    row = "AAPL,2025-01-02T15:00:00Z,The same\n"
    snapshot = open_files(str(write(news_csv=f"symbol,published_at,headline\n{row}{row}")))
    assert len(every(snapshot, Kind.NEWS)) == 1
    assert snapshot.dropped == {"news: the same headline at the same moment": 1}


def test_the_order_of_rows_means_nothing(write: Write) -> None:
    lines = (write() / "prices.csv").read_text().splitlines()
    before = [record.payload for record in every(open_files(str(write())), Kind.PRICE)]
    turned = "\n".join([lines[0], *reversed(lines[1:])])
    after = every(open_files(str(write(prices_csv=turned))), Kind.PRICE)
    assert [record.payload for record in after] == before


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv.gz", "parquet"])
def test_every_kind_of_file_says_the_same(write: Write, kind: str) -> None:
    folder = write()
    expected = [record.payload for record in every(open_files(str(folder)), Kind.PRICE)]
    text = (folder / "prices.csv").read_text()
    names, *rows = (line.split(",") for line in text.splitlines())
    typed = [
        {
            name: cell if name in ("symbol", "date") else float(cell)
            for name, cell in zip(names, row, strict=True)
        }
        for row in rows
    ]
    (folder / "prices.csv").unlink()
    path = folder / f"prices.{kind}"
    if kind == "parquet":
        days = pa.array([date.fromisoformat(str(row["date"])) for row in typed])
        table = pa.Table.from_pylist(typed)
        pq.write_table(table.set_column(1, "date", days), path)
    else:
        lines = text if kind == "csv.gz" else "".join(f"{json.dumps(row)}\n" for row in typed)
        packed = gzip.compress(lines.encode()) if kind.endswith(".gz") else lines.encode()
        path.write_bytes(packed)
    assert [record.payload for record in every(open_files(str(folder)), Kind.PRICE)] == expected


def test_a_folder_of_files_is_one_table(write: Write) -> None:
    folder = write()
    (folder / "prices").mkdir()
    (folder / "prices.csv").rename(folder / "prices" / "AAPL.csv")
    (folder / "prices" / "MSFT.csv").write_text(HEAD + DAY.replace("AAPL", "MSFT"))
    assert open_files(str(folder)).symbols() == ("AAPL", "MSFT")


def test_spreadsheets_own_csv_is_read(write: Write) -> None:
    text = "\ufeffsep=;\r\n" + (HEAD + DAY).replace(",", ";").replace("\n", "\r\n")
    assert open_files(str(write(prices_csv=text))).symbols() == ("AAPL",)


@pytest.mark.parametrize(
    ("table", "row", "column", "expected"),
    [
        ("prices", "AAPL,2025-01-04,1,1,1,1,1", "date", "Saturday"),
        ("prices", "AAPL,2025-12-25,1,1,1,1,1", "date", "without trading"),
        ("prices", "AAPL,01/03/2025,1,1,1,1,1", "date", "YYYY-MM-DD"),
        ("prices", "AAPL,2025-01-03,1,1,1,-1,1", "close", "above 0"),
        ("prices", "AAPL,2025-01-03,1,1,1,0,1", "close", "above 0"),
        ("prices", "AAPL,2025-01-03,1,1,1,nan,1", "close", "finite"),
        ("prices", "AAPL,2025-01-03,1,1,1,inf,1", "close", "finite"),
        ("prices", "AAPL,2025-01-03,1,1,1,,1", "close", "a value .delete the line where none"),
        (
            "prices",
            "AAPL,2025-01-03,1,1,1,NaN,1",
            "close",
            "finite number .delete the line where none",
        ),
        ("prices", "AAPL,2025-01-03,1,1,1,1,N/A", "volume", "a number .*leave it empty where none"),
        (
            "prices",
            "AAPL,2025-01-03,1,1,1,1,inf",
            "volume",
            "finite number .leave it empty where none",
        ),
        ("prices", "AAPL,2025-01-03,1,1,1,1,-5", "volume", "0 or more"),
        ("prices", "AAPL,2025-01-03,1,2,1,3,1", "high", "at least"),
        ("prices", "AAPL,2025-01-03,1,2,1.5,2,1", "low", "at most"),
        ("prices", "aapl,2025-01-03,1,1,1,1,1", "symbol", "capitals"),
        ("prices", "AAPL,2099-01-02,1,1,1,1,1", "date", "calendar|without trading"),
        ("prices", "AAPL,2049-01-05,1,1,1,1,1", "date", "still to come"),
        ("news", "AAPL,2025-01-03T10:00:00,Hello", "published_at", "with its offset"),
        ("news", "AAPL,2049-01-05T10:00:00Z,Hello", "published_at", "still to come"),
        ("news", "AAPL,2025-01-03T10:00:00Z,", "headline", "a value"),
        ("fundamentals", "AAPL,2024-09-30,10-Q,2024-09-01,revenue,5", "accepted_at", "not before"),
        ("macro", "CPI,2024-12,1,2024-12-10T13:30:00Z", "released_at", "not before"),
        ("actions", "AAPL,2025-01-03,merger,2", "type", "one of split, dividend"),
        ("actions", "AAPL,2025-01-03,split,1", "value", "another ratio"),
        ("signals", "AAPL,mood,2025-01-03T10:00:00Z,high", "value", "a number"),
        ("profiles", "AAPL,Apple,crypto,NASDAQ", "asset", "one of stock"),
    ],
)
def test_a_wrong_cell_is_named_by_file_line_and_column(
    write: Write, table: str, row: str, column: str, expected: str
) -> None:
    names = [each.name for each in TABLES[table].columns if each.required]
    names += ["volume"] * (table == "prices")
    text = ",".join(names) + f"\n\n{row}\n"
    said = refusal(write(**{f"{table}_csv": text}))
    assert said.startswith(f"{table}.csv, line 3, column '{column}': found ")
    assert re.search(f"expected .*({expected})", said), said


def test_the_first_of_many_wrong_rows_is_named_and_the_others_are_counted(write: Write) -> None:
    bad = DAY.replace("100.5", "x")
    said = refusal(write(prices_csv=HEAD + DAY + bad + bad + bad))
    assert "line 3" in said
    assert said.endswith("2 more rows of it are wrong.")


def test_lines_are_counted_as_an_editor_does_where_a_text_has_line_breaks(write: Write) -> None:
    text = 'symbol,published_at,headline\nAAPL,2025-01-02T15:00:00Z,"two\nlines"\nAAPL,never,x\n'
    assert "news.csv, line 4, column 'published_at'" in refusal(write(news_csv=text))


def test_rows_of_parquet_are_numbered_as_rows(write: Write) -> None:
    folder = write()
    table = {
        "symbol": ["AAPL"] * 2,
        "published_at": ["2025-01-02T15:00:00Z", "no"],
        "headline": ["a", "b"],
    }
    pq.write_table(pa.table(table), folder / "news.parquet")
    assert "news.parquet, row 2, column 'published_at'" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + DAY + "AAPL,2025-01-03,1,1\n", "line 3: found 4 fields, expected 7"),
        (HEAD + DAY + 'AAPL,2025-01-03,"1"1,1,1,1,1\n', "line 3: this is not readable CSV"),
        (
            "Symbol,day,open\n",
            "no column 'date', 'high', 'low' or 'close' (columns seen: Symbol, day, open)",
        ),
        (HEAD.replace("date", "day"), "no column 'date' (columns"),
        (",".join(f"c{number}" for number in range(20)) + "\n", "c11 and 8 more)"),
        (
            HEAD.replace("volume", "Date, DATE").replace(",date", ""),
            "has column 'date' more than once",
        ),
        (HEAD.replace("volume", "volumes") + DAY, "did you mean 'volume'?"),
        (HEAD.replace("volume", "close") + DAY, "has column 'close' more than once"),
        ("", "prices.csv is empty; its first line has to name its columns: symbol, date, open"),
        (HEAD, "its prices have no row"),
        (HEAD + DAY + DAY, "line 3: what prices.csv, line 2 says of prices of AAPL"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_sentence(
    write: Write, text: str, said: str
) -> None:
    assert said in refusal(write(prices_csv=text))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"symbol"', "line 1: found a line that is not JSON, expected one JSON object"),
        ('{"symbol": "AAPL", "published_at": 5, "headline": "x"}', "column 'published_at': found 5"),
        ('{"symbol": "AAPL", "headline": "x"}', "column 'published_at': found nothing"),
        ('{"symbol": "AAPL", "published_at": "2025-01-02T15:00:00Z", "headline": "x", "summry": ""}',
         "did you mean 'summary'?"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_json_is_named(write: Write, line: str, said: str) -> None:
    found = refusal(write(news_jsonl=f"{line}\n"))
    assert found.startswith("news.jsonl")
    assert said in found


def test_what_is_shown_of_a_cell_cannot_move_the_cursor(write: Write) -> None:
    said = refusal(write(prices_csv=HEAD + DAY.replace("AAPL", "\x1b[2J")))
    assert "\x1b" not in said


def test_a_price_of_a_session_that_has_not_closed_is_refused(write: Write) -> None:
    folder = look(write())
    during = datetime(2025, 1, 6, 20, 59, tzinfo=UTC)
    with pytest.raises(DataError, match=r"line 4, column 'date'.*still to come"):
        read_folder(folder, now=during)
    assert read_folder(folder, now=datetime(2025, 1, 6, 21, tzinfo=UTC)).symbols() == ("AAPL",)


def test_prices_that_are_adjusted_for_a_named_split_are_refused(write: Write) -> None:
    said = refusal(write(actions_csv="symbol,date,type,value\nAAPL,2025-01-03,split,4\n"))
    assert said.startswith("actions.csv, line 2: a split of AAPL, 4 for 1")
    assert "adjusted already" in said


def test_a_file_that_nobody_would_read_is_named(write: Write) -> None:
    for name, said in {
        "price.csv": "did you mean 'prices'?",
        "prices.xlsx": "would not be read",
        "prices.arrow": "would not be read",
        "news/2024/a.csv": "would not be read",
    }.items():
        folder = write()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
        assert said in refusal(folder), name
        shutil.rmtree(folder)


def test_notes_and_scripts_beside_the_tables_are_left_alone(write: Write) -> None:
    folder = write(README_md="about", make_py="print()")
    for name in (".DS_Store", "~$prices.xlsx", "~$prices.csv"):
        (folder / name).write_bytes(b"\0")
    assert open_files(str(folder)).symbols() == ("AAPL",)


def test_a_folder_without_prices_is_told_where_templates_lie(tmp_path: Path) -> None:
    for folder, said in ((tmp_path / "none", "is no folder"), (tmp_path, "holds no prices.csv")):
        with pytest.raises(MissingInputError, match=said) as caught:
            open_files(str(folder))
        assert str(TEMPLATES) in str(caught.value)


def test_settings_of_a_folder_say_what_its_times_and_prices_are(write: Write) -> None:
    settings = "times: exchange\ncurrency: GBP\npolicy: {research: allowed}\n"
    news = "symbol,published_at,headline\nAAPL,2025-01-02T10:00:00,Hello\n"
    snapshot = open_files(str(write(folder_yaml=settings, news_csv=news)))
    assert every(snapshot, Kind.PRICE)[0].payload["currency"] == "GBP"
    assert every(snapshot, Kind.NEWS)[0].event_time == datetime(2025, 1, 2, 15, tzinfo=UTC)
    assert snapshot.policy.allows(Use.RESEARCH)
    assert not snapshot.policy.allows(Use.MODEL_PROCESSING)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("calender: XNYS\n", r"folder.yaml: calender is no setting; did you mean 'calendar'\?"),
        (
            "policy: {reserch: allowed}\n",
            r"policy.reserch is no setting; did you mean 'research'\?",
        ),
        ("policy: {terms: ours}\n", "policy.terms is no list; write it in brackets"),
        ("policy: {research: forbidden}\n", "policy.research: .*'prohibited'"),
        ("times: local\n", "times"),
        ("calendar: NYSE\n", "did you mean 'XNYS'"),
        ("- a\n", "may set"),
        ("a: [", "is not plain YAML"),
    ],
)
def test_wrong_settings_are_named(write: Write, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_files(str(write(folder_yaml=text)))


def test_own_files_are_for_private_work_unless_the_folder_says_more(write: Write) -> None:
    policy = open_files(str(write())).policy
    assert policy.allows(Use.MODEL_PROCESSING)
    assert set(policy.denied()) == {Use.PUBLIC_DISPLAY, Use.COMMERCIAL, Use.REDISTRIBUTION}


def test_equal_files_have_one_digest_wherever_they_lie(write: Write, tmp_path: Path) -> None:
    folder = write()
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    first = open_files(str(folder)).digest
    assert open_files(str(copy)).digest == first
    (copy / "prices.csv").write_text(HEAD + DAY)
    assert open_files(str(copy)).digest != first


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04rest", b"\xff\xfes\0y\0", b"<html>", b"PAR1", b"\x80\x04"]
)
def test_bytes_of_another_kind_are_named_by_their_kind(write: Write, data: bytes) -> None:
    for name in ("prices.csv", "news.jsonl", "news.parquet", "news.csv.gz"):
        folder = write()
        (folder / name).write_bytes(data)
        with pytest.raises(FingptError) as caught:
            open_files(str(folder))
        assert name in str(caught.value)
        shutil.rmtree(folder)


def test_a_command_that_a_message_names_can_be_run_as_it_stands(write: Write) -> None:
    folder = write()
    latin = folder / "news.csv"
    latin.write_bytes(
        "symbol,published_at,headline\nAAPL,2025-01-02T15:00:00Z,Zürich\n".encode("cp1252")
    )
    command = re.search(r"convert it: (iconv .*) > converted", refusal(folder))
    assert command is not None
    done = subprocess.run(shlex.split(command[1]), capture_output=True, check=True)
    latin.write_bytes(done.stdout)
    (news,) = every(open_files(str(folder)), Kind.NEWS)
    assert news.payload["headline"] == "Zürich"


# The message names this program, so the test runs it; a bare container may not have it, as its reader may not.
@pytest.mark.skipif(not shutil.which("jq"), reason="jq is missing")
@pytest.mark.parametrize("name", ["prices.json", "prices.jsonl"])
def test_a_list_is_made_lines_by_the_commands_that_are_named(write: Write, name: str) -> None:
    folder = write()
    (folder / "prices.csv").unlink()
    row = {"symbol": "AAPL", "date": "2025-01-02", "open": 1, "high": 1, "low": 1, "close": 1}
    (folder / name).write_text(json.dumps([row]))
    commands = re.search(r"convert it: (jq .*), then put it .*: (mv .*)\.$", refusal(folder))
    assert commands is not None
    for command in commands.groups():
        subprocess.run(["sh", "-c", command], check=True, cwd=folder)
    assert open_files(str(folder)).symbols() == ("AAPL",)
