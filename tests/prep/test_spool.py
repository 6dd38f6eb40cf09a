"""Rows whose texts lie in a file are the rows that they were, and hold next to nothing in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields
from datetime import date

import pytest

from fingpt.prep import spool as module
from fingpt.prep.facts import Facts, PastWeek, facts, packed, unpacked
from fingpt.prep.spool import Spool
from fingpt.prompts.examples import Example, encode_line


def row(number: int, size: int = 40) -> Example:
    user = f"{number} “é” " + "w" * size
    label = "up by 0-1%"
    return Example(
        "système",
        user,
        f"a{number}",
        f"S{number}",
        "2024-01-05 to 2024-01-12",
        label,
        user,
        "r",
        ("n",),
    )


@pytest.mark.parametrize("at_hand", [0, 7, 8192])
def test_a_kept_row_is_the_row_that_it_was(at_hand: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FACTS_IN_MEMORY", at_hand)
    rows, spool = [row(number) for number in range(20)], Spool()
    kept = [spool.keep(each) for each in rows]
    assert len(spool._facts) == min(at_hand, 20)
    for one, other in zip(kept[::-1], rows[::-1], strict=True):
        for field in fields(Example):
            assert getattr(one, field.name) == getattr(other, field.name)
        assert one.id == other.id
        assert encode_line(one) == encode_line(other)
        assert facts(one) == facts(other)
        assert (one.start, one.end, one.margin) == (other.start, other.end, other.margin)


def test_memory_holds_no_texts() -> None:
    def held(count: int) -> int:
        spool = Spool()
        tracemalloc.start()
        kept = [spool.keep(row(number, 5000)) for number in range(count)]
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(kept[-1].user) > 5000
        return size

    held(10)
    assert held(400) - held(200) < 200 * 700  # a row has 10,000 bytes of text


WEEK = PastWeek(date(2024, 1, 5), date(2024, 1, 12), 101.25, 99.9, 0.24)


@pytest.mark.parametrize(
    "stated",
    [
        Facts(None, None, (), 0, 0, None, None),
        Facts(2_900_000.5, 15_000.25, (WEEK, WEEK), 7, 2, date(2023, 12, 31), "cryptocurrency"),
        Facts(0.0, None, (WEEK,) * 12, 1, 0, None, "“stock”"),
    ],
)
def test_facts_come_back_from_their_few_bytes(stated: Facts) -> None:
    assert unpacked(packed(stated)) == stated
    assert len(packed(stated)) < 60 + 32 * len(stated.weeks)
