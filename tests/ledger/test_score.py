"""Scoring: every forecast gets a status, what is final stays, what could not be had is tried again."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from pydantic import ValidationError

from fingpt.errors import StorageError
from fingpt.ledger.chains import open_ledger, read_chain
from fingpt.ledger.keys import entry_key, score_key
from fingpt.ledger.records import Outcome, Status
from fingpt.ledger.score import PATIENCE, last_score, score
from fingpt.record import canonical_json, sha256_bytes
from tests.ledger.invented import CHAIN, TableMarket, rose, soon, three_weeks


@pytest.fixture
def ledger(store):
    return three_weeks(store)


def last(ledger, n: int = 1):
    return last_score(ledger.store, read_chain(ledger, CHAIN)[n - 1])


def test_weeks_that_are_over_are_scored_and_the_others_wait(ledger):
    done = score(ledger, TableMarket({("AAPL", "2026-01-02"): rose("AAPL", -2.5, 1.0)}), soon(2))
    assert ([one.number for one in done.scores], done.waiting) == ([1, 2], 1)
    first = last(ledger)
    assert first.entry_sha256 == read_chain(ledger, CHAIN)[0].sha256
    aapl, msft = first.outcomes
    assert (aapl.realised_return, aapl.excess_return, aapl.label) == (
        -0.025,
        -0.035,
        "down by 2-3%",
    )
    assert msft.label == "up by 1-2%"
    assert first.final


def test_a_score_job_that_fires_twice_writes_nothing_and_opens_no_prices(ledger):
    score(ledger, TableMarket(), soon(2))
    again = score(ledger, lambda *_: pytest.fail("prices are opened"), soon(2))
    assert (again.scores, again.final) == ((), 2)


@pytest.mark.parametrize("status", [Status.DELISTED, Status.RENAMED, Status.HALTED, Status.MISSING])
def test_a_forecast_without_a_return_keeps_a_status(ledger, status):
    table = {("MSFT", "2026-01-02"): Outcome(symbol="MSFT", status=status, reason="invented")}
    score(ledger, TableMarket(table), soon(1))
    assert [one.status for one in last(ledger).outcomes] == [Status.OK, status]
    assert not last(ledger).final  # what looks delisted may only be late


def test_a_source_that_is_down_is_said_and_scored_again_later(ledger):
    down = TableMarket(
        {("AAPL", "2026-01-02"): rose("AAPL", 2)}, degraded={"files/MSFT/2026-01": "no answer"}
    )
    first = score(ledger, down, soon(1))
    assert first.degraded == 1
    assert last(ledger).degraded == {"files/MSFT/2026-01": "no answer"}
    assert [one.status for one in last(ledger).outcomes] == [Status.OK, Status.SOURCE_DOWN]

    assert score(ledger, down, soon(1) + timedelta(hours=1)).scores == ()  # nothing new is known

    up = TableMarket(default=-0.5)
    score(ledger, up, soon(1) + timedelta(hours=2))
    found = last(ledger)
    assert (found.attempt, found.final, found.degraded) == (2, True, {})
    assert [one.label for one in found.outcomes] == ["up by 1-2%", "down by 0-1%"]
    assert up.asked == ["MSFT"]  # what was found before stays


def test_after_four_weeks_what_is_missing_stays_missing(ledger):
    nothing = TableMarket(default=None)
    score(ledger, nothing, soon(1))
    assert not last(ledger).final
    score(ledger, nothing, soon(1) + PATIENCE)
    assert last(ledger).final
    assert {one.status for one in last(ledger).outcomes} == {Status.MISSING}


def test_a_source_that_is_down_is_never_given_up(ledger):
    down = TableMarket(degraded={"files/MSFT/2026-01": "no answer"})
    score(ledger, down, soon(1) + 3 * PATIENCE)
    score(ledger, down, soon(1) + 6 * PATIENCE)
    assert not last(ledger).final
    score(ledger, TableMarket(), soon(1) + 6 * PATIENCE)
    assert [one.status for one in last(ledger).outcomes] == [Status.OK, Status.OK]


def test_scores_of_two_jobs_at_once_are_one(ledger):
    """The other job's score lies there when this one writes."""
    entry = read_chain(ledger, CHAIN)[0]

    class Meanwhile(TableMarket):
        def outcome(self, symbol, as_of, horizon_end):
            score(ledger, TableMarket(default=3.5), soon(1)) if not self.asked else None
            return super().outcome(symbol, as_of, horizon_end)

    score(ledger, Meanwhile(default=-3.5), soon(2))
    assert last(ledger).outcomes[0].label == "up by 3-4%"
    assert not ledger.store.exists(score_key("test", CHAIN, entry.number, 2))
    first = score_key("test", CHAIN, 1, 1)
    assert last(ledger, 2).scores == {first: sha256_bytes(ledger.store.read(first))}


def test_an_entry_that_was_changed_after_its_score_is_not_scored_on(ledger, tmp_path):
    """The newest entry: none behind it tells."""
    score(ledger, TableMarket(default=None), soon(3))
    path = tmp_path / "store" / entry_key("test", CHAIN, 3)
    path.write_bytes(canonical_json(json.loads(path.read_bytes()) | {"verdict": "better"}))
    with pytest.raises(StorageError, match="scores other bytes than entry 3 of"):
        score(open_ledger(ledger.store, "test"), TableMarket(), soon(3))


def test_an_outcome_has_a_return_only_if_it_is_ok():
    for wrong in (
        {"status": Status.OK},
        {"status": Status.MISSING, "realised_return": 0.1, "label": "up by 0-1%"},
        {"status": Status.OK, "realised_return": 0.1, "label": "up by 0-2%"},
    ):
        with pytest.raises(ValidationError):
            Outcome(symbol="AAPL", **wrong)
