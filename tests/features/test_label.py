"""Labels are bins of the total return, to the last decimal; what has no return has a status."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from fingpt.features.label import label_of, outcomes, realised
from fingpt.sources.calendar import as_of

FIRST, LAST = date(2025, 5, 9), date(2025, 5, 16)
START, END = as_of(FIRST), as_of(LAST)


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ("0", "up by 0-1%"),
        ("-0", "up by 0-1%"),
        ("1e-9", "up by 0-1%"),
        ("-1e-9", "down by 0-1%"),
        ("0.01", "up by 0-1%"),
        ("0.010000001", "up by 1-2%"),
        ("-0.01", "down by 0-1%"),
        ("0.05", "up by 4-5%"),
        ("0.0500001", "up by more than 5%"),
        ("-0.3", "down by more than 5%"),
    ],
)
def test_a_return_has_one_label(change, label) -> None:
    assert label_of(Decimal(change)) == label


def test_prices_that_give_a_whole_per_cent_stay_in_the_lower_bin(world) -> None:
    world.price("AAA", FIRST, 10.1).price("AAA", LAST, 10.201)
    assert realised(world.snapshot(), "AAA", START, END).label == "up by 0-1%"


def test_a_week_without_a_change_has_a_label(world) -> None:
    world.flat("AAA", FIRST, LAST)
    found = realised(world.snapshot(), "AAA", START, END)
    assert (found.status, found.realised_return, found.label) == ("ok", 0.0, "up by 0-1%")


def test_dividends_and_splits_of_the_week_are_in_the_return_and_others_are_not(world) -> None:
    world.price("AAA", FIRST, 300.0).price("AAA", LAST, 100.0)
    world.action("AAA", FIRST, "split", 7.0).action("AAA", FIRST, "dividend", 50.0)
    world.action("AAA", date(2025, 5, 13), "dividend", 3.0)
    world.action("AAA", date(2025, 5, 14), "split", 3.0)
    world.action("AAA", LAST, "dividend", 0.5).action("AAA", date(2025, 5, 19), "split", 2.0)
    found = realised(world.snapshot(), "AAA", START, END)
    assert found.realised_return == pytest.approx(0.015)
    assert found.label == "up by 1-2%"


def test_an_action_that_two_sources_tell_counts_once(world) -> None:
    world.price("AAA", FIRST, 200.0).price("AAA", LAST, 100.0)
    world.action("AAA", date(2025, 5, 14), "split", 2.0)
    world.action("AAA", date(2025, 5, 14), "split", 2.0)
    assert realised(world.snapshot(), "AAA", START, END).realised_return == 0.0


def test_excess_is_over_the_mean_of_those_that_have_a_return(world) -> None:
    for symbol, end in (("AAA", 103.0), ("BBB", 101.0)):
        world.price(symbol, FIRST, 100.0).price(symbol, LAST, end)
    world.price("CCC", FIRST, 100.0)
    found = outcomes(world.snapshot(), ["AAA", "CCC"], START, END, ["AAA", "BBB", "CCC"])
    assert found["AAA"].excess_return == pytest.approx(0.01)
    assert found["CCC"].excess_return is None


def test_excess_over_a_benchmark_and_none_over_itself_alone(world) -> None:
    for symbol, end in (("AAA", 103.0), ("SPY", 102.0)):
        world.price(symbol, FIRST, 100.0).price(symbol, LAST, end)
    snapshot = world.snapshot()
    found = realised(snapshot, "AAA", START, END, ["SPY"])
    assert found.excess_return == pytest.approx(0.01)
    assert realised(snapshot, "AAA", START, END, ["AAA"]).excess_return is None


def test_what_has_no_return_says_why(world) -> None:
    world.flat("AAA", FIRST, date(2025, 6, 2))
    world.flat("GONE", FIRST, date(2025, 5, 13))
    world.flat("HALT", FIRST, date(2025, 5, 14)).flat("HALT", date(2025, 5, 20), date(2025, 6, 2))
    world.flat("NEW", date(2025, 5, 13), LAST)
    found = outcomes(world.snapshot(), ["GONE", "HALT", "NEW", "NONE"], START, END, ["AAA"])
    assert {symbol: one.status for symbol, one in found.items()} == {
        "GONE": "delisted",
        "HALT": "halted",
        "NEW": "missing",
        "NONE": "missing",
    }
    assert found["GONE"].last == as_of(date(2025, 5, 13))
    assert all(one.label is None and one.realised_return is None for one in found.values())


def test_a_week_that_is_not_over_is_missing_and_nobody_is_delisted(world) -> None:
    world.flat("AAA", FIRST, date(2025, 5, 14)).flat("BBB", FIRST, date(2025, 5, 14))
    found = outcomes(world.snapshot(), ["AAA", "BBB"], START, END, ["AAA", "BBB"])
    assert {one.status for one in found.values()} == {"missing"}
