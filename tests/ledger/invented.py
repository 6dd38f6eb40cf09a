"""Forecasts and prices for tests of the ledger: records as the forecaster leaves them, and a market made of a table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fingpt.ledger.chains import Ledger
from fingpt.ledger.keys import chain_id, entry_key
from fingpt.ledger.records import Outcome, Status
from fingpt.ledger.write import Written, write
from fingpt.prompts.examples import LABELS
from fingpt.record import canonical_json, sha256_bytes
from fingpt.storage import ObjectStore, put

RUN, OTHER = "llama31-0a1b2c3d", "deepseek-r1-4e5f6a7b"
ADAPTER = "a" * 64
CHAIN = chain_id(RUN, ADAPTER)
FIRST = datetime(2026, 1, 2, 21, tzinfo=UTC)
"""A Friday's close in New York."""
WEEK = timedelta(days=7)


def friday(week: int) -> datetime:
    """The close of week `week`, from 0."""
    return FIRST + week * WEEK


def soon(week: int) -> datetime:
    """Two hours after that close, when the weekly job runs."""
    return friday(week) + timedelta(hours=2)


def leaning(p_up: float) -> list[float]:
    """Twelve probabilities with `p_up` on the six rising labels."""
    half = len(LABELS) // 2
    return [(1 - p_up) / half] * half + [p_up / half] * half


def forecast(
    symbol: str, week: int, run: str = RUN, up: bool = True, **changes
) -> dict[str, object]:
    """One forecast record as JSON, with the fields that forecasters write."""
    as_of = changes.pop("as_of", friday(week))
    record = {
        "version": 1,
        "symbol": symbol,
        "as_of": as_of.isoformat(),
        "horizon_end": changes.pop("horizon_end", as_of + WEEK).isoformat(),
        "created_at": (as_of + timedelta(hours=1)).isoformat(),
        "run": run,
        "model": run.rpartition("-")[0],
        "adapter_sha256": ADAPTER,
        "base_sha256": "b" * 64,
        "prompt_sha256": sha256_bytes(f"{symbol} {as_of}".encode()),
        "facts_sha256": "f" * 64,
        "facts": {"symbol": symbol},
        "sources": ["files"],
        "available_at_max": as_of.isoformat(),
        "degraded": {},
        "answer": "Prediction: Up by 1-2%" if up else "Prediction: Down by 1-2%",
        "parsed": {
            "direction": 1 if up else -1,
            "margin": 1.5,
            "bin": 2,
            "sections": {},
            "reason": "",
        },
        "probabilities": leaning(0.6 if up else 0.4),
        "probabilities_calibrated": None,
        "temperature": None,
        "verdict": "no skill shown",
        "code_version": "test",
        "disclaimer": "invented",
    }
    return record | changes


def keep(store: ObjectStore, *records: dict[str, object]) -> list[str]:
    """Store records where the forecaster keeps them; their keys."""
    keys = []
    for record in records:
        day = str(record["as_of"])[:10]
        prompt = str(record["prompt_sha256"])[:12]
        key = f"forecasts/{record['run']}/{day}/{record['symbol']}-{prompt}.json"
        put(store, key, canonical_json(record))
        keys.append(key)
    return keys


def rose(symbol: str, percent: float, mean: float = 0.0) -> Outcome:
    """An outcome of that many percent."""
    number = min(max(-(-abs(percent) // 1), 1), 6)
    half = len(LABELS) // 2
    place = half - 1 + int(number) if percent >= 0 else half - int(number)
    return Outcome(
        symbol=symbol,
        status=Status.OK,
        realised_return=percent / 100,
        excess_return=(percent - mean) / 100,
        label=LABELS[place],
    )


@dataclass
class TableMarket:
    """A market made of a table: (symbol, as-of day) → outcome; `default` for what it does not hold."""

    table: Mapping[tuple[str, str], Outcome] = field(default_factory=dict)
    default: float | None = 1.5
    degraded: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return sha256_bytes(repr(sorted(self.table)).encode())

    def outcome(self, symbol: str, as_of: datetime, horizon_end: datetime) -> Outcome:
        self.asked.append(symbol)
        there = self.table.get((symbol, as_of.date().isoformat()))
        if there:
            return there
        if self.degraded:
            return Outcome(symbol=symbol, status=Status.SOURCE_DOWN, reason="invented")
        if self.default is None:
            return Outcome(symbol=symbol, status=Status.MISSING, reason="no price")
        return rose(symbol, self.default)

    def __call__(self, *_) -> TableMarket:
        return self


def dated(store: ObjectStore, key: str, when: datetime) -> None:
    """Give a stored object the time of writing that it would have had."""
    path = Path(unquote(urlsplit(store.uri).path), key)
    os.utime(path, (when.timestamp(), when.timestamp()))


def write_at(store: ObjectStore, now: datetime, *runs: str, name: str = "test") -> Written:
    """Write what there is into the ledger as if it were `now`, by both clocks."""
    written = write(store, name, runs, now)
    for entry in written.entries:
        dated(store, entry_key(name, entry.chain, entry.number), now)
    return written


def three_weeks(
    store: ObjectStore, *runs: str, symbols: tuple[str, ...] = ("AAPL", "MSFT")
) -> Ledger:
    """A ledger of three weeks, each written in time."""
    runs = runs or (RUN,)
    for week in range(3):
        keep(store, *(forecast(symbol, week, run) for run in runs for symbol in symbols))
        written = write_at(store, soon(week), *runs)
    return written.ledger
