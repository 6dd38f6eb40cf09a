import random
from datetime import timedelta
from itertools import pairwise

import pytest

from fingpt.config import PrepConfig
from fingpt.errors import ConfigError, DataError
from fingpt.prep.split import Split, evenly_spaced, split_rows, week_number, weeks_of

SYMBOLS = ("AAA", "BBB", "CCC")


@pytest.fixture
def weeks(example):
    """Three symbols × weeks 0…count-1."""
    return lambda count, first=0: [
        example(symbol, number) for number in range(first, first + count) for symbol in SYMBOLS
    ]


def numbers(part) -> set[int]:
    base = week_number(min(part, key=lambda e: e.start))
    return {week_number(e) - base for e in part}


def test_a_published_split_is_taken_as_it_is(weeks):
    rows = {"train": weeks(5), "test": weeks(3, first=5)}
    found = split_rows(rows, PrepConfig(), seed=1)
    assert (found.rule, found.leaky, found.dropped) == ("published", False, {})
    assert set(found.train) == set(rows["train"])
    assert set(found.test) == set(rows["test"])


def test_rows_keep_the_order_of_week_and_symbol_whatever_order_they_come_in(weeks):
    rows = weeks(6)
    mixed = list(rows)
    random.Random(3).shuffle(mixed)
    one = split_rows({"train": rows}, PrepConfig(test_weeks=2), seed=1)
    two = split_rows({"train": mixed}, PrepConfig(test_weeks=2), seed=1)
    assert one == two


def test_calendar_blocks_are_separated_by_the_embargo_and_every_row_is_counted(weeks):
    for embargo in (1, 2, 3):
        for validation in (0, 2):
            config = PrepConfig(
                split="calendar", test_weeks=3, embargo_weeks=embargo, validation_weeks=validation
            )
            found = split_rows({"train": weeks(16)}, config, seed=1)
            blocks = [part for part in (found.train, found.validation, found.test) if part]
            assert len(blocks) == (3 if validation else 2)
            for before, after in pairwise(blocks):
                gap = min(e.start for e in after) - max(e.end for e in before)
                assert gap >= timedelta(weeks=embargo)
            assert weeks_of(found.test) == 3
            assert sum(map(len, blocks)) + found.dropped["embargo"] == 48
            assert found.dropped["embargo"] == 3 * embargo * (len(blocks) - 1)


def test_calendar_pools_published_splits_and_counts_a_repeated_row_once(weeks):
    rows = {"train": weeks(6), "test": weeks(6)}
    found = split_rows(rows, PrepConfig(split="calendar", test_weeks=2), seed=1)
    assert len(found.train) + len(found.test) + found.dropped["embargo"] == 18


def test_auto_is_calendar_where_a_split_is_missing(weeks):
    found = split_rows({"train": weeks(6), "test": []}, PrepConfig(test_weeks=2), seed=1)
    assert found.rule == "calendar"


def test_a_random_split_is_refused_unless_spoken_out_and_then_flagged(weeks):
    rows = {"train": weeks(10)}
    silent = PrepConfig.model_construct(
        split="random", allow_leaky_split=False, validation_weeks=0, limit=None
    )
    with pytest.raises(ConfigError, match="allow_leaky_split"):
        split_rows(rows, silent, seed=1)
    spoken = PrepConfig(split="random", allow_leaky_split=True)
    found = split_rows(rows, spoken, seed=1)
    assert found.leaky
    assert (len(found.train), len(found.test)) == (24, 6)
    assert found == split_rows(rows, spoken, seed=1)
    assert found != split_rows(rows, spoken, seed=2)


def test_an_empty_split_is_a_data_error_that_names_it(weeks):
    with pytest.raises(DataError, match="test split is empty"):
        split_rows({"train": weeks(3), "test": []}, PrepConfig(split="published"), seed=1)
    with pytest.raises(DataError, match="span 3 weeks"):
        split_rows({"train": weeks(3)}, PrepConfig(split="calendar", test_weeks=3), seed=1)
    with pytest.raises(DataError, match="train split is empty"):
        split_rows({"train": weeks(3)}, PrepConfig(split="calendar", test_weeks=2), seed=1)


def test_validation_weeks_are_never_carved_out_of_a_published_split(weeks):
    rows = {"train": weeks(5), "test": weeks(3, first=5)}
    with pytest.raises(ConfigError, match="validation_weeks"):
        split_rows(rows, PrepConfig(validation_weeks=2), seed=1)


def test_a_limit_keeps_weeks_and_symbols_mixed(weeks):
    config = PrepConfig(split="calendar", test_weeks=10, limit=10)
    found = split_rows({"train": weeks(40)}, config, seed=1)
    assert (len(found.train), len(found.test)) == (10, 10)
    assert weeks_of(found.test) == 10
    assert len({e.symbol for e in found.test}) == 3
    assert numbers(found.train) >= {0, 28}
    assert found.dropped == {"embargo": 3, "limit": 29 * 3 + 30 - 20}


def test_even_spacing_keeps_first_and_last(weeks):
    rows = weeks(7)
    for count in (2, 3, 20, 21, 30):
        kept = evenly_spaced(rows, count)
        assert len(kept) == min(count, 21)
        assert len(set(kept)) == len(kept)
        assert (kept[0], kept[-1]) == (rows[0], rows[-1])
    assert evenly_spaced(rows, 1) == (rows[0],)


def test_published_rows_keep_their_split_and_an_even_limit(real):
    whole = split_rows(real.rows, PrepConfig(), seed=42)
    assert {name: len(part) for name, part in whole.parts().items()} == {
        "train": 244,
        "validation": 0,
        "test": 300,
    }
    assert (weeks_of(whole.train), weeks_of(whole.test)) == (40, 10)
    few = split_rows(real.rows, PrepConfig(limit=20), seed=42)
    assert isinstance(few, Split)
    assert weeks_of(few.test) == 10
    assert few.dropped == {"limit": 504}
