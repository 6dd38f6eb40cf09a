"""Cuts by week, and what keeps two blocks apart."""

import random
from datetime import timedelta

import pytest

from fingpt.prep.blocks import (
    Shape,
    cut,
    cut_before,
    fitting_shape,
    interleaving,
    least_embargo,
    purged,
    weeks_of,
)


@pytest.fixture
def weeks(example):
    return lambda count, first=0: [example("AAA", number) for number in range(first, first + count)]


def test_blocks_follow_one_another_with_an_embargo_between_an_end_and_a_start(weeks):
    rows = weeks(30)
    random.Random(5).shuffle(rows)
    found = cut(rows, Shape(test=5, validation=3, embargo=4))
    for before, after in ((found.train, found.validation), (found.validation, found.test)):
        gap = min(one.start for one in after) - max(one.end for one in before)
        assert gap == timedelta(weeks=4)
    assert [weeks_of(part) for part in (found.train, found.validation, found.test)] == [14, 3, 5]
    assert (found.embargoed, found.later) == (8, 0)


def test_weeks_behind_the_test_block_are_counted(weeks):
    found = cut(weeks(30), Shape(test=5, validation=0, embargo=1, later=10))
    assert (weeks_of(found.train), weeks_of(found.test)) == (14, 5)
    assert (found.embargoed, found.later) == (1, 10)


def test_a_block_without_weeks_enough_is_empty(weeks):
    assert not cut(weeks(3), Shape(test=4, validation=1, embargo=1)).test
    few = cut(weeks(5), Shape(test=2, validation=4, embargo=1))
    assert (len(few.test), few.validation, few.train, few.embargoed) == (2, (), (), 1)


def test_the_embargo_reaches_as_far_as_prompts_look_back_or_labels_look_ahead(example, weeks):
    assert least_embargo(weeks(3)) == 1
    assert least_embargo([*weeks(3), example("BBB", 9, prices=(1, 2, 3, 4, 5, 6))]) == 5
    (far,) = (type(one)(**{**vars(one), "period": "2031-03-02 to 2031-03-23"}) for one in weeks(1))
    assert least_embargo([far]) == 3
    assert least_embargo([]) == 1


def test_rows_of_the_same_weeks_or_that_tell_their_prices_are_purged(example):
    later = [example("TST", 10), example("TST", 11), example("TST", 20)]
    rows = [example("AAA", number) for number in range(8, 24)]
    # A prompt tells the week before: week 12 tells 11, week 21 tells 20.
    gone = set(rows) - set(purged(rows, later))
    assert gone == {rows[number - 8] for number in (10, 11, 12, 20, 21)}
    assert purged(rows, []) == tuple(rows)
    wider = [example("BBB", number, prices=(1, 2, 3, 4)) for number in range(8, 24)]
    gone = set(wider) - set(purged(wider, later))
    assert gone == {wider[number - 8] for number in (10, 11, 12, 13, 14, 20, 21, 22, 23)}


def test_interleaving_is_none_for_a_calendar_and_half_for_a_draw(weeks):
    rows = weeks(200)
    assert interleaving(rows[:150], rows[150:]) == 0
    assert interleaving(rows[150:], rows[:150]) == 1
    random.Random(2).shuffle(rows)
    assert 0.4 < interleaving(rows[:150], rows[150:]) < 0.6
    assert interleaving([], rows) == 0


def test_train_before_a_given_test_block_keeps_both_embargoes(weeks):
    rows = weeks(30)
    found = cut_before(rows[:25], tuple(rows[25:]), Shape(0, validation=4, embargo=4))
    assert [weeks_of(part) for part in (found.train, found.validation, found.test)] == [13, 4, 5]
    assert found.embargoed == 8


def test_a_suggestion_always_leaves_training_weeks(weeks):
    wanted = Shape(test=10, validation=4, embargo=4)
    assert fitting_shape(weeks(4), wanted, 1, 1) is None
    for count in range(5, 23):
        shape = fitting_shape(weeks(count), wanted, 1, 1)
        assert shape is not None
        found = cut(weeks(count), shape)
        assert found.train
        assert found.validation
        assert shape.embargo <= wanted.embargo
    assert fitting_shape(weeks(8), Shape(10, 4, 4), 1, least=4) is None
