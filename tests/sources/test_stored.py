from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import DataError
from fingpt.sources.calendar import close_of
from fingpt.sources.fetching import Wanted, fetch
from fingpt.sources.month import Month
from fingpt.sources.protocol import Answer
from fingpt.sources.raw_store import RawStore
from fingpt.sources.records import Kind, Record
from fingpt.sources.stored import StoredSnapshot
from fingpt.storage import ObjectStore
from tests.sources.invented import Invented

KINDS = frozenset({Kind.PRICE, Kind.ACTION, Kind.NEWS})
LATER = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def source() -> Invented:
    return Invented(KINDS)


def snapshot(store: ObjectStore, source: Invented, *symbols: str) -> StoredSnapshot:
    wanted = Wanted(KINDS, symbols or ("AAPL",), date(2025, 1, 1), date(2025, 2, 28))
    fetched = fetch(RawStore(store), source, wanted, source.clock)
    return StoredSnapshot(RawStore(store), source, fetched.kept, fetched.reasons)


def test_records_come_from_the_store_without_asking(store: ObjectStore, source: Invented) -> None:
    stored = snapshot(store, source, "AAPL", "MSFT")
    source.asked.clear()
    found = stored.records(Kind.PRICE, "AAPL", before=close_of(date(2025, 1, 6)))
    assert [one.event_time for one in found] == [
        close_of(date(2025, 1, 2)),
        close_of(date(2025, 1, 3)),
    ]
    assert stored.symbols() == ("AAPL", "MSFT")
    assert stored.degraded == {}
    assert source.asked == []


def test_the_same_raw_answers_have_the_same_digest_and_others_another(
    store: ObjectStore, source: Invented
) -> None:
    first = snapshot(store, source)
    again = snapshot(store, source)
    assert first.digest == again.digest
    assert snapshot(store, source, "AAPL", "MSFT").digest != first.digest
    raw, kept = RawStore(store), first.kept
    assert StoredSnapshot(raw, source, kept[::-1]).digest == first.digest
    assert StoredSnapshot(raw, source, kept, {"invented/AAPL/2025-03": "x"}).digest != first.digest
    assert StoredSnapshot(raw, source, kept, settings={"a": 1}).digest != first.digest


def test_a_failed_part_is_degraded(store: ObjectStore, source: Invented) -> None:
    source.faults[Kind.NEWS, "AAPL", "2025-02"] = DataError("It was empty.")
    stored = snapshot(store, source)
    assert stored.degraded == {"invented/AAPL/2025-02": "news: It was empty."}
    assert len(stored.records(Kind.NEWS, "AAPL", before=LATER)) == 20


def test_a_part_of_the_prices_that_failed_also_shows_as_a_gap(
    store: ObjectStore, source: Invented
) -> None:
    source.faults[Kind.PRICE, "AAPL", "2025-01"] = DataError("It was empty.")
    source.faults[Kind.PRICE, "MSFT", "2025-02"] = DataError("It was empty.")
    degraded = snapshot(store, source, "AAPL", "MSFT").degraded
    assert degraded["invented/AAPL/2025-01"] == "price: It was empty."
    assert (
        "prices end on 2025-01-31, those of others on 2025-02-28"
        in degraded["invented/MSFT/2025-01"]
    )


def test_what_two_answers_say_alike_is_one_record(
    store: ObjectStore, source: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = list(source.fetch(Kind.PRICE, "AAPL", Month(2025, 1)))
    monkeypatch.setattr(source, "fetch", lambda *_: iter([*once, *once]))
    wanted = Wanted(frozenset({Kind.PRICE}), ("AAPL",), date(2025, 1, 1), date(2025, 1, 31))
    fetched = fetch(RawStore(store), source, wanted, source.clock)
    stored = StoredSnapshot(RawStore(store), source, fetched.kept)
    assert len(stored.records(Kind.PRICE, "AAPL", before=LATER)) == 20


def test_prices_that_do_not_show_a_split_of_their_own_source_are_refused(
    store: ObjectStore, source: Invented
) -> None:
    source.split = date(2025, 2, 4), 4.0
    with pytest.raises(DataError, match="invented names a split of AAPL, 4 for 1, on 2025-02-04"):
        snapshot(store, source)


@pytest.mark.parametrize("amount", [60.0, 500.0])
def test_a_dividend_that_cannot_be_is_refused_and_one_that_is_rare_is_named(
    store: ObjectStore, source: Invented, monkeypatch: pytest.MonkeyPatch, amount: float
) -> None:
    source.split, read = (date(2025, 2, 4), 1.0), source.read

    def dividends(answer: Answer) -> Iterator[Record]:
        for one in read(answer):
            payload = {"type": "dividend", "amount": amount}
            yield one.model_copy(update={"payload": payload} if one.kind is Kind.ACTION else {})

    monkeypatch.setattr(source, "read", dividends)
    if amount > 100:
        with pytest.raises(DataError, match="dividend of 500 for a share of AAPL on 2025-02-04"):
            snapshot(store, source)
    else:
        (why,) = snapshot(store, source).degraded.values()
        assert why.startswith("a dividend of 60 on 2025-02-04 after a close of 10")


def test_a_price_at_no_session_s_close_is_refused(
    store: ObjectStore, source: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = source.read

    def early(answer: Answer) -> list[Record]:
        return [
            one.model_copy(update={"event_time": one.event_time - timedelta(hours=1)})
            for one in read(answer)
        ]

    monkeypatch.setattr(source, "read", early)
    with pytest.raises(
        DataError, match=r"invented has a price of AAPL at .* of no session of XNYS"
    ):
        snapshot(store, source)
