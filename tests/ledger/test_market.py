"""Outcomes come from the function that labels training rows, and what a source could not deliver is said to be that."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import PermissionDeniedError
from fingpt.ledger.market import SnapshotMarket, market_opener
from fingpt.ledger.records import Status
from fingpt.sources.calendar import as_of, sessions
from fingpt.sources.opening import JOINED
from fingpt.sources.policy import Use
from fingpt.sources.records import Kind, Record
from fingpt.sources.snapshot import MemorySnapshot
from fingpt.synthetic.market import write_market

FIRST, LAST = date(2026, 1, 2), date(2026, 1, 9)
START, END = as_of(FIRST), as_of(LAST)


def price(symbol: str, day: date, close: float) -> Record:
    at = as_of(day)
    payload = dict.fromkeys(("open", "high", "low", "close"), close) | {
        "volume": 1,
        "currency": "USD",
    }
    return Record(
        symbol=symbol,
        event_time=at,
        available_at=at + timedelta(minutes=1),
        kind=Kind.PRICE,
        payload=payload,
        source="files",
        retrieved_at=datetime(2026, 2, 1, tzinfo=UTC),
        sha256="0" * 64,
    )


@pytest.fixture
def records() -> list[Record]:
    """AAPL rises by 2 %, MSFT falls by 1 %, NVDA is not traded after the first session."""
    ends = {"AAPL": 102.0, "MSFT": 99.0}
    made = [
        price(symbol, day, end if day == LAST else 100.0)
        for symbol, end in ends.items()
        for day in sessions(FIRST, LAST)
    ]
    return [*made, price("NVDA", FIRST, 100.0)]


def test_returns_labels_and_excess_are_those_of_training_rows(records):
    market = SnapshotMarket(MemorySnapshot(records), ["AAPL", "MSFT", "GONE"])
    found = market.outcome("AAPL", START, END)
    assert (found.status, found.label) == (Status.OK, "up by 1-2%")
    assert found.realised_return == pytest.approx(0.02)
    assert found.excess_return == pytest.approx(0.02 - 0.005)


def test_excess_is_over_the_named_universe_whatever_else_has_prices(records):
    more = [price("LATE", day, 150.0 if day == LAST else 100.0) for day in sessions(FIRST, LAST)]
    snapshot = MemorySnapshot([*records, *more])

    def excess(*others):
        return SnapshotMarket(snapshot, others).outcome("AAPL", START, END).excess_return

    assert excess("AAPL", "MSFT") == pytest.approx(0.02 - 0.005)
    assert excess("AAPL", "MSFT", "GONE") == excess("AAPL", "MSFT")
    assert excess("LATE") == pytest.approx(0.02 - 0.5)
    assert excess("AAPL") is None


@pytest.mark.parametrize("benchmark", ["", "CCC"])
def test_scores_are_against_the_forecast_symbols_or_the_benchmark_of_sources(
    store, tmp_path, benchmark
):
    market, sources = tmp_path / "market", tmp_path / "sources.yaml"
    write_market(market, ("AAA", "BBB", "CCC"), date(2025, 11, 3), LAST, seed=3)
    sources.write_text(f"features: {{benchmark: '{benchmark}'}}\n")
    opened = market_opener(store, str(sources), str(market))(("AAA", "BBB"), START, END)
    found = {symbol: opened.outcome(symbol, START, END) for symbol in ("AAA", "BBB", "CCC")}
    change = {symbol: one.realised_return for symbol, one in found.items()}
    over = change["CCC"] if benchmark else (change["AAA"] + change["BBB"]) / 2
    assert len(set(change.values())) == 3
    for symbol in ("AAA", "BBB"):
        assert found[symbol].excess_return == pytest.approx(change[symbol] - over)


def test_no_price_is_a_status_with_its_reason(records):
    market = SnapshotMarket(MemorySnapshot(records), ["AAPL", "MSFT"])
    found = market.outcome("NVDA", START, END)
    assert (found.status, found.reason) == (Status.DELISTED, "the last close is of 2026-01-02")
    assert market.outcome("GONE", START, END).reason == "there is no close"


@pytest.mark.parametrize(
    ("part", "status"),
    [
        ("files/NVDA/2026-01", Status.SOURCE_DOWN),
        ("files/NVDA/2025-12", Status.DELISTED),
        ("files/AAPL/2026-01", Status.DELISTED),
    ],
)
def test_a_source_that_failed_for_the_week_is_down_and_nothing_else(records, part, status):
    snapshot = MemorySnapshot(records, degraded={part: "429, asked again in an hour"})
    assert SnapshotMarket(snapshot, ["AAPL"]).outcome("NVDA", START, END).status is status


@pytest.fixture
def prohibiting(tmp_path):
    """Writes a folder of prices whose policy prohibits one use; gives its path."""

    def write(use: Use) -> str:
        lines = ["symbol,date,open,high,low,close"]
        for day in sessions(FIRST, LAST):
            lines.append(f"AAPL,{day},{','.join(4 * ['102' if day == LAST else '100'])}")
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "prices.csv").write_text("\n".join(lines) + "\n")
        (folder / "folder.yaml").write_text(f"policy: {{{use}: prohibited}}\n")
        return str(folder)

    return write


def test_prices_that_no_model_may_be_asked_about_score_its_forecasts(store, prohibiting):
    data = prohibiting(Use.MODEL_PROCESSING)
    market = market_opener(store, "", data)(("AAPL",), START, END)
    assert market.outcome("AAPL", START, END).label == "up by 1-2%"


@pytest.mark.parametrize("use", JOINED)
def test_prices_that_may_not_be_kept_score_nothing(store, prohibiting, use):
    with pytest.raises(PermissionDeniedError, match=f"prohibits {use}"):
        market_opener(store, "", prohibiting(use))(("AAPL",), START, END)
    assert list(store.keys("sources/")) == []
