"""The weekly forecasts: which week is over, which ones were missed, and the one request that each week has.

A week is over when the last session on or before its Friday has closed: the exchange's calendar says so, no weekday.
The first request of a week stands: a create-only mark names it, so a job that fires twice asks the same. A week without
a mark that follows one with a mark was missed; its request is made as of its own close, and what is answered then is
late by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta

from fingpt import log
from fingpt.errors import TransientError
from fingpt.forecast.record import ForecastRequest, keep_request, read_request
from fingpt.forecast.request import Exchange
from fingpt.record import Frozen, Moment
from fingpt.runs.manifest import decode, encode
from fingpt.storage import ObjectStore

LOOKED_BACK = 8
"""Weeks in which a missed one is looked for; after a longer silence the forecasts begin anew."""
WAIT_SECONDS = 21600.0
"""As long as making a request may take in the chart."""
_POLL_SECONDS = 60.0
_FRIDAY = 4
_WEEK = timedelta(days=7)


class WeekMark(Frozen):
    """The request of the week that ended at the close `as_of`."""

    as_of: Moment
    request: str


def mark_key(as_of: datetime) -> str:
    """`weeks/<day of the close>.json`."""
    return _key_of(as_of.date())


def _key_of(day: date) -> str:
    return f"weeks/{day}.json"


def last_week_over(exchange: Exchange, now: datetime) -> datetime:
    """The close of the newest week that is over at `now`."""
    friday = _friday(now.date())
    close = exchange.close_on_or_before(friday)
    while close > now or close.date() <= friday - _WEEK:  # not over yet, or without any session
        friday -= _WEEK
        close = exchange.close_on_or_before(friday)
    return close


def weeks_to_ask(store: ObjectStore, exchange: Exchange, now: datetime) -> list[datetime]:
    """The closes whose weeks lack a request: the newest first, then those that were missed, oldest first."""
    newest = last_week_over(exchange, now)
    closes = _before(exchange, newest)
    known = [store.exists(mark_key(close)) for close in closes]
    begun = known.index(True) if True in known else len(closes)
    missed = [
        close for close, is_known in zip(closes[begun:], known[begun:], strict=True) if not is_known
    ]
    for close in missed:
        log.warning("a week was missed; it is caught up, and late", close=str(close.date()))
    return ([] if store.exists(mark_key(newest)) else [newest]) + missed


def ask_weeks(
    store: ObjectStore,
    exchange: Exchange,
    now: datetime,
    make: Callable[[datetime], ForecastRequest],
) -> list[ForecastRequest]:
    """Make and mark the requests of all weeks that lack one; `make` gives the request as of a close.

    A week whose request cannot be made has no mark and is tried again by the next call.
    """
    made = []
    for close in weeks_to_ask(store, exchange, now):
        request = make(close)
        mark = WeekMark(as_of=close, request=keep_request(store, request))
        if store.create(mark_key(close), encode(mark)):
            log.event("request made", close=str(close.date()), questions=len(request.questions))
            for symbol, why in request.refused.items():
                log.warning("not asked", symbol=symbol, why=why)
        made.append(_read(store, mark_key(close)))
    return made


def await_request(
    store: ObjectStore,
    exchange: Exchange,
    now: datetime,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the newest week that is over at `now` has its request; TransientError after WAIT_SECONDS.

    Who makes requests and who has them answered start at the same time, in pods with different rights.
    """
    close = last_week_over(exchange, now)
    waited = 0.0
    while not store.exists(mark_key(close)):
        if waited >= WAIT_SECONDS:
            raise TransientError(
                f"The week that ended on {close.date()} has no request after {waited / 3600:.0f} hours: whatever makes "
                "requests has failed; see its log, and repeat this."
            )
        if not waited:
            log.event("waiting for the request of the week", close=str(close.date()))
        sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS


def requests_of_weeks(store: ObjectStore, now: datetime) -> list[ForecastRequest]:
    """The requests of the weeks looked back at, the newest first: what every run has to answer.

    Needs no calendar, so that it works where no data source does: marks are looked for day by day.
    """
    days = (now.date() - timedelta(days=n) for n in range((LOOKED_BACK + 1) * _WEEK.days))
    keys = (_key_of(day) for day in days)
    return [_read(store, key) for key in keys if store.exists(key)]


def _read(store: ObjectStore, key: str) -> ForecastRequest:
    return read_request(store, decode(WeekMark, store.read(key), key).request)


def _before(exchange: Exchange, newest: datetime) -> list[datetime]:
    """Closes of the weeks before, oldest first; a week without a session has none of its own."""
    friday = _friday(newest.date())
    closes = [exchange.close_on_or_before(friday - _WEEK * n) for n in range(LOOKED_BACK, 0, -1)]
    return [close for close in dict.fromkeys(closes) if close < newest]


def _friday(day: date) -> date:
    """The Friday of the week of `day`, which begins on Monday."""
    return day + timedelta(days=_FRIDAY - day.weekday())
