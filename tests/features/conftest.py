"""Small worlds to build from: records one by one, and an invented market."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from fingpt.sources.calendar import close_of, open_of, sessions
from fingpt.sources.records import Kind, Record
from fingpt.sources.snapshot import MemorySnapshot
from fingpt.synthetic.market import market_records

START, END = date(2023, 6, 1), date(2025, 6, 30)
SYMBOLS = ("AAA", "BBB", "CCC")


def record(kind, symbol, event, payload, available=None, source="test") -> Record:
    return Record(
        symbol=symbol,
        event_time=event,
        available_at=available or event,
        kind=kind,
        payload=payload,
        source=source,
        retrieved_at=datetime(2026, 1, 1, tzinfo=UTC),
        sha256=f"{source}/{event}/{payload}",
    )


class World:
    """Records put together by a test; `snapshot()` shows them."""

    def __init__(self):
        self.records: list[Record] = []

    def price(self, symbol, day, close, available=None):
        at = close_of(day)
        payload = dict.fromkeys(("open", "high", "low", "close"), close)
        payload |= {"volume": 1, "currency": "USD"}
        self.records.append(record(Kind.PRICE, symbol, at, payload, available))
        return self

    def flat(self, symbol, first, last, close=100.0):
        for day in sessions(first, last):
            self.price(symbol, day, close)
        return self

    def action(self, symbol, day, kind, value):
        name = "ratio" if kind == "split" else "amount"
        payload = {"type": kind, name: value}
        self.records.append(record(Kind.ACTION, symbol, open_of(day), payload))
        return self

    def news(self, symbol, at, headline, summary="", available=None):
        payload = {"headline": headline, "summary": summary, "url": None, "publisher": None}
        self.records.append(record(Kind.NEWS, symbol, at, payload, available))
        return self

    def filing(self, symbol, period_end, accepted, metrics, form="10-Q"):
        payload = {"period_end": period_end.isoformat(), "form": form, "metrics": metrics}
        event = datetime.combine(period_end, datetime.min.time(), UTC)
        self.records.append(record(Kind.FUNDAMENTALS, symbol, event, payload, accepted))
        return self

    def figure(self, series, period_end, released, value):
        payload = {"series": series, "value": value, "unit": "index", "period": str(period_end)}
        event = datetime.combine(period_end, datetime.min.time(), UTC)
        self.records.append(record(Kind.MACRO, "", event, payload, released))
        return self

    def signal(self, symbol, at, name, value):
        self.records.append(record(Kind.SIGNAL, symbol, at, {"name": name, "value": value}))
        return self

    def profile(self, symbol, **fields):
        payload = {
            "name": f"{symbol} Works",
            "asset": "stock",
            "exchange": "Meridian",
            "industry": "Tools",
            "country": "Norvale",
            **fields,
        }
        self.records.append(record(Kind.PROFILE, symbol, datetime(1980, 1, 1, tzinfo=UTC), payload))
        return self

    def snapshot(self, **named) -> MemorySnapshot:
        return MemorySnapshot(self.records, **named)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def invented() -> list[Record]:
    return list(market_records(SYMBOLS, START, END, seed=3))


@pytest.fixture(scope="session")
def market(invented) -> MemorySnapshot:
    return MemorySnapshot(invented)


@pytest.fixture(scope="session")
def flat_records() -> list[Record]:
    return World().flat("AAA", date(2025, 5, 1), date(2025, 5, 16)).records
