"""Weekly requests: which week is over, holidays, a job that fires twice, a missed week, a source that is down."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from fingpt.errors import TransientError
from fingpt.forecast.request import make_request
from fingpt.forecast.weeks import (
    ask_weeks,
    await_request,
    last_week_over,
    mark_key,
    requests_of_weeks,
    weeks_to_ask,
)
from tests.forecast.conftest import FRIDAY, Remembered, Weekdays

WEEK = timedelta(days=7)


class WithHolidays(Weekdays):
    """Weekdays, but for `closed`."""

    def __init__(self, *closed: date) -> None:
        self.closed = set(closed)

    def close_on_or_before(self, day: date) -> datetime:
        while day.weekday() > 4 or day in self.closed:
            day -= timedelta(days=1)
        return datetime.combine(day, time(21), UTC)


def maker(exchange, view: Remembered | None = None, made: list | None = None):
    def make(close: datetime):
        if made is not None:
            made.append(close)
        span = (close - timedelta(days=70), close)
        known = view or Remembered({"AAPL": span}, known_at=close - timedelta(hours=1))
        return make_request(known, exchange, ["AAPL"], close)

    return make


@pytest.mark.parametrize(
    ("now", "close"),
    [
        (FRIDAY - timedelta(seconds=1), FRIDAY - WEEK),
        (FRIDAY, FRIDAY),
        (FRIDAY + timedelta(hours=2), FRIDAY),
        (FRIDAY + timedelta(days=2), FRIDAY),  # Sunday
        (FRIDAY + timedelta(days=3), FRIDAY),  # Monday
        (FRIDAY + timedelta(days=6, hours=23), FRIDAY),  # Friday, before the close
    ],
)
def test_a_week_is_over_when_its_last_session_has_closed(exchange, now, close):
    assert last_week_over(exchange, now) == close


def test_a_friday_that_is_a_holiday_ends_the_week_on_thursday():
    exchange = WithHolidays(FRIDAY.date())
    thursday = FRIDAY - timedelta(days=1)
    assert last_week_over(exchange, thursday) == thursday
    assert last_week_over(exchange, FRIDAY) == thursday
    assert last_week_over(exchange, thursday - timedelta(seconds=1)) == FRIDAY - WEEK


def test_a_week_without_any_session_has_no_forecast_of_its_own(store):
    monday = FRIDAY.date() - timedelta(days=4)
    exchange = WithHolidays(*(monday + timedelta(days=n) for n in range(5)))
    assert last_week_over(exchange, FRIDAY) == FRIDAY - WEEK
    ask_weeks(store, exchange, FRIDAY - WEEK, maker(exchange))
    ask_weeks(store, exchange, FRIDAY + WEEK, maker(exchange))
    found = [request.as_of for request in requests_of_weeks(store, FRIDAY + WEEK)]
    assert found == [FRIDAY + WEEK, FRIDAY - WEEK]


def test_a_job_that_fires_twice_makes_one_request(exchange, store):
    made: list[datetime] = []
    (first,) = ask_weeks(store, exchange, FRIDAY, maker(exchange, made=made))
    other = Remembered({"AAPL": (FRIDAY - 10 * WEEK, FRIDAY)}, known_at=FRIDAY - WEEK)
    assert ask_weeks(store, exchange, FRIDAY + WEEK / 2, maker(exchange, other, made)) == []
    assert made == [FRIDAY]
    assert requests_of_weeks(store, FRIDAY) == [first]


def test_of_two_jobs_at_once_the_first_one_s_request_stands(exchange, store):
    other = Remembered({"AAPL": (FRIDAY - 10 * WEEK, FRIDAY)}, known_at=FRIDAY - WEEK)

    def overtaken(close: datetime):
        ask_weeks(store, exchange, FRIDAY, maker(exchange))
        return maker(exchange, other)(close)

    (request,) = ask_weeks(store, exchange, FRIDAY, overtaken)
    assert request.questions[0].available_at_max == FRIDAY - timedelta(hours=1)


def test_a_missed_week_is_caught_up_after_the_new_one_and_is_late(exchange, store):
    ask_weeks(store, exchange, FRIDAY, maker(exchange))
    now = FRIDAY + 3 * WEEK
    made = ask_weeks(store, exchange, now, maker(exchange))
    assert [request.as_of for request in made] == [now, FRIDAY + WEEK, FRIDAY + 2 * WEEK]
    assert [now >= request.due for request in made] == [False, True, True]
    assert weeks_to_ask(store, exchange, now) == []


def test_nothing_before_the_first_week_was_missed_nor_before_a_long_silence(exchange, store):
    assert weeks_to_ask(store, exchange, FRIDAY) == [FRIDAY]
    ask_weeks(store, exchange, FRIDAY, maker(exchange))
    assert weeks_to_ask(store, exchange, FRIDAY + 9 * WEEK) == [FRIDAY + 9 * WEEK]


def test_a_week_whose_source_was_down_is_tried_again(exchange, store):
    def down(close: datetime):
        raise TransientError("The source is down.")

    with pytest.raises(TransientError):
        ask_weeks(store, exchange, FRIDAY, down)
    assert not store.exists(mark_key(FRIDAY))
    assert len(ask_weeks(store, exchange, FRIDAY, maker(exchange))) == 1


def test_a_store_that_refuses_leaves_no_mark(exchange, store, monkeypatch):
    real = store.create

    def refuse(key: str, data: bytes) -> bool:
        if key.startswith("requests/"):
            raise TransientError("The bucket refuses.")
        return real(key, data)

    monkeypatch.setattr(store, "create", refuse)
    with pytest.raises(TransientError, match="refuses"):
        ask_weeks(store, exchange, FRIDAY, maker(exchange))
    assert list(store.keys()) == []


def test_who_answers_waits_for_the_request_of_the_newest_week(exchange, store):
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            ask_weeks(store, exchange, FRIDAY, maker(exchange))

    await_request(store, exchange, FRIDAY, sleep)
    await_request(store, exchange, FRIDAY, sleep)
    assert slept == [60.0] * 3
    with pytest.raises(TransientError, match="ended on 2026-11-27 has no request after 6 hours"):
        await_request(store, exchange, FRIDAY + WEEK, lambda _: None)


def test_answers_are_looked_for_without_any_calendar(exchange, store):
    for number in range(3):
        ask_weeks(store, exchange, FRIDAY + number * WEEK, maker(exchange))
    found = requests_of_weeks(store, FRIDAY + 2 * WEEK + timedelta(days=3))
    assert [request.as_of for request in found] == [FRIDAY + n * WEEK for n in (2, 1, 0)]
