"""Clean finds what nothing needs, and never what a live run, a resume, verify or a report does."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fingpt.errors import StorageError
from fingpt.runs.chain import KEPT_COMMITS
from fingpt.runs.manifest import encode
from fingpt.runs.prune import is_live, leftovers, prune, remove
from fingpt.runs.raw import HubRows, hub_key, store_raw
from fingpt.runs.run import Stage, commit_key, complete_key
from fingpt.runs.verify import require_sound, verify
from fingpt.storage.deleting import open_deleter
from tests.made_run import MadeRun

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=1)


@pytest.fixture
def deleter(store):
    return open_deleter(store)


@pytest.fixture
def grow_old(tmp_path):
    """Make every object a day old."""

    def apply() -> None:
        then = time.time() - 86400
        for path in (tmp_path / "store").rglob("*"):
            os.utime(path, (then, then))

    return apply


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


def names(found) -> list[str]:
    return [each.prefix for each in found]


def test_a_whole_run_leaves_nothing_to_clean(made, store, deleter, grow_old):
    made.whole()
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_checkpoints_outside_the_last_three_commits_go_and_the_run_still_verifies(
    made, store, deleter, grow_old
):
    made.prep()
    for step in (1, 2, 3, 4, 5):
        made.commit(step)
    orphan = made.orphan()
    made.train()
    made.eval()
    grow_old()
    found = list(leftovers(store, deleter, NOW))
    assert orphan in names(found)
    assert [name.rpartition("/")[2][:6] for name in names(found)] == ["000001", "000002", "000099"]
    assert all(remove(store, deleter, each, NOW) for each in found)
    assert not list(store.keys(orphan))
    assert names(leftovers(store, deleter, NOW)) == []
    require_sound(made.id, verify(store, made.id, deep=True))


def test_a_damaged_commit_does_not_count_among_the_three(made, store, deleter, grow_old, tmp_path):
    made.prep()
    for step in (1, 2, 3, 4):
        made.commit(step)
    (tmp_path / "store" / commit_key(made.id, 4)).write_bytes(b"{}")
    grow_old()
    (found,) = leftovers(store, deleter, NOW)
    assert "/000004-" in found.prefix


@pytest.mark.parametrize(
    ("attempt", "live"),
    [
        ({"code": None, "at": NOW}, True),
        ({"code": None, "at": LONG_AGO}, False),
        ({"code": 143, "at": NOW}, False),
    ],
)
def test_a_run_is_live_while_its_heartbeat_is_fresh_and_it_left_no_ending(
    made, store, deleter, grow_old, attempt, live
):
    made.attempt(Stage.TRAIN, 1, **attempt)
    orphan = made.orphan()
    grow_old()
    assert is_live(store, made.id, NOW) is live
    assert (orphan in names(leftovers(store, deleter, NOW))) is not live


def test_a_heartbeat_without_a_time_counts_as_alive(made, store):
    from fingpt.runs.run import heartbeat_key

    made.attempt(Stage.TRAIN, 1, code=None, at=LONG_AGO, beats=0)
    store.create(heartbeat_key(made.id, Stage.TRAIN, 1, 1), b"{}")
    assert is_live(store, made.id, NOW)


def test_a_run_that_came_alive_meanwhile_is_left_alone(made, store, deleter, grow_old):
    orphan = made.orphan()
    grow_old()
    (found,) = leftovers(store, deleter, NOW)
    made.attempt(Stage.TRAIN, 1, code=None, at=NOW)
    assert not remove(store, deleter, found, NOW)
    assert list(store.keys(orphan))


def test_what_is_young_is_left_alone(made, store, deleter):
    made.orphan()
    store.create("datasets/abc/train.jsonl", b"x")
    assert names(leftovers(store, deleter, NOW)) == []


def test_data_sets_and_sources_that_nothing_names_go(made, store, deleter, grow_old):
    made.whole()
    store.create("datasets/0ld/train.jsonl", b"x")
    store.create("raw/0ld/train.jsonl", b"x")
    store.create("probe/123/twice", b"1")
    grow_old()
    found = list(leftovers(store, deleter, NOW))
    assert names(found) == ["datasets/0ld", "raw/0ld", "probe/123"]
    for each in found:
        remove(store, deleter, each, NOW)
    require_sound(made.id, verify(store, made.id, deep=True))


def test_data_sets_and_sources_stay_while_any_run_is_at_work(made, store, deleter, grow_old):
    store.create("datasets/0ld/train.jsonl", b"x")
    made.attempt(Stage.PREP, 1, code=None, at=NOW)
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_a_data_set_that_only_a_report_names_stays(made, store, deleter, grow_old, tmp_path):
    made.whole()
    (tmp_path / "store" / complete_key(made.id, Stage.PREP)).unlink()
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_with_a_record_that_cannot_be_read_nothing_is_deleted(made, store, deleter, grow_old):
    made.whole()
    store.create("reports/bad/manifest.json", b"{}")
    grow_old()
    with pytest.raises(StorageError, match="reports/bad"):
        list(leftovers(store, deleter, NOW))


def test_base_weights_are_never_found(made, store, deleter, grow_old):
    made.base()
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == []


def test_rows_that_a_mirror_brought_are_kept_though_no_run_names_them(
    store, deleter, grow_old, tmp_path
):
    (tmp_path / "train.jsonl").write_text("{}")
    raw = store_raw(store, [("train.jsonl", tmp_path / "train.jsonl")])
    grow_old()
    assert names(leftovers(store, deleter, NOW)) == [raw]
    rows = HubRows(source="hub:a/b@main", commit="c" * 40, raw=raw, files=())
    store.create(hub_key("a/b", "main"), encode(rows))
    assert names(leftovers(store, deleter, NOW)) == []


def test_pruning_deletes_only_when_confirmed(made, store, deleter, grow_old):
    orphan = made.orphan()
    grow_old()
    ((found, deleted),) = prune(store, deleter, confirm=False, now=lambda: NOW)
    assert (found.prefix, deleted) == (orphan, False)
    assert list(store.keys(orphan))
    ((found, deleted),) = prune(store, deleter, confirm=True, now=lambda: NOW)
    assert (found.prefix, deleted) == (orphan, True)
    assert not list(store.keys(orphan))


def test_pruning_keeps_what_is_needed_again_at_the_second_look(made, store, deleter, grow_old):
    orphan = made.orphan()
    grow_old()
    looks = []

    def now():
        looks.append(1)
        if len(looks) == 2:
            made.attempt(Stage.TRAIN, 1, code=None, at=NOW)
        return NOW

    assert list(prune(store, deleter, confirm=True, now=now)) == []
    assert list(store.keys(orphan))


def test_the_documents_name_as_many_kept_commits_as_there_are():
    words = {3: "three"}[KEPT_COMMITS]
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    assert text.count(f"last {words}") == 2
