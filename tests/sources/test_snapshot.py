from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingpt.sources import snapshot as room
from fingpt.sources.calendar import close_of
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.records import Kind, Record
from fingpt.sources.snapshot import JoinedSnapshot, MemorySnapshot

START = datetime(2025, 1, 1, tzinfo=UTC)


def record(
    hours: float, late: float = 0, symbol: str = "AAPL", kind: Kind = Kind.NEWS, sha: str = "0"
) -> Record:
    at = START + timedelta(hours=hours)
    return Record(
        symbol=symbol,
        event_time=at,
        available_at=at + timedelta(hours=late),
        kind=kind,
        payload={"headline": f"{hours} {late}"},
        source="test",
        retrieved_at=START,
        sha256=sha,
    )


def test_what_becomes_available_at_the_moment_itself_is_not_seen() -> None:
    snapshot = MemorySnapshot([record(5)])
    at = START + timedelta(hours=5)
    assert snapshot.records(Kind.NEWS, "AAPL", before=at) == []
    assert len(snapshot.records(Kind.NEWS, "AAPL", before=at + timedelta(microseconds=1))) == 1


def test_since_is_a_matter_of_the_event_and_is_included() -> None:
    snapshot = MemorySnapshot([record(1), record(2), record(3)])
    found = snapshot.records(
        Kind.NEWS, "AAPL", before=START + timedelta(days=1), since=START + timedelta(hours=2)
    )
    assert [one.payload["headline"] for one in found] == ["2 0", "3 0"]


def test_a_symbol_that_was_forgotten_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = MemorySnapshot([record(1), record(2), record(1, symbol="MSFT")])
    asked = []
    load = snapshot.load
    monkeypatch.setattr(snapshot, "load", lambda *key: asked.append(key) or load(*key))
    at = START + timedelta(days=1)
    every = {name: snapshot.records(Kind.NEWS, name, before=at) for name in ("AAPL", "MSFT")}
    snapshot.forget("AAPL")
    assert snapshot._count == 1
    again = {name: snapshot.records(Kind.NEWS, name, before=at) for name in ("AAPL", "MSFT")}
    assert again == every
    assert [symbol for _, symbol in asked] == ["AAPL", "MSFT", "AAPL"]


HOURS = st.integers(0, 30)


@given(st.lists(st.tuples(HOURS, st.integers(0, 30)), max_size=30), HOURS, st.none() | HOURS)
def test_records_are_exactly_those_available_before_and_not_older(
    times: list[tuple[int, int]], before: int, since: int | None
) -> None:
    every = [record(hours, late, sha=str(number)) for number, (hours, late) in enumerate(times)]
    end = START + timedelta(hours=before)
    start = None if since is None else START + timedelta(hours=since)
    found = MemorySnapshot(every).records(Kind.NEWS, "AAPL", before=end, since=start)
    expected = [
        one
        for one in every
        if one.available_at < end and (start is None or one.event_time >= start)
    ]
    assert found == sorted(expected, key=lambda one: one.order)


def test_the_order_and_the_digest_do_not_depend_on_the_order_of_records() -> None:
    every = [record(1, sha="b"), record(1, sha="a"), record(1, 2)]
    snapshots = [MemorySnapshot(several) for several in permutations(every)]
    end = START + timedelta(days=1)
    orders = {
        tuple(one.sha256 for one in snapshot.records(Kind.NEWS, "AAPL", before=end))
        for snapshot in snapshots
    }
    assert orders == {("a", "b", "0")}
    assert len({snapshot.digest for snapshot in snapshots}) == 1
    assert MemorySnapshot(every[:2]).digest != snapshots[0].digest


def test_symbols_are_those_that_have_prices() -> None:
    prices = [record(1, symbol=symbol, kind=Kind.PRICE) for symbol in ("MSFT", "AAPL")]
    assert MemorySnapshot([*prices, record(1, symbol="FB")]).symbols() == ("AAPL", "MSFT")


def test_series_that_were_forgotten_are_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RECORDS_KEPT", 2)
    loads = []

    class Counting(MemorySnapshot):
        def load(self, kind: Kind, symbol: str) -> list[Record]:
            loads.append(symbol)
            return list(super().load(kind, symbol))

    snapshot = Counting([record(1), record(1, symbol="MSFT"), record(1, symbol="FB")])
    for symbol in ("AAPL", "AAPL", "MSFT", "AAPL", "FB", "AAPL", "MSFT"):
        assert len(snapshot.records(Kind.NEWS, symbol, before=START + timedelta(days=1))) == 1
    assert loads == ["AAPL", "MSFT", "FB", "MSFT"]


def test_a_joined_snapshot_takes_from_each_part_what_it_was_chosen_for() -> None:
    prices = MemorySnapshot(
        [record(1, kind=Kind.PRICE), record(1, sha="a")],
        UsagePolicy.allowing(Use.RESEARCH, Use.COMMERCIAL),
        {"one/AAPL/2025-01": "stale"},
    )
    news = MemorySnapshot(
        [record(2, sha="b"), record(2, kind=Kind.PRICE, symbol="FB")],
        UsagePolicy.allowing(Use.RESEARCH),
        {"two/AAPL/2025-01": "late"},
    )
    parts = [(prices, frozenset({Kind.PRICE})), (news, frozenset({Kind.NEWS}))]
    joined = JoinedSnapshot(parts)
    found = joined.records(Kind.NEWS, "AAPL", before=START + timedelta(days=1))
    assert [one.sha256 for one in found] == ["b"]
    assert joined.symbols() == ("AAPL",)
    assert joined.policy.denied() == tuple(use for use in Use if use is not Use.RESEARCH)
    assert list(joined.degraded) == ["one/AAPL/2025-01", "two/AAPL/2025-01"]
    other = JoinedSnapshot([(prices, frozenset({Kind.PRICE, Kind.NEWS})), parts[1]])
    assert other.digest != joined.digest


def test_times_of_any_offset_are_kept_in_utc_and_those_without_are_refused() -> None:
    given = record(0).model_dump() | {"event_time": "2025-01-02T16:00:00-05:00"}
    assert Record.model_validate(given).event_time == close_of(date(2025, 1, 2))
    assert Record.model_validate(given).event_time.tzinfo is UTC
    with pytest.raises(ValueError, match="timezone"):
        Record.model_validate(given | {"event_time": "2025-01-02T16:00:00"})
