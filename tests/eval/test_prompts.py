"""Batches depend on the prompts alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.errors import DataError
from fingpt.eval.prompts import Prompt, batches, evenly_spaced, passes, refuse_duplicates, to_answer
from fingpt.prompts.examples import Example
from tests.eval.invented import example


def prompt(number: int, length: int) -> Prompt:
    example = Example("", "", "a", f"S{number}", "2024-01-07 to 2024-01-14", "up by 0-1%", "", "")
    return Prompt(example, tuple(range(length)), (1,))


@given(st.lists(st.integers(1, 5), max_size=20), st.integers(1, 6), st.randoms())
def test_batches_hold_every_prompt_once_longest_first_in_any_order_of_prompts(
    lengths, size, random
):
    prompts = [prompt(number, length) for number, length in enumerate(lengths)]
    plan = batches(prompts, size, lambda one: len(one.prompt_ids))
    flat = [one for batch in plan for one in batch]
    assert sorted(one.example.symbol for one in flat) == sorted(
        one.example.symbol for one in prompts
    )
    assert [len(one.prompt_ids) for one in flat] == sorted(lengths, reverse=True)
    random.shuffle(prompts)
    assert batches(prompts, size, lambda one: len(one.prompt_ids)) == plan


@given(st.integers(1, 300), st.integers(1, 80))
def test_evenly_spaced_takes_distinct_rows_from_all_over(count, limit):
    found = evenly_spaced(count, limit)
    assert len(set(found)) == min(count, limit)
    assert found[0] == 0
    assert max(found) < count


def test_a_row_that_occurs_twice_is_refused():
    with pytest.raises(DataError, match=r"S1 .*occurs twice"):
        refuse_duplicates([prompt(1, 2), prompt(2, 2), prompt(1, 3)])


def test_rows_to_answer_are_spread_over_weeks_and_mix_symbols():
    rows = [
        Prompt(replace(example(n), symbol=f"S{n % 30}", period=period), (1,), (2,))
        for week in range(10)
        for n in range(30)
        for start in [date(2024, 1, 7) + timedelta(weeks=week)]
        for period in [f"{start} to {start + timedelta(weeks=1)}"]
    ]
    chosen = to_answer(rows, 20)
    weeks = Counter(prompt.example.period for prompt in chosen)
    assert set(weeks.values()) == {2}
    assert len(weeks) == 10
    assert len({prompt.example.symbol for prompt in chosen}) > 8
    assert chosen == [row for row in rows if row in chosen] == to_answer(rows[::-1], 20)[::-1]
    assert to_answer(rows, None) == to_answer(rows, 300) == rows


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=40))
def test_a_cpu_reads_each_row_of_a_batch_once_in_passes_that_stay_small(lengths):
    lengths.sort(reverse=True)
    parts = [lengths[part] for part in passes(lengths, "cpu")]
    assert [length for part in parts for length in part] == lengths
    assert all(len(part) == 1 or len(part) * part[0] <= 4096 for part in parts)
    assert all((len(part) + 1) * part[0] > 4096 for part in parts[:-1])
    assert passes(lengths, "cuda") == [slice(0, len(lengths))]
