from __future__ import annotations

from datetime import date, timedelta

import pytest

from fingpt.errors import DataError
from fingpt.sources.universe import CHECKED_UNTIL, dow30, ever, members, warnings


def test_the_dow_has_30_members_on_every_day_of_the_table() -> None:
    day = dow30()[0].start
    while day < date(2025, 1, 1):
        assert len(members(day)) == 30, day
        day += timedelta(days=1)


@pytest.mark.parametrize(
    ("day", "joined", "left"),
    [
        (date(2015, 3, 19), "AAPL", "T"),
        (date(2018, 6, 26), "WBA", "GE"),
        (date(2020, 8, 31), "AMGN CRM HON", "PFE RTX XOM"),
        (date(2024, 2, 26), "AMZN", "WBA"),
        (date(2024, 11, 8), "NVDA SHW", "DOW INTC"),
    ],
)
def test_a_change_counts_from_its_first_session_on(day: date, joined: str, left: str) -> None:
    before, after = set(members(day - timedelta(days=1))), set(members(day))
    assert sorted(after - before) == joined.split()
    assert sorted(before - after) == left.split()


def test_every_change_names_what_announced_it() -> None:
    assert all(each.joined_by for each in dow30())
    assert all(bool(each.left_by) == bool(each.until) for each in dow30())


def test_whoever_was_a_member_for_a_part_of_the_time_is_in_the_universe_of_all_of_it() -> None:
    assert set(ever(date(2024, 11, 7), date(2024, 11, 8))) >= {"NVDA", "SHW", "INTC", "DOW"}
    assert "WBA" not in ever(date(2024, 2, 26), date(2024, 12, 1))


def test_days_before_the_table_are_refused() -> None:
    with pytest.raises(DataError, match="begins on 2013-09-23"):
        members(date(2013, 9, 22))


def test_a_fixed_list_that_is_used_in_the_past_is_warned_of() -> None:
    (text,) = warnings(members(date(2025, 1, 1)), date(2023, 5, 1), date(2025, 9, 1))
    assert "AMZN, NVDA, SHW had not joined on 2023-05-01" in text
    assert "have left are not in it: DOW, INTC, WBA" in text


def test_a_list_of_other_symbols_is_warned_of_without_the_dow() -> None:
    (text,) = warnings(["ACME", "NVDA", "OTHR"], date(2023, 5, 1), date(2026, 9, 1))
    assert text.startswith("Survivorship")
    assert "Dow" not in text


def test_a_list_of_these_days_needs_no_warning() -> None:
    assert warnings(["AAPL"], date(2026, 11, 1), date(2026, 11, 26)) == []


def test_what_may_have_changed_since_the_table_was_checked_is_said() -> None:
    later = CHECKED_UNTIL + timedelta(days=1)
    assert len(warnings(["AAPL"], date(2024, 1, 1), CHECKED_UNTIL)) == 1
    assert "checked until" in warnings(["AAPL"], date(2024, 1, 1), later)[1]
