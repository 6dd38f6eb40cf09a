"""Series that lie in a file are those that memory would hold."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from fingpt.errors import DataError
from fingpt.sources import grouped
from fingpt.sources.grouped import group
from fingpt.sources.schema import NEWS, PRICES, Entry

START = datetime(2025, 1, 1, tzinfo=UTC)


def news(number: int) -> Entry:
    at = START + timedelta(hours=number)
    return Entry(f"S{number % 7}", at, at, (f"Headline {number}", "", None, None), 0, number)


@pytest.mark.parametrize("at_once", [1, 5, 10_000])
def test_entries_of_a_symbol_are_together_in_order_and_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(grouped, "_ENTRIES_AT_ONCE", at_once)
    every = [news(number) for number in range(100)]
    mixed = random.Random(2).sample(every + every[:9], 109)
    series, dropped = group(NEWS, iter(mixed), str)
    assert dropped == 9
    assert list(series) == list(dict.fromkeys(each.symbol for each in mixed))
    for symbol, found in series.items():
        own = [each for each in every if each.symbol == symbol]
        assert [(each.event_time, each.values) for each in found] == [
            (each.event_time, each.values) for each in own
        ]
    assert series.get("S8", []) == []


def test_a_second_price_is_named_though_the_first_lies_in_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grouped, "_ENTRIES_AT_ONCE", 1)
    prices = [Entry("A", START, START, (1.0, 1.0, 1.0, 1.0, 1, "USD"), 0, line) for line in (4, 9)]
    with pytest.raises(DataError, match=r"^line 9: what line 4 says of prices of A, 2025-01-01"):
        group(PRICES, prices, lambda entry: f"line {entry.line}")
