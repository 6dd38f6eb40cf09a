"""The invented market: the same from the same seed, with what real prices do, over real sessions."""

from __future__ import annotations

import csv
from datetime import date
from itertools import pairwise

import pytest

from fingpt.sources.calendar import close_of, session_of, sessions
from fingpt.sources.files import open_files
from fingpt.sources.records import Kind
from fingpt.synthetic.market import EXAMPLE_SYMBOLS, market_records, write_example, write_market

START, END = date(2024, 1, 2), date(2025, 6, 30)


def market(*symbols, seed=1):
    return list(market_records(symbols or ("AAA", "BBB", "CCC"), START, END, seed))


def test_a_market_is_a_function_of_its_seed() -> None:
    assert market() == market()
    assert market() != market(seed=2)


def test_a_symbol_is_the_same_in_any_company() -> None:
    alone = [one for one in market("BBB") if one.symbol == "BBB"]
    assert alone == [one for one in market() if one.symbol == "BBB"]


@pytest.mark.parametrize("end", [date(2024, 11, day) for day in range(25, 31)])
def test_a_market_ends_with_a_close_and_goes_on_as_it_began(end) -> None:
    """Of a week with a holiday, a Friday that closes early, and a weekend."""
    shorter = list(market_records(["AAA", "BBB"], START, end))
    last = close_of(max(sessions(START, end)))
    assert max(one.available_at for one in shorter) == last
    longer = market_records(["AAA", "BBB"], START, date(2025, 3, 5))
    assert [one for one in longer if one.available_at <= last] == shorter


def test_news_of_a_week_are_out_before_the_next_week_begins() -> None:
    times = [one.event_time for one in market() if one.kind is Kind.NEWS]
    assert {time.weekday() for time in times} >= {0, 1, 2, 3, 4}
    assert not any(time.weekday() == 6 for time in times)


def test_every_session_has_one_price_and_no_other_day_has() -> None:
    days = [session_of(one.event_time) for one in market("AAA") if one.kind is Kind.PRICE]
    assert days == sessions(START, END)


def test_nothing_is_known_before_it_happens() -> None:
    assert [one for one in market() if one.available_at < one.event_time] == []


def test_prices_are_as_traded_so_a_split_halves_them_over_night() -> None:
    records = market(*(f"S{number}" for number in range(8)))
    splits = [one for one in records if one.payload.get("type") == "split"]
    assert splits
    for split in splits:
        closes = [
            (one.event_time, float(str(one.payload["close"])))
            for one in records
            if one.kind is Kind.PRICE and one.symbol == split.symbol
        ]
        before, after = next(
            (one[1], two[1]) for one, two in pairwise(closes) if two[0] > split.event_time
        )
        assert 0.4 < after / before < 0.6


def test_filings_are_accepted_weeks_after_their_period() -> None:
    filed = [one for one in market() if one.kind is Kind.FUNDAMENTALS]
    assert filed
    assert all(25 <= (one.available_at - one.event_time).days <= 45 for one in filed)


def test_the_folder_holds_what_the_records_say(tmp_path) -> None:
    write_market(tmp_path / "market", ["AAA", "BBB"], START, END)
    records = market("AAA", "BBB")
    tables = {}
    for path in (tmp_path / "market").iterdir():
        with path.open(encoding="utf-8", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    kinds = {kind: sum(one.kind is kind for one in records) for kind in Kind}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "prices": kinds[Kind.PRICE],
        "actions": kinds[Kind.ACTION],
        "news": kinds[Kind.NEWS],
        "fundamentals": 3 * kinds[Kind.FUNDAMENTALS],
        "profiles": 2,
        "macro": kinds[Kind.MACRO],
        "signals": kinds[Kind.SIGNAL],
    }
    closes = [str(one.payload["close"]) for one in records if one.kind is Kind.PRICE]
    assert [row["close"] for row in tables["prices"]] == closes


def test_the_newcomers_folder_is_files_that_build_takes_and_is_never_written_over(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_example()
    assert open_files(str(tmp_path / "market")).symbols() == EXAMPLE_SYMBOLS
    (tmp_path / "market" / "prices.csv").write_text("mine")
    write_example()
    assert (tmp_path / "market" / "prices.csv").read_text() == "mine"
