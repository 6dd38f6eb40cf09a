import random
import re
from datetime import timedelta
from itertools import pairwise

import pytest

from fingpt.config import PrepConfig, split_words
from fingpt.errors import ConfigError, DataError
from fingpt.prep.blocks import week_number, weeks_of
from fingpt.prep.split import Split, evenly_spaced, split_rows

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


def shares(found: Split) -> list[int]:
    """Weeks of train, validation and test."""
    return [weeks_of(part) for part in found.parts().values()]


def remedy(told: str) -> dict[str, int]:
    """The settings of prep that a message says to SET."""
    words = split_words(re.search(r'SET="?([^",]*)', told)[1].replace(" to take", ""), "SET")
    pairs = [word.split("=") for word in words if word.startswith("prep.")]
    return {name.removeprefix("prep."): int(value.split()[0]) for name, value in pairs}


@pytest.fixture
def published(weeks):
    """A published split as others make it: no gap, no validation."""
    return {"train": weeks(40), "test": weeks(10, first=40)}


def test_a_published_split_gets_validation_weeks_from_the_end_of_its_train(published):
    found = split_rows(published, PrepConfig(), seed=1)
    assert set(found.test) == set(published["test"])
    assert found.rule == "published, validation cut from its train"
    assert (shares(found), found.embargo_weeks) == ([28, 4, 10], 4)
    for before, after in pairwise(found.parts().values()):
        gap = min(e.start for e in after) - max(e.end for e in before)
        assert gap == timedelta(weeks=4)
    assert set(found.train) | set(found.validation) < set(published["train"])
    assert found.dropped == {"embargo": 8 * 3}


def test_without_validation_weeks_a_published_split_is_taken_as_it_is(published):
    found = split_rows(published, PrepConfig(validation_weeks=0), seed=1)
    assert (found.rule, found.leaky, found.dropped) == ("published", False, {})
    assert set(found.train) == set(published["train"])
    assert (found.validation, found.embargo_weeks) == ((), 0)


def test_a_published_validation_is_kept(published, weeks):
    rows = {"train": weeks(30), "validation": weeks(5, first=32), "test": published["test"]}
    found = split_rows(rows, PrepConfig(), seed=1)
    assert (found.rule, found.dropped) == ("published", {})
    assert set(found.validation) == set(rows["validation"])


def test_a_published_split_with_too_few_weeks_says_what_to_set_and_that_works(weeks):
    for count in range(1, 13):
        rows = {"train": weeks(count), "test": weeks(3, first=count)}
        with pytest.raises(DataError, match=f"span {count} weeks") as told:
            split_rows(rows, PrepConfig(), seed=1)
        settings = remedy(str(told.value))
        found = split_rows(rows, PrepConfig(**settings), seed=1)
        assert found.train
        assert bool(found.validation) == bool(settings["validation_weeks"])
    assert split_rows({"train": weeks(13), "test": weeks(3, first=13)}, PrepConfig(), seed=1).train


def test_a_random_split_of_others_is_refused_and_once_allowed_it_is_leaky(weeks):
    pool = weeks(30)
    random.Random(8).shuffle(pool)
    rows = {"train": pool[:70], "test": pool[70:]}
    with pytest.raises(ConfigError, match=r"random.* prints test answers inside training prompts"):
        split_rows(rows, PrepConfig(), seed=1)
    found = split_rows(rows, PrepConfig(allow_leaky_split=True), seed=1)
    assert (found.leaky, found.rule) == (True, "published, random")
    assert set(found.test) == set(rows["test"])
    assert set(found.train) | set(found.validation) == set(rows["train"])
    assert found.validation
    bare = split_rows(rows, PrepConfig(allow_leaky_split=True, validation_weeks=0), seed=1)
    assert set(bare.train) == set(rows["train"])


def test_a_reversed_or_a_symbol_split_of_others_is_refused_too(weeks):
    rows = weeks(20)
    by_symbol = {"train": [e for e in rows if e.symbol != "CCC"], "test": rows[2::3]}
    for split in ({"train": rows[30:], "test": rows[:30]}, by_symbol):
        with pytest.raises(ConfigError, match="allow_leaky_split"):
            split_rows(split, PrepConfig(), seed=1)


def test_train_rows_that_reach_into_a_published_test_are_purged_and_counted(weeks):
    rows = {"train": weeks(42), "test": weeks(10, first=40)}
    found = split_rows(rows, PrepConfig(validation_weeks=0), seed=1)
    assert found.dropped == {"purge": 6}
    assert numbers(found.train) == set(range(40))
    assert not found.leaky


def test_one_test_row_that_strayed_into_train_s_weeks_costs_only_its_neighbours(weeks, example):
    rows = {"train": weeks(40), "test": [*weeks(10, first=40), example("DDD", 20)]}
    found = split_rows(rows, PrepConfig(validation_weeks=0), seed=1)
    # Week 20 itself, and week 21, whose prompts tell the prices of week 20.
    assert found.dropped == {"purge": 6}
    assert numbers(found.train) == set(range(40)) - {20, 21}


def test_rows_keep_the_order_of_week_and_symbol_whatever_order_they_come_in(weeks):
    rows = weeks(6)
    mixed = list(rows)
    random.Random(3).shuffle(mixed)
    config = PrepConfig(test_weeks=2, validation_weeks=1, embargo_weeks=1)
    one = split_rows({"train": rows}, config, seed=1)
    two = split_rows({"train": mixed}, config, seed=1)
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
    config = PrepConfig(split="calendar", test_weeks=2, validation_weeks=0)
    found = split_rows({**rows, "train": weeks(9)}, config, seed=1)
    assert len(found.train) + len(found.test) + found.dropped["embargo"] == 27


def test_auto_is_calendar_where_a_split_is_missing(weeks):
    found = split_rows({"train": weeks(24), "test": []}, PrepConfig(), seed=1)
    assert found.rule == "calendar"
    assert shares(found) == [2, 4, 10]
    assert found.embargo_weeks == 4


def test_the_embargo_is_raised_to_what_prompts_look_back(example):
    rows = [example("AAA", number, prices=(1, 2, 3, 4)) for number in range(30)]
    found = split_rows({"train": rows}, PrepConfig(embargo_weeks=1, test_weeks=5), seed=1)
    assert found.embargo_weeks == 3
    assert shares(found) == [30 - 5 - 4 - 6, 4, 5]


def test_too_few_weeks_say_what_to_set_and_that_works(weeks):
    for count in range(1, 23):
        with pytest.raises(DataError, match=f"span {count} weeks") as told:
            split_rows({"train": weeks(count)}, PrepConfig(), seed=1)
        if count < 5:
            assert str(told.value).endswith("for training; bring more weeks.")
            continue
        found = split_rows({"train": weeks(count)}, PrepConfig(**remedy(str(told.value))), seed=1)
        assert min(shares(found)) > 0
    assert min(shares(split_rows({"train": weeks(23)}, PrepConfig(), seed=1))) > 0


def test_walk_forward_tests_each_week_once_and_trains_on_all_before(weeks):
    rows = {"train": weeks(40), "test": weeks(11, first=40)}
    runs = [
        split_rows(rows, PrepConfig(origins=4, origin=origin), seed=1) for origin in (1, 2, 3, 4)
    ]
    assert [shares(found) for found in runs] == [[n, 4, 4] for n in (23, 27, 31, 35)]
    tested = [week_number(e) for found in runs for e in found.test]
    assert len(tested) == 4 * 4 * 3
    assert sorted(set(tested)) == list(range(max(tested) - 15, max(tested) + 1))
    for older, newer in pairwise(runs):
        assert set(older.train) < set(newer.train)
        assert max(e.end for e in older.test) <= min(e.start for e in newer.test)
    for found in runs:
        assert sum(map(len, found.parts().values())) + sum(found.dropped.values()) == 51 * 3
        assert (found.origins, found.leaky, found.rule) == (4, False, "calendar")
    assert [found.dropped.get("later", 0) for found in runs] == [36, 24, 12, 0]


def test_origins_with_too_few_weeks_say_what_to_set_and_that_works(weeks):
    rows = {"train": weeks(30)}
    with pytest.raises(DataError, match="4 × 10 test weeks") as told:
        split_rows(rows, PrepConfig(origins=4, origin=4, test_weeks=10), seed=1)
    fixed = PrepConfig(origins=4, origin=1, **remedy(str(told.value)))
    assert min(shares(split_rows(rows, fixed, seed=1))) > 0


def test_a_walk_forward_without_an_origin_is_no_single_split(weeks):
    with pytest.raises(ConfigError, match=r"name one: prep\.origin from 1 to 4"):
        split_rows({"train": weeks(40)}, PrepConfig(origins=4), seed=1)


def test_no_split_but_a_random_one_depends_on_the_seed(weeks, published):
    for config, rows in (
        (PrepConfig(), published),
        (PrepConfig(), {"train": weeks(30)}),
        (PrepConfig(origins=4, origin=2), published),
    ):
        assert split_rows(rows, config, seed=1) == split_rows(rows, config, seed=2)


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
    assert [len(part) for part in found.parts().values()] == [14, 10, 6]
    assert set().union(*found.parts().values()) == set(rows["train"])
    assert found == split_rows(rows, spoken, seed=1)
    assert found != split_rows(rows, spoken, seed=2)


def test_an_empty_split_is_a_data_error_that_names_it(weeks):
    with pytest.raises(DataError, match="test split is empty"):
        split_rows({"train": weeks(3), "test": []}, PrepConfig(split="published"), seed=1)
    rows = {"train": weeks(40), "validation": weeks(1, first=40), "test": weeks(3, first=40)}
    with pytest.raises(DataError, match=r"validation split is empty.*purge 3"):
        split_rows(rows, PrepConfig(), seed=1)


def test_a_limit_keeps_weeks_and_symbols_mixed(weeks):
    config = PrepConfig(split="calendar", test_weeks=10, limit=10)
    found = split_rows({"train": weeks(51)}, config, seed=1)
    assert [len(part) for part in found.parts().values()] == [10, 10, 10]
    assert weeks_of(found.test) == 10
    assert len({e.symbol for e in found.test}) == 3
    assert numbers(found.train) >= {0, 28}
    assert found.dropped == {"embargo": 24, "limit": (29 + 4 + 10) * 3 - 30}


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
    assert [len(part) for part in whole.parts().values()] == [187, 18, 300]
    assert shares(whole) == [28, 4, 10]
    assert whole.dropped == {"embargo": 244 - 187 - 18}
    few = split_rows(real.rows, PrepConfig(limit=20), seed=42)
    assert isinstance(few, Split)
    assert weeks_of(few.test) == 10
    assert few.dropped == {"embargo": 39, "limit": 187 + 300 - 40}
