"""Verify: whatever is done to a ledger behind its back is found and named, and an honest one passes."""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from fingpt.errors import MissingInputError, StorageError
from fingpt.ledger.book import read_book
from fingpt.ledger.chains import open_ledger
from fingpt.ledger.compose import compose
from fingpt.ledger.keys import entry_key, genesis_key, score_key
from fingpt.ledger.market import market_opener
from fingpt.ledger.records import Entry, Outcome, Status
from fingpt.ledger.render import render
from fingpt.ledger.score import score
from fingpt.ledger.verify import heads, require_sound_ledger, verify_ledger
from fingpt.record import canonical_json, sha256_bytes
from fingpt.runs.links import LinkStatus
from fingpt.sources.calendar import sessions
from fingpt.sources.opening import frozen_key
from tests.ledger.invented import (
    CHAIN,
    TableMarket,
    dated,
    forecast,
    friday,
    keep,
    soon,
    three_weeks,
    write_at,
)


@pytest.fixture
def files(store, tmp_path):
    """Three weeks that are written and scored; the folder behind the store."""
    ledger = three_weeks(store)
    score(ledger, TableMarket(), soon(2))
    return tmp_path / "store"


def entry(n: int) -> str:
    return entry_key("test", CHAIN, n)


def faults(store) -> dict[str, tuple[LinkStatus, str]]:
    """What is not in order, by key."""
    links = verify_ledger(store, "test")
    return {each.key: (each.status, each.message) for each in links if each.status != "ok"}


def changed(path, **fields) -> None:
    """Write a record anew with other fields, in its canonical form, at the time it had."""
    stamp = path.stat().st_mtime
    path.write_bytes(canonical_json(json.loads(path.read_bytes()) | fields))
    os.utime(path, (stamp, stamp))


def test_a_sound_ledger_verifies_and_names_its_heads(store, files):
    assert faults(store) == {}
    links = verify_ledger(store, "test")
    assert (
        require_sound_ledger("test", links) == "12 ok"
    )  # genesis, 3 entries, 6 forecasts, 2 scores
    last = Entry.model_validate(json.loads((files / entry(3)).read_bytes()))
    newest = score_key("test", CHAIN, 2, 1)
    sha256 = sha256_bytes((files / newest).read_bytes())
    assert heads(store, "test") == f"{CHAIN} entry 3 {last.sha256}; {newest} {sha256}"
    page = render(compose(read_book(open_ledger(store, "test")), soon(3)))
    for name in ("ledger.html", "ledger.md", "ledger.json"):
        assert newest.encode() in page[name]
        assert sha256.encode() in page[name]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_changed_entry_is_named(store, files, n):
    score(open_ledger(store, "test"), TableMarket(), soon(3))  # before, nothing rests on the third
    changed(files / entry(n), verdict="better")
    found = faults(store)
    assert found.keys() == {entry(n)}
    status, message = found[entry(n)]
    assert (status, message.split(":")[0]) == (LinkStatus.DAMAGED, "changed")
    with pytest.raises(StorageError, match="1 damaged"):
        require_sound_ledger("test", verify_ledger(store, "test"))


def test_one_flipped_byte_is_found(store, files):
    path = files / entry(2)
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    assert faults(store)[entry(2)][0] is LinkStatus.DAMAGED


def test_a_missing_entry_is_named_and_has_the_code_of_missing_input(store, files):
    (files / entry(2)).unlink()
    found = faults(store)
    assert found == {
        entry(2): (LinkStatus.MISSING, "entry 2 is not there, and entry 3 and score 1 rest on it")
    }
    with pytest.raises(MissingInputError, match="1 missing"):
        require_sound_ledger("test", verify_ledger(store, "test"))


def test_a_tail_that_was_cut_is_named_by_its_score(store, files):
    score(open_ledger(store, "test"), TableMarket(), soon(3))
    (files / entry(3)).unlink()
    assert faults(store)[entry(3)][0] is LinkStatus.MISSING


def test_swapped_entries_are_named(store, files):
    two, three = (files / entry(2)).read_bytes(), (files / entry(3)).read_bytes()
    (files / entry(2)).write_bytes(three)
    (files / entry(3)).write_bytes(two)
    found = faults(store)
    assert found[entry(2)] == (LinkStatus.DAMAGED, "reordered: it says it is entry 3")
    assert found[entry(3)] == (LinkStatus.DAMAGED, "reordered: it says it is entry 2")


def test_an_entry_of_another_chain_is_found_where_it_was_put(store, files):
    (files / entry(4)).write_bytes((files / entry(3)).read_bytes())
    assert faults(store)[entry(4)][1] == "reordered: it says it is entry 3"
    (files / entry(4)).unlink()
    changed(files / entry(2), chain="llama31-ffffffff-cccccccccccc")
    assert faults(store)[entry(2)][1].startswith("inserted: it says it belongs to chain llama31-ff")


def test_an_entry_that_was_put_between_two_is_named(store, files):
    """The forger moves entry 2 and 3 up by one and puts his own between, with the right number and chain."""
    three, two = (files / entry(3)).read_bytes(), (files / entry(2)).read_bytes()
    (files / entry(4)).write_bytes(three)
    (files / entry(3)).write_bytes(two)
    changed(files / entry(2), previous="0" * 64)
    found = faults(store)
    assert found[entry(2)][1].startswith("inserted")
    assert found[entry(3)][1].startswith("reordered")
    assert found[entry(4)][1].startswith("reordered")


def test_a_changed_beginning_is_named(store, files):
    changed(files / genesis_key("test"), universe=["AAPL"])
    assert "does not follow from genesis.json" in faults(store)[entry(1)][1]
    (files / genesis_key("test")).write_bytes((files / genesis_key("test")).read_bytes() + b"\n")
    with pytest.raises(StorageError, match=r"genesis\.json was changed"):
        verify_ledger(store, "test")


def test_changed_and_missing_forecasts_are_named(store, files):
    first, second = sorted(store.keys("forecasts/"))[:2]
    changed(files / first, answer="Prediction: Down by 1-2%")
    (files / second).unlink()
    found = faults(store)
    assert found[first][0] is LinkStatus.DAMAGED
    assert found[second][0] is LinkStatus.MISSING


def test_a_changed_score_is_named(store, files):
    path = files / score_key("test", CHAIN, 1, 1)
    path.write_bytes(path.read_bytes().replace(b'"final":true', b'"final": true'))
    assert faults(store)[score_key("test", CHAIN, 1, 1)][0] is LinkStatus.DAMAGED


def altered(path, of: str = "AAPL", **fields) -> None:
    """Write a score anew with another outcome of one symbol."""
    outcomes = json.loads(path.read_bytes())["outcomes"]
    changed(path, outcomes=[one | (fields if one["symbol"] == of else {}) for one in outcomes])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"realised_return": -0.015}, "AAPL has a return of -0.0150 and the label “up by 1-2%”"),
        ({"label": "down by 1-2%"}, "AAPL has a return of +0.0150 and the label “down by 1-2%”"),
        ({"excess_return": 0.02}, "its excess returns are not over one mean"),
        ({"symbol": "NVDA"}, "its symbols are not those of its entry"),
    ],
)
def test_a_score_whose_numbers_do_not_fit_each_other_is_named(store, files, fields, told):
    altered(files / score_key("test", CHAIN, 2, 1), **fields)
    key = score_key("test", CHAIN, 2, 1)
    assert faults(store) == {key: (LinkStatus.DAMAGED, f"changed: {told}")}


def test_the_next_entry_names_every_score_before_it_and_no_score_twice(store, files):
    for week in (3, 4):
        keep(store, forecast("AAPL", week))
        write_at(store, soon(week))
    entries = [json.loads((files / entry(n)).read_bytes()) for n in range(1, 6)]
    keys = [score_key("test", CHAIN, n, 1) for n in (1, 2)]
    assert [list(each.get("scores", {})) for each in entries] == [[], [], [], keys, []]
    assert faults(store) == {}
    path = files / keys[0]
    changed(path, scored_at="2026-01-12T21:00:00Z")
    (files / keys[1]).unlink()
    by = f"entry 4 of {CHAIN} rests on"
    assert faults(store) == {
        keys[0]: (LinkStatus.DAMAGED, f"changed: {by} other bytes"),
        keys[1]: (LinkStatus.MISSING, f"{by} it"),
    }


def test_a_score_that_no_entry_names_yet_is_named_by_the_next_score(store, files):
    """The third week is scored, and no entry is written after it: of the scores only the newest can go unseen."""
    score(open_ledger(store, "test"), TableMarket(), soon(3))
    keys = [score_key("test", CHAIN, n, 1) for n in (1, 2, 3)]
    named = [json.loads((files / key).read_bytes()).get("scores", {}) for key in keys]
    assert [list(each) for each in named] == [[], keys[:1], keys[1:2]]
    changed(files / keys[0], scored_at="2026-01-12T21:00:00Z")
    by = f"score 1 of entry 2 of {CHAIN} rests on"
    assert faults(store) == {keys[0]: (LinkStatus.DAMAGED, f"changed: {by} other bytes")}
    (files / keys[0]).unlink()
    assert faults(store) == {keys[0]: (LinkStatus.MISSING, f"{by} it")}


def test_a_newest_score_that_was_deleted_leaves_its_entry_without_any(store, files):
    """Nothing rests on it, so nothing is wrong: only that the week is over and has no score, and the head, say it."""
    before = heads(store, "test")
    (files / score_key("test", CHAIN, 2, 1)).unlink()
    links = {link.key: link for link in verify_ledger(store, "test", now=soon(2))}
    told = "its week was over on 2026-01-16, and it has no score: nobody scored it, or its score was deleted"
    assert (links[entry(2)].status, links[entry(2)].message) == (LinkStatus.OK, told)
    assert [links[entry(n)].message for n in (1, 3)] == ["", ""], "scored, and not over"
    assert heads(store, "test") != before


def test_an_attempt_before_another_is_missed_and_what_it_found_stays(store):
    ledger = three_weeks(store)
    table = {("AAPL", "2026-01-02"): Outcome(symbol="AAPL", status=Status.HALTED)}
    score(ledger, TableMarket(table), soon(1))
    score(ledger, TableMarket(), soon(1) + timedelta(days=1))
    assert faults(store) == {}
    folder = Path(unquote(urlsplit(store.uri).path))
    first, second = (score_key("test", CHAIN, 1, attempt) for attempt in (1, 2))
    altered(folder / second, "MSFT", realised_return=0.016)
    assert "MSFT has another outcome than attempt 1 found" in faults(store)[second][1]
    (folder / first).unlink()
    by = f"score 2 of entry 1 of {CHAIN}"
    assert faults(store)[first] == (LinkStatus.MISSING, f"{by} rests on it")


@pytest.fixture
def priced(store, tmp_path):
    """Three weeks that are scored with the prices of a folder: AAPL rises by 1.5 % in the first, MSFT by 3.5."""
    data = tmp_path / "data"
    data.mkdir()
    lines = ["symbol,date,open,high,low,close"]
    for number, day in enumerate(sessions(date(2026, 1, 2), date(2026, 1, 16))):
        for symbol, step in (("AAPL", 0.3), ("MSFT", 0.7)):
            lines.append(",".join([symbol, str(day), *4 * [f"{100 + step * number:.2f}"]]))
    (data / "prices.csv").write_text("\n".join(lines) + "\n")
    score(three_weeks(store), market_opener(store, "", str(data)), soon(2))
    return tmp_path / "store"


def test_a_score_that_its_prices_do_not_give_is_named(store, priced):
    """The forger changes all numbers so that they fit each other, and no entry names the score yet."""
    assert faults(store) == {}
    key = score_key("test", CHAIN, 2, 1)
    one = json.loads((priced / key).read_bytes())["outcomes"][0]
    moved = one["excess_return"] - one["realised_return"] - 0.0896
    altered(
        priced / key,
        realised_return=-0.0896,
        excess_return=moved,
        label="down by more than 5%",
    )
    status, message = faults(store)[key]
    assert status is LinkStatus.DAMAGED
    assert "AAPL has a return of -0.0896, and its prices give a return of +0.01" in message
    changed_status = {"status": "missing", "realised_return": None, "excess_return": None}
    altered(priced / key, **changed_status, label=None)
    assert "AAPL has no return, and its prices give a return of" in faults(store)[key][1]


def test_prices_that_are_no_longer_whole_are_named(store, priced):
    digest = json.loads((priced / score_key("test", CHAIN, 1, 1)).read_bytes())["snapshot_sha256"]
    kept = (path for path in priced.rglob("*") if path.is_file())
    prices = next(path for path in kept if path.read_bytes().startswith(b"symbol,date"))
    prices.write_bytes(prices.read_bytes().replace(b"02,100.00", b"02,101.00"))
    assert {status for status, _ in faults(store).values()} == {LinkStatus.DAMAGED}
    prices.unlink()
    assert {status for status, _ in faults(store).values()} == {LinkStatus.MISSING}
    assert len(faults(store)) == 2
    assert (priced / frozen_key(digest)).exists()


def test_an_object_that_no_ledger_writes_is_named(store, files):
    stranger = f"ledger/test/entries/{CHAIN}/000002.json.bak"
    (files / stranger).write_bytes(b"{}")
    assert faults(store)[stranger][0] is LinkStatus.DAMAGED


def test_a_late_entry_is_named_and_is_no_damage(store, files):
    keep(store, forecast("AAPL", 3))
    write_at(store, soon(4))
    score(open_ledger(store, "test"), TableMarket(), soon(4))
    status, message = faults(store)[entry(4)]
    assert status is LinkStatus.SKIPPED
    assert (
        message
        == "late: written after the outcome of 2026-01-30, so 1 of its 1 forecasts do not count"
    )
    assert require_sound_ledger("test", verify_ledger(store, "test")).endswith("1 skipped")


@pytest.mark.parametrize(
    ("late", "status"), [(("AAPL", "MSFT"), LinkStatus.SKIPPED), (("MSFT",), LinkStatus.OK)]
)
def test_the_log_the_page_and_verify_count_the_same_late_forecasts(store, late, status):
    keep(store, *(forecast(symbol, 0, late=symbol in late) for symbol in ("AAPL", "MSFT")))
    written = write_at(store, soon(0))
    links = {link.key: link for link in verify_ledger(store, "test", now=soon(0))}
    assert (links[entry(1)].status, links[entry(1)].message) == (
        status,
        f"late: made after the next session had opened, so {len(late)} of its 2 forecasts do not count",
    )
    page = compose(read_book(written.ledger), soon(0))
    assert written.late == page.standings[0].left_out["late"] == len(late)


def test_an_entry_that_lies_about_its_time_is_named(store, files):
    dated(store, entry(2), friday(2) + timedelta(days=1))
    status, message = faults(store)[entry(2)]
    assert status is LinkStatus.DAMAGED
    assert "late: it says it was written 2026-01-09 23:00" in message
    assert "the store has it since 2026-01-17 21:00" in message


def test_a_wrong_clock_that_decides_nothing_is_mentioned(store, files):
    dated(store, entry(2), soon(1) + timedelta(hours=1))
    links = {link.key: link for link in verify_ledger(store, "test")}
    assert links[entry(2)].status is LinkStatus.OK
    assert links[entry(2)].message == "the writer's clock was 60 minutes behind the store's"


def test_there_has_to_be_such_a_ledger(store):
    with pytest.raises(MissingInputError, match="There is no ledger 'test'"):
        verify_ledger(store, "test")


def test_a_score_with_an_empty_label_is_named_once_in_words(files, store):
    key = score_key("test", CHAIN, 1, 1)
    altered(files / key, label="")
    status, message = faults(store)[key]
    assert status is LinkStatus.DAMAGED
    assert (
        message == "it is no Score (outcomes.0: '' is none of the twelve labels); it was changed."
    )
