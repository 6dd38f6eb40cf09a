"""Rows whose texts lie in a file are the rows that they were, and hold next to nothing in memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields

from fingpt.prep.facts import facts
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


def test_a_kept_row_is_the_row_that_it_was() -> None:
    rows, spool = [row(number) for number in range(20)], Spool()
    kept = [spool.keep(each) for each in rows]
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
