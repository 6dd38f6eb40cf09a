from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from fingpt.errors import DataError
from fingpt.sources.calendar import close_of, exchange, open_of, sessions
from fingpt.sources.checks import (
    Bar,
    Dividend,
    Note,
    Split,
    impossible_dividend,
    merged,
    price_notes,
    unseen_split,
)
from fingpt.sources.files import open_files

DAYS = sessions(date(2025, 1, 2), date(2025, 3, 31))
SPLIT_DAY = DAYS[20]


def bars(prices: list[float], days: list[date] = DAYS) -> list[Bar]:
    return [Bar(close_of(day), price, price) for day, price in zip(days, prices, strict=False)]


def rising(count: int = 40) -> list[float]:
    return [100 + number * 0.5 for number in range(count)]


def notes(
    found: list[Bar], splits: list[Split] | None = None, last: date | None = None
) -> list[Note]:
    end = close_of(last) if last else None
    return list(price_notes("AAPL", found, splits or [], exchange(), end))


def test_a_sound_series_has_no_notes() -> None:
    assert notes(bars(rising()), last=DAYS[40]) == []


def test_sessions_without_a_price_are_named_by_month() -> None:
    days = [
        day for day in DAYS if day not in (date(2025, 1, 7), date(2025, 1, 8), date(2025, 2, 4))
    ]
    january, february = notes(bars(rising(), days))
    assert str(january.month) == "2025-01"
    assert january.why == "2 sessions have no price, the first is 2025-01-07"
    assert february.why == "1 session has no price, the first is 2025-02-04"


def test_an_old_price_that_is_repeated_is_named_from_the_fifth_session_on() -> None:
    four = [*rising(10), 200.0, *[104.5] * 4]
    assert [note for note in notes(bars(four)) if "sessions up to" in note.why] == []
    (note,) = [note for note in notes(bars([*four, 104.5])) if "sessions up to" in note.why]
    assert f"the close is 104.5 in 5 sessions up to {DAYS[15]}" in note.why


def test_a_jump_without_a_split_is_named_and_with_one_it_is_not() -> None:
    prices = rising(20) + [price / 4 for price in rising(20)]
    (note,) = notes(bars(prices))
    assert f"overnight to {SPLIT_DAY}, and no split is named" in note.why
    assert notes(bars(prices), [Split(open_of(SPLIT_DAY), 4)]) == []


def test_a_reverse_split_is_a_jump_too() -> None:
    prices = rising(20) + [price * 10 for price in rising(20)]
    assert len(notes(bars(prices))) == 1
    assert notes(bars(prices), [Split(open_of(SPLIT_DAY), 0.1)]) == []


def test_a_split_in_a_gap_explains_the_jump_over_it() -> None:
    days = [day for day in DAYS if day != SPLIT_DAY]
    prices = rising(20) + [price / 4 for price in rising(19)]
    found = notes(bars(prices, days), [Split(open_of(SPLIT_DAY), 4)])
    assert [note.why for note in found] == [f"1 session has no price, the first is {SPLIT_DAY}"]


def test_prices_that_end_before_the_others_are_named() -> None:
    assert notes(bars(rising()), last=DAYS[44]) == []
    (note,) = notes(bars(rising()), last=DAYS[45])
    assert note.why.startswith(f"prices end on {DAYS[39]}, those of others on {DAYS[45]}")


def test_a_named_split_that_prices_do_not_show_is_found() -> None:
    split = Split(open_of(SPLIT_DAY), 4)
    assert unseen_split(bars(rising()), [split]) is not None
    traded = rising(20) + [price / 4 for price in rising(20)]
    assert unseen_split(bars(traded), [split]) is None
    assert unseen_split(bars(traded), [Split(open_of(SPLIT_DAY), 0.25)]) is not None


def test_a_split_outside_of_the_prices_and_one_that_is_small_cannot_be_judged() -> None:
    before = Split(open_of(date(2020, 8, 31)), 4)
    small = Split(open_of(SPLIT_DAY), 1.05)
    assert unseen_split(bars(rising()), [before, small]) is None


def paid(amount: float, day: date = SPLIT_DAY) -> list[Dividend]:
    return [Dividend(open_of(day), amount)]


def test_a_dividend_of_half_the_last_close_is_named_in_its_month_and_a_smaller_one_is_not() -> None:
    found = bars([100.0 + number % 2 for number in range(40)])  # 101 on the day before

    def named(amount: float, day: date = SPLIT_DAY) -> list[str]:
        given = price_notes("AAPL", found, [], exchange(), None, paid(amount, day))
        return [note.why for note in given]

    assert named(50.0) == []
    (why,) = named(50.5)
    assert why.startswith(f"a dividend of 50.5 on {SPLIT_DAY} after a close of 101")
    assert named(500.0, DAYS[0]) == [], "there is no close before the first"


def test_a_dividend_is_less_than_the_close_before_it_also_of_the_shares_of_a_split() -> None:
    found = bars([100.0] * 40)
    assert impossible_dividend(found, [], paid(100.0)) == (*paid(100.0), 100.0)
    assert impossible_dividend(found, [], paid(99.9)) is None
    for ratio, least in ((0.1, 1000.0), (10.0, 100.0)):
        splits = [Split(open_of(SPLIT_DAY), ratio)]
        assert impossible_dividend(found, splits, paid(least)) == (*paid(least), least)
        assert impossible_dividend(found, splits, paid(least - 1)) is None


def test_an_impossible_dividend_of_a_folder_is_named_by_its_line(
    write: Callable[..., Path],
) -> None:
    text = "symbol,date,type,value\nAAPL,2025-01-03,dividend,0.2\nAAPL,2025-01-06,dividend,500\n"
    with pytest.raises(DataError, match="last close was 102; expected less") as caught:
        open_files(str(write(actions_csv=text)))
    assert str(caught.value).startswith("actions.csv, line 3, column 'value': a dividend of 500")
    large = open_files(str(write(actions_csv=text.replace("500", "60")))).degraded
    assert "a dividend of 60 on 2025-01-06 after a close of 102" in large["files/AAPL/2025-01"]


def test_what_two_say_of_one_part_is_kept() -> None:
    assert merged([{"a": "one"}, {"a": "two", "b": "three"}]) == {"a": "one; two", "b": "three"}


def test_symbols_without_prices_are_named(write: Callable[..., Path]) -> None:
    news = "symbol,published_at,headline\nFB,2025-01-02T15:00:00Z,Renamed\n"
    degraded = open_files(str(write(news_csv=news))).degraded
    assert degraded == {
        "files/FB/2025-01": "there is news and no price: renamed, delisted, or its prices were left out"
    }


def test_what_is_wrong_with_a_folder_s_prices_is_named_by_part(write: Callable[..., Path]) -> None:
    rows = "".join(f"AAPL,{day},7,7,7,7,0\n" for day in DAYS[:6])
    text = f"symbol,date,open,high,low,close,volume\n{rows}"
    degraded = open_files(str(write(prices_csv=text))).degraded
    assert list(degraded) == ["files/AAPL/2025-01"]
    assert "in 6 sessions" in degraded["files/AAPL/2025-01"]
