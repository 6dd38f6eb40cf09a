from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from fingpt.errors import (
    DataError,
    FingptError,
    Interrupted,
    MissingInputError,
    PermissionDeniedError,
    StorageError,
    TransientError,
)
from fingpt.sources.fetching import Fetched, Wanted, fetch, require
from fingpt.sources.month import Month
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.raw_store import Part, RawStore
from fingpt.sources.records import Kind
from fingpt.storage import ObjectStore
from tests.sources.invented import Invented

BOTH = frozenset({Kind.PRICE, Kind.NEWS})
WANTED = Wanted(BOTH, ("AAPL", "MSFT"), date(2025, 1, 15), date(2025, 3, 7))


@pytest.fixture
def source() -> Invented:
    return Invented()


def run(store: ObjectStore, source: Invented, wanted: Wanted = WANTED) -> Fetched:
    return fetch(RawStore(store), source, wanted, source.clock)


def part(month: str = "2025-01", kind: Kind = Kind.PRICE, symbol: str = "AAPL") -> Part:
    return Part(source="invented", kind=kind, symbol=symbol, month=month)


def test_every_part_is_fetched_once_and_answers_are_kept_by_their_hash(
    store: ObjectStore, source: Invented
) -> None:
    fetched = run(store, source)
    assert len(source.asked) == len(fetched.kept) == 2 * 2 * 3
    assert fetched.failed == {}
    for kept in fetched.kept:
        for stored in kept.retrieval.answers:
            assert store.exists(f"sources/answers/{stored.sha256[:2]}/{stored.sha256}")


def test_what_is_over_is_never_asked_for_again(store: ObjectStore, source: Invented) -> None:
    first = run(store, source)
    source.asked.clear()
    assert {kept.key for kept in run(store, source).kept} == {kept.key for kept in first.kept}
    assert source.asked == []


def test_a_month_that_was_fetched_before_it_was_over_is_fetched_again(
    store: ObjectStore, source: Invented
) -> None:
    wanted = Wanted(frozenset({Kind.PRICE}), ("AAPL",), date(2025, 2, 1), date(2025, 3, 31))
    run(store, source, wanted)
    source.asked.clear()
    source.now += timedelta(days=2)
    found = run(store, source, wanted)
    assert source.asked == [(Kind.PRICE, "AAPL", "2025-03")]
    assert sorted(kept.key.rpartition("/")[2] for kept in found.kept) == ["0001.json", "0002.json"]
    source.now = datetime(2025, 4, 1, tzinfo=UTC)
    run(store, source, wanted)
    source.asked.clear()
    run(store, source, wanted)
    assert source.asked == []


def test_a_fetch_that_was_interrupted_goes_on_where_it_was(
    store: ObjectStore, source: Invented
) -> None:
    source.faults[Kind.NEWS, "MSFT", "2025-02"] = Interrupted("SIGTERM was honoured.")
    with pytest.raises(Interrupted):
        run(store, source)
    assert RawStore(store).newest(part("2025-02", Kind.NEWS, "MSFT")) == (0, None)
    done = len(source.asked) - 1
    source.asked.clear()
    source.faults.clear()
    assert len(run(store, source).kept) == 12
    assert len(source.asked) == 12 - done


def test_a_part_that_fails_leaves_nothing_and_others_go_on(
    store: ObjectStore, source: Invented
) -> None:
    source.faults[Kind.PRICE, "AAPL", "2025-02"] = DataError("It answered with an HTML page.")
    fetched = run(store, source)
    assert len(fetched.kept) == 11
    assert fetched.reasons == {"invented/AAPL/2025-02": "price: It answered with an HTML page."}
    assert RawStore(store).newest(part("2025-02")) == (0, None)


def test_an_answer_that_cannot_be_read_is_a_failure_and_not_kept(
    store: ObjectStore, source: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    def html(kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        yield Answer("invented", kind, symbol, month, "/", source.now, b"<html>")

    monkeypatch.setattr(source, "fetch", html)
    fetched = run(store, source)
    assert fetched.kept == []
    assert len(fetched.failed) == 12
    assert list(store.keys("sources/")) == []


def test_a_refused_key_ends_the_asking_for_its_kind_alone(
    store: ObjectStore, source: Invented
) -> None:
    source.faults[Kind.NEWS, "AAPL", "2025-01"] = PermissionDeniedError("The key is refused.")
    fetched = run(store, source)
    assert sum(kind is Kind.NEWS for kind, *_ in source.asked) == 1
    assert {failed.kind for failed in fetched.failed} == {Kind.NEWS}
    assert len(fetched.failed) == len(fetched.kept) == 6
    assert "since before: The key is refused." in fetched.reasons["invented/MSFT/2025-03"]


def test_an_unknown_symbol_is_asked_for_once(store: ObjectStore, source: Invented) -> None:
    source.faults[Kind.PRICE, "AAPL", "2025-01"] = MissingInputError("It does not know AAPL.")
    fetched = run(store, source)
    assert source.asked.count((Kind.PRICE, "AAPL", "2025-02")) == 0
    assert source.asked.count((Kind.PRICE, "MSFT", "2025-02")) == 1
    assert len(fetched.failed) == 3


def test_a_source_that_is_down_is_left_after_three_parts(
    store: ObjectStore, source: Invented
) -> None:
    for symbol in ("AAPL", "MSFT"):
        for month in ("2025-01", "2025-02", "2025-03"):
            source.faults[Kind.NEWS, symbol, month] = TransientError("503")
    fetched = run(store, source)
    assert sum(kind is Kind.NEWS for kind, *_ in source.asked) == 3
    assert len(fetched.failed) == 6


def test_what_the_store_refuses_ends_the_fetch(
    store: ObjectStore, source: Invented, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: str, data: bytes) -> bool:
        raise StorageError("No space left.")

    monkeypatch.setattr(store, "create", full)
    with pytest.raises(StorageError, match="No space"):
        run(store, source)
    assert len(source.asked) == 1


def test_what_a_source_says_it_has_not_is_not_asked_for(
    store: ObjectStore, source: Invented
) -> None:
    source.able = Capabilities(BOTH, symbols=frozenset({"AAPL"}), earliest=date(2025, 2, 3))
    fetched = run(store, source)
    assert {(symbol, month) for _, symbol, month in source.asked} == {
        ("AAPL", "2025-02"),
        ("AAPL", "2025-03"),
    }
    assert "begins on 2025-02-03" in fetched.reasons["invented/AAPL/2025-01"]
    assert "does not have MSFT" in fetched.reasons["invented/MSFT/2025-03"]


def test_months_to_come_are_not_asked_for(store: ObjectStore, source: Invented) -> None:
    wanted = Wanted(frozenset({Kind.NEWS}), ("AAPL",), date(2025, 3, 1), date(2025, 6, 30))
    assert len(run(store, source, wanted).kept) == 1
    assert source.asked == [(Kind.NEWS, "AAPL", "2025-03")]


def test_macro_figures_are_asked_for_without_a_symbol(store: ObjectStore, source: Invented) -> None:
    source.able = Capabilities(frozenset({Kind.MACRO}))
    source.faults = {(Kind.MACRO, "", "2025-01"): DataError("none")}
    wanted = Wanted(frozenset({Kind.MACRO}), ("AAPL",), date(2025, 1, 1), date(2025, 1, 31))
    assert list(run(store, source, wanted).failed) == [part(kind=Kind.MACRO, symbol="")]


@pytest.mark.parametrize(
    "kind", [DataError, MissingInputError, PermissionDeniedError, TransientError]
)
def test_a_failure_that_may_not_be_ends_with_its_own_exit_code(kind: type[FingptError]) -> None:
    fetched = Fetched(
        failed={part(month, Kind.NEWS): kind("So it said.") for month in ("2025-01", "2025-02")}
    )
    require(fetched, [Kind.NEWS])
    with pytest.raises(
        kind, match=r"news of AAPL for 2025-01: So it said\. So did 1 more"
    ) as caught:
        require(fetched, [Kind.PRICE])
    assert "allow_missing: [news]" in str(caught.value)


def test_progress_tells_the_time_left(
    store: ObjectStore, source: Invented, capsys: pytest.CaptureFixture[str]
) -> None:
    from fingpt import log

    log.setup()
    run(store, source)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    said = [line for line in lines if line["event"] == "progress"]
    assert said[-1]["done"] == said[-1]["total"] == 12
    assert all("eta_seconds" in line for line in said)
