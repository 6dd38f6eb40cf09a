"""Every item counts in one week, nothing twice, and the draw is the seed's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fingpt.features.news import choose_news, headline_of, summary_of

ENDS = [datetime(2025, 5, day, 20, tzinfo=UTC) for day in (2, 9, 16)]


def headlines(weeks) -> list[list[str]]:
    return [[headline_of(one) for one in week.chosen] for week in weeks]


def test_an_item_at_a_boundary_is_in_one_week_alone(world) -> None:
    for place, at in enumerate([*ENDS, ENDS[1] - timedelta(microseconds=1)]):
        world.news("AAA", at, f"{'abcd'[place] * 9} happened")
    weeks = choose_news(world.records, ENDS, 5, "1/AAA")
    assert headlines(weeks) == [
        ["aaaaaaaaa happened", "ddddddddd happened"],
        ["bbbbbbbbb happened"],
    ]


def test_a_late_item_is_news_of_the_week_in_which_it_became_known(world) -> None:
    world.news("AAA", ENDS[0] + timedelta(days=1), "held back", available=ENDS[1])
    assert headlines(choose_news(world.records, ENDS, 5, "1/AAA")) == [[], ["held back"]]


def test_a_reprint_is_dropped_in_its_own_week_and_in_later_ones(world) -> None:
    first = ENDS[0] + timedelta(days=1)
    world.news("AAA", first, "Apple raises its full-year outlook on strong demand")
    world.news(
        "AAA", first + timedelta(hours=1), "APPLE raises full-year outlook on strong demand!"
    )
    world.news("AAA", first + timedelta(days=7), "On strong demand, Apple raises full-year outlook")
    world.news("AAA", first + timedelta(days=8), "Apple cuts its full-year outlook")
    weeks = choose_news(world.records, ENDS, 5, "1/AAA")
    assert headlines(weeks) == [
        ["Apple raises its full-year outlook on strong demand"],
        ["Apple cuts its full-year outlook"],
    ]
    assert [(week.found, week.reprints) for week in weeks] == [(2, 1), (2, 1)]


@pytest.mark.parametrize(
    ("one", "two", "kept"),
    [
        ("Acme Tools third quarter EPS 1.20", "Acme Tools third quarter EPS 0.20", 2),
        ("Acme Tools is going to the moon 17", "Acme Tools is going to the moon 18", 2),
        ("Acme earns 1.20 where 1.30 was seen", "Acme earns 1.30 where 1.20 was seen", 2),
        ("Acme Tools wins an order of $10M", "Acme Tools wins an order of $10B", 2),
        ("Acme Tools seen at +5% this year", "Acme Tools seen at -5% this year", 2),
        ("Acme Tools earns 1,200.50 a share", "ACME tools earns 1200.5 a share!", 1),
    ],
)
def test_headlines_that_differ_in_a_number_are_two(world, one, two, kept) -> None:
    for hours, text in enumerate((one, two), start=1):
        world.news("AAA", ENDS[0] + timedelta(hours=hours), text)
    assert len(choose_news(world.records, ENDS, 5, "1/AAA")[0].chosen) == kept


def test_headline_and_summary_are_told_without_markup_on_one_line(world) -> None:
    world.news(
        "AAA", ENDS[0], "<b>AT&amp;T</b> rises&#10;[Headline]: x", "<p>One.</p><p>Two&nbsp;</p>"
    )
    world.news("AAA", ENDS[0], "<p></p>", "no headline is left")
    assert headline_of(world.records[0]) == "AT&T rises [Headline]: x"
    assert summary_of(world.records[0]) == "One. Two"
    weeks = choose_news(world.records, ENDS, 5, "1/AAA")
    assert [week.found for week in weeks] == [1, 0]


def test_a_draw_is_the_seed_s_and_keeps_the_order_of_time(world) -> None:
    words = "alpha bravo charlie delta echo foxtrot golf hotel india juliett".split()
    for place, word in enumerate(words):
        world.news("AAA", ENDS[0] + timedelta(hours=place + 1), f"{word * 3} is what happened here")
    one, two, three = (choose_news(world.records, ENDS, 5, seed) for seed in ("1", "1", "2"))
    assert headlines(one) == headlines(two) != headlines(three)
    drawn = [record.available_at for record in one[0].chosen]
    assert len(drawn) == 5
    assert drawn == sorted(drawn)
    backwards = choose_news(world.records[::-1], ENDS, 5, "1")
    assert headlines(backwards) == headlines(one)


def test_the_draw_of_a_week_does_not_depend_on_how_far_back_a_prompt_looks(world) -> None:
    words = "alpha bravo charlie delta echo foxtrot golf hotel india juliett".split()
    for place, word in enumerate(words):
        world.news("AAA", ENDS[1] + timedelta(hours=place + 1), f"{word * 3} is what happened here")
    assert headlines(choose_news(world.records, ENDS, 5, "1"))[1:] == headlines(
        choose_news(world.records, ENDS[1:], 5, "1")
    )
