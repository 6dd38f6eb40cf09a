"""Writing: one entry per week and run, a hash chain, nothing twice, nothing lost, and what stops it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from fingpt.errors import ConfigError, DataError, MissingInputError, StorageError
from fingpt.ledger.book import read_book
from fingpt.ledger.chains import chain_ids, chosen_name, open_ledger, read_chain
from fingpt.ledger.clock import Timing, stored_times, timing
from fingpt.ledger.intake import forecast_weeks
from fingpt.ledger.keys import chain_id, entry_key, genesis_key
from fingpt.ledger.write import tell_outside, write
from fingpt.record import canonical_json, sha256_bytes
from fingpt.storage import ObjectStore
from tests.ledger.invented import (
    ADAPTER,
    CHAIN,
    OTHER,
    RUN,
    WEEK,
    forecast,
    friday,
    keep,
    leaning,
    soon,
    three_weeks,
    write_at,
)


def keys_of(store: ObjectStore) -> list[str]:
    return list(store.keys("ledger/"))


def timings_of(store: ObjectStore, name: str = "test", chain: str = CHAIN) -> list[Timing]:
    stored = stored_times(store, name)
    entries = read_chain(open_ledger(store, name), chain)
    return [timing(entry, stored[entry_key(name, chain, entry.number)]) for entry in entries]


def test_each_week_is_one_entry_that_names_the_bytes_of_the_one_before(store):
    ledger = three_weeks(store)
    entries = read_chain(ledger, CHAIN)
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert [entry.as_of for entry in entries] == [friday(week) for week in range(3)]
    stored = [store.read(entry_key("test", CHAIN, n)) for n in (1, 2)]
    genesis = sha256_bytes(store.read(genesis_key("test")))
    assert [entry.previous for entry in entries] == [genesis, *map(sha256_bytes, stored)]
    assert [f.symbol for f in entries[0].forecasts] == ["AAPL", "MSFT"]
    assert timings_of(store) == [Timing.IN_TIME] * 3


def test_a_row_is_tied_to_the_record_that_it_was_taken_from(store):
    key, *_ = keep(store, forecast("AAPL", 0, parsed={"direction": -1, "bin": 6}))
    entry, *_ = write_at(store, soon(0)).entries
    row, *_ = entry.forecasts
    assert (row.key, row.sha256) == (key, sha256_bytes(store.read(key)))
    assert (row.direction, row.label) == (-1, "down by more than 5%")


def test_the_beginning_fixes_name_runs_universe_and_horizon_once(store):
    keep(store, *(forecast(symbol, 0, run) for run in (RUN, OTHER) for symbol in ("MSFT", "AAPL")))
    write_at(store, soon(0), RUN, OTHER)
    keep(store, *(forecast(symbol, 1) for symbol in ("AAPL", "NVDA")))
    genesis = write_at(store, soon(1)).ledger.genesis
    assert genesis.runs == (RUN, OTHER)  # as they were named, not as they are sorted
    assert genesis.universe == ("AAPL", "MSFT")
    assert genesis.horizon_days == 7
    assert genesis.created_at == soon(0)


def test_a_job_that_fires_twice_changes_nothing(store):
    three_weeks(store)
    before = keys_of(store)
    again = write_at(store, soon(2) + timedelta(minutes=5), RUN)
    assert (len(again.entries), again.known) == (0, 3)
    assert keys_of(store) == before


def test_of_two_writers_at_once_one_writes_and_the_other_sees_it(store):
    keep(store, *(forecast(symbol, 0) for symbol in ("AAPL", "MSFT")))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: write(store, "test", [RUN], soon(0)), range(8)))
    assert sorted(len(written.entries) for written in done) == [0] * 7 + [1]
    assert len(read_chain(open_ledger(store, "test"), CHAIN)) == 1


def test_two_writers_of_different_weeks_make_one_chain_and_no_fork(store):
    keep(store, *(forecast("AAPL", week) for week in range(6)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write(store, "test", [RUN], soon(5)), range(4)))
    entries = read_chain(open_ledger(store, "test"), CHAIN)
    assert sorted(entry.as_of for entry in entries) == [friday(week) for week in range(6)]
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6]


def test_what_comes_later_is_a_new_entry_and_says_what_it_states_again(store):
    keep(store, forecast("AAPL", 0))
    write_at(store, soon(0))
    keep(store, forecast("AAPL", 0, up=False, prompt_sha256="9" * 64), forecast("MSFT", 0))
    entry, *_ = write_at(store, soon(0) + timedelta(hours=1)).entries
    assert [f.symbol for f in entry.forecasts] == ["AAPL", "MSFT"]
    assert entry.restates == ("AAPL",)
    assert entry.number == 2


def test_another_adapter_of_a_run_is_another_chain_and_old_rows_keep_theirs(store):
    three_weeks(store)
    keep(store, forecast("AAPL", 3, adapter_sha256="c" * 64))
    write_at(store, soon(3))
    ledger = open_ledger(store, "test")
    assert chain_ids(ledger) == sorted([CHAIN, chain_id(RUN, "c" * 64)])
    assert {entry.adapter_sha256 for entry in read_chain(ledger, CHAIN)} == {ADAPTER}
    (new,) = read_chain(ledger, chain_id(RUN, "c" * 64))
    assert (new.number, new.previous) == (1, ledger.sha256)


def test_a_week_that_is_caught_up_after_its_outcome_is_kept_and_late(store):
    keep(store, *(forecast("AAPL", week) for week in (0, 2)))
    write_at(store, soon(2))
    assert timings_of(store) == [Timing.LATE, Timing.IN_TIME]


def test_a_friday_that_is_a_holiday_is_a_week_like_any_other(store):
    """Good Friday 2026-04-03: that week's last close is Thursday, and the window before it ends there."""
    thursday = friday(13) - timedelta(days=1)
    keep(store, forecast("AAPL", 12, horizon_end=thursday))
    write_at(store, soon(12))
    keep(store, forecast("AAPL", 13, as_of=thursday, horizon_end=friday(14)))
    write_at(store, thursday + timedelta(hours=2))
    entries = read_chain(open_ledger(store, "test"), CHAIN)
    assert [entry.horizon_end for entry in entries] == [thursday, friday(14)]
    assert timings_of(store) == [Timing.IN_TIME, Timing.IN_TIME]


def test_a_writer_does_not_go_on_behind_a_gap(store, tmp_path):
    three_weeks(store)
    keep(store, forecast("AAPL", 3))
    (tmp_path / "store" / entry_key("test", CHAIN, 2)).unlink()
    with pytest.raises(StorageError, match=r"000002\.json is missing.*make verify LEDGER=test"):
        write_at(store, soon(3))


def test_a_writer_does_not_go_on_behind_a_changed_entry(store, tmp_path):
    three_weeks(store)
    keep(store, forecast("AAPL", 3))
    path = tmp_path / "store" / entry_key("test", CHAIN, 2)
    path.write_bytes(path.read_bytes().replace(b'"direction":1', b'"direction":-1', 1))
    with pytest.raises(StorageError, match=r"000003\.json does not follow"):
        write_at(store, soon(3))


def test_what_is_no_forecast_is_refused_with_its_place(store):
    record = forecast("AAPL", 0)
    del record["adapter_sha256"]
    (key,) = keep(store, record)
    with pytest.raises(
        DataError, match=rf"{key} is no forecast \(adapter_sha256: field required\)"
    ):
        write(store, "test", [], soon(0))


def test_a_forecast_in_a_place_of_another_run_is_refused(store):
    data = canonical_json(forecast("AAPL", 0))
    store.create(f"forecasts/{OTHER}/2026-01-02/AAPL-000000000000.json", data)
    with pytest.raises(DataError, match="which its place does not say"):
        write(store, "test", [], soon(0))


@pytest.mark.parametrize("bad", [[0.5, 0.5], [0.2] * 12, [2.0] + [-1 / 11] * 11])
def test_probabilities_that_are_none_are_refused(store, bad):
    keep(store, forecast("AAPL", 0, probabilities=bad))
    with pytest.raises(DataError, match="probabilities"):
        write(store, "test", [], soon(0))


def test_calibrated_probabilities_are_preferred_and_said_to_be(store):
    keep(store, forecast("AAPL", 0, probabilities_calibrated=leaning(0.52)))
    entry, *_ = write_at(store, soon(0)).entries
    row, *_ = entry.forecasts
    assert row.calibrated
    assert row.probabilities == tuple(leaning(0.52))


def test_without_forecasts_there_is_no_ledger(store):
    with pytest.raises(MissingInputError, match="make forecast RUN="):
        write(store, "test", [], soon(0))
    assert keys_of(store) == []


def test_only_the_runs_that_are_named_are_written(store):
    keep(store, forecast("AAPL", 0), forecast("AAPL", 0, OTHER))
    assert [entry.run for entry in write_at(store, soon(0), OTHER).entries] == [OTHER]
    assert set(forecast_weeks(store)) == {(OTHER, "2026-01-02"), (RUN, "2026-01-02")}


def test_the_only_ledger_is_meant_and_of_several_one_has_to_be_named(store):
    with pytest.raises(MissingInputError, match="There is no ledger"):
        chosen_name(store, "")
    assert chosen_name(store, "", new=True) == "weekly"
    keep(store, forecast("AAPL", 0))
    write(store, "one", [], soon(0))
    assert chosen_name(store, " ") == "one"
    write(store, "two", [], soon(0))
    with pytest.raises(ConfigError, match=r"several ledgers \(one, two\).*LEDGER=one"):
        chosen_name(store, "")
    with pytest.raises(ConfigError, match="no name of a ledger"):
        chosen_name(store, "../runs")


def test_a_clock_that_is_behind_the_close_is_no_forecast_either(store):
    keep(store, forecast("AAPL", 0))
    write_at(store, friday(0) - timedelta(hours=3))
    assert timings_of(store) == [Timing.EARLY]


def test_the_store_s_clock_makes_late_what_the_writer_s_calls_early(store):
    keep(store, forecast("AAPL", 0))
    entry, *_ = write_at(store, soon(0)).entries
    assert timing(entry, soon(0)) is Timing.IN_TIME
    assert timing(entry, friday(0) + WEEK) is Timing.LATE
    assert timing(entry, None) is Timing.IN_TIME


def test_symbols_outside_the_universe_are_warned_of_and_the_ledger_that_is_named_counts_them(
    store, caplog
):
    keep(store, forecast("AAPL", 0))
    assert write_at(store, soon(0)).outside == ()
    keep(store, forecast("AAPL", 1), forecast("NVDA", 1))
    done = write_at(store, soon(1))
    assert done.outside == ("NVDA",)
    tell_outside(done)
    told = caplog.text
    assert "NVDA: outside the universe that ledger test fixed" in told
    assert "make ledger LEDGER=test-new" in told
    write_at(store, soon(1), name="test-new")
    rows = read_book(open_ledger(store, "test-new")).chains[0].rows
    assert {row.symbol for row in rows if not row.excluded} == {"AAPL", "NVDA"}
