"""The order of runs, newest first, and what it costs to know it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fingpt.errors import StorageError
from fingpt.record import canonical_json
from fingpt.runs.freeze import create_run
from fingpt.runs.recent import each_in_order, newest_first
from fingpt.runs.run import FROZEN, Stage, claim_key, frozen_key, run_key
from fingpt.storage import LocalStore
from tests.bench import invented


class Counted(LocalStore):
    """A folder store that counts what would be requests of S3, pages of listings by their keys."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.requests = 0

    def read(self, key, *rest):
        self.requests += 1
        return super().read(key, *rest)

    def exists(self, key):
        self.requests += 1
        return super().exists(key)

    def keys(self, prefix=""):
        found = list(super().keys(prefix))
        self.requests += 1 + len(found) // 1000
        return iter(found)

    def folders(self, prefix):
        found = list(super().folders(prefix))
        self.requests += 1 + len(found) // 1000
        return iter(found)


@pytest.fixture
def counted(tmp_path):
    return Counted(tmp_path / "store")


def freeze_at(store, number, moment):
    run = invented.run_of(number)
    store.create(run_key(run.id), run.encode())
    store.create(frozen_key(run.id, moment), b"{}")
    return run.id


def test_the_run_that_was_frozen_last_comes_first_whatever_its_id(counted):
    start = datetime(2030, 1, 1, tzinfo=UTC)
    ids = [freeze_at(counted, n, start + timedelta(milliseconds=n)) for n in range(30)]
    counted.requests = 0
    assert newest_first(counted) == ids[::-1]
    assert counted.requests == 2


def test_freezing_leaves_one_record_however_often_the_same_run_is_frozen(store):
    run = invented.run_of(0)
    create_run(store, run)
    create_run(store, run)
    assert len(list(store.folders(FROZEN))) == 1
    assert newest_first(store) == [run.id]


def test_a_store_that_refuses_the_record_still_gets_its_run_and_lists_it(counted, monkeypatch):
    create = counted.create

    def refuse(key, data):
        if key.startswith(FROZEN):
            raise StorageError("no")
        return create(key, data)

    monkeypatch.setattr(counted, "create", refuse)
    run = invented.run_of(0)
    create_run(counted, run)
    assert newest_first(counted) == [run.id]


def test_a_run_from_before_is_placed_by_its_first_claim_and_one_without_any_comes_last(counted):
    start = datetime(2030, 1, 1, tzinfo=UTC)
    new, newest = (freeze_at(counted, n, start + timedelta(hours=n)) for n in (2, 4))
    old, idle = invented.run_of(3), invented.run_of(5)
    for run in (old, idle):
        counted.create(run_key(run.id), run.encode())
    began = (start + timedelta(hours=3)).isoformat()
    counted.create(claim_key(old.id, Stage.PREP, 1), canonical_json({"started_at": began}))
    assert newest_first(counted) == [newest, old.id, new, idle.id]


def test_runs_of_one_model_are_told_by_their_ids(counted):
    start = datetime(2030, 1, 1, tzinfo=UTC)
    ids = [freeze_at(counted, n, start + timedelta(seconds=n)) for n in range(4)]
    counted.requests = 0
    assert newest_first(counted, "tiny-llama31") == [ids[2], ids[0]]
    assert counted.requests == 2


def test_a_record_whose_run_is_gone_is_no_run(counted):
    counted.create(frozen_key("tiny-llama31-00000000", datetime.now(UTC)), b"{}")
    assert newest_first(counted) == []


def test_items_come_in_order_and_a_fault_is_raised_where_it_is_reached():
    def act(n):
        if n == 40:
            raise ValueError(n)
        return -n

    found = each_in_order(act, range(1000))
    assert [next(found) for _ in range(40)] == [-n for n in range(40)]
    with pytest.raises(ValueError, match="40"):
        next(found)
