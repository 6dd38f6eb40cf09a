"""An invented source: what it says is made from its arguments, or fails as a test wants it to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime

from fingpt.errors import DataError, FingptError
from fingpt.sources.calendar import close_of, open_of, sessions
from fingpt.sources.fetching import Wanted
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

NOW = datetime(2025, 3, 10, 12, tzinfo=UTC)
SHORT = Wanted(frozenset({Kind.PRICE, Kind.NEWS}), ("AAPL",), date(2025, 1, 15), date(2025, 3, 7))
"""Six parts: two kinds of one symbol in two months that are over at NOW and one that is not."""


class Invented:
    """A source of prices, actions and news; `asked` are the requests it got, `faults` what it answers instead."""

    name = "invented"
    policy = UsagePolicy.allowing(Use.RESEARCH)

    def __init__(self, kinds: frozenset[Kind] = frozenset({Kind.PRICE, Kind.NEWS})) -> None:
        self.asked: list[tuple[Kind, str, str]] = []
        self.faults: dict[tuple[Kind, str, str], FingptError] = {}
        self.able = Capabilities(kinds)
        self.now = NOW
        self.split: tuple[date, float] | None = None

    def capabilities(self) -> Capabilities:
        return self.able

    def clock(self) -> datetime:
        return self.now

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        place = kind, symbol, str(month)
        self.asked.append(place)
        if kind is Kind.ACTION and not (self.split and Month.of(self.split[0]) == month):
            return
        days = sessions(month.first, min(month.last, self.now.date()))
        for half in (days[:10], days[10:]):
            body = json.dumps([day.isoformat() for day in half]).encode()
            yield Answer(self.name, kind, symbol, month, f"/{kind}?of={symbol}", self.now, body)
            if place in self.faults:
                raise self.faults[place]

    def read(self, answer: Answer) -> Iterator[Record]:
        try:
            days = [date.fromisoformat(day) for day in json.loads(answer.body)]
        except ValueError:
            raise DataError(f"{self.name} answered with no list of days.") from None
        for day in days:
            price = 100.0 + day.toordinal() % 7
            at = open_of(day) if answer.kind is Kind.ACTION else close_of(day)
            payload = {
                Kind.PRICE: {"open": price, "high": price, "low": price, "close": price},
                Kind.NEWS: {"headline": f"On {day}", "summary": "", "url": None, "publisher": None},
                Kind.ACTION: {"type": "split", "ratio": self.split and self.split[1]},
            }[answer.kind]
            if answer.kind is not Kind.ACTION or (self.split and day == self.split[0]):
                yield Record(
                    symbol=answer.symbol,
                    event_time=at,
                    available_at=at,
                    kind=answer.kind,
                    payload=payload,
                    source=self.name,
                    retrieved_at=answer.retrieved_at,
                    sha256=answer.sha256,
                )
