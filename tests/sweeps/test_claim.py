"""One controller of a sweep at a time; a dead one's claim is taken over."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from fingpt.errors import FencedError
from fingpt.record import canonical_json
from fingpt.storage import open_store
from fingpt.sweeps.claim import controller_of, controlling

SWEEP = "grid-01234567"
CLAIM = f"sweeps/{SWEEP}/controllers/claims/000001.json"


def claimed(store, **changes):
    """A claim of a controller of another machine."""
    place = {"host": "elsewhere", "boot": "b", "pid": 7, "born": "1"}
    note = {
        "pod": "sweep-x",
        "node": "n1",
        "place": place,
        "started_at": "2026-01-02T03:04:05+00:00",
    }
    store.create(CLAIM, canonical_json({**note, **changes}))


def test_a_second_controller_is_told_who_has_the_sweep_and_how_to_wait(tmp_path):
    store = open_store((tmp_path / "store").as_uri())
    with controlling(store, SWEEP) as check:
        check()
        with (
            pytest.raises(FencedError, match=rf"by process \d+ on .*make wait SWEEP={SWEEP}"),
            controlling(store, SWEEP),
        ):
            pass
        assert controller_of(store, SWEEP).works(datetime.now(UTC))
        check()
    assert not controller_of(store, SWEEP).works(datetime.now(UTC))
    with controlling(store, SWEEP):
        pass


def test_a_controller_of_another_machine_that_beats_keeps_the_sweep(tmp_path):
    store = open_store((tmp_path / "store").as_uri())
    claimed(store)
    beats = iter(range(1, 9))

    def sleep(_):
        key = f"sweeps/{SWEEP}/controllers/heartbeats/000001/{next(beats):06d}.json"
        store.create(key, canonical_json({"at": "2026-01-02T03:04:15+00:00"}))

    with (
        pytest.raises(FencedError, match="pod sweep-x on n1 since 2026"),
        controlling(store, SWEEP, sleep=sleep),
    ):
        pass


def test_a_silent_controller_of_another_machine_is_replaced_and_stops_at_its_next_check(tmp_path):
    store = open_store((tmp_path / "store").as_uri())
    waits = []
    claimed(store)
    with controlling(store, SWEEP, sleep=waits.append) as check:
        assert sum(waits) == 30
        check()
        store.create(CLAIM.replace("000001", "000003"), canonical_json({}))
        with pytest.raises(FencedError, match="taken over"):
            check()


def test_a_controller_that_was_killed_here_is_replaced_at_once(tmp_path):
    store = open_store((tmp_path / "store").as_uri())
    code = (
        "import os, signal, sys; from fingpt.storage import open_store; from fingpt.sweeps.claim import controlling\n"
        f"with controlling(open_store({store.uri!r}), {SWEEP!r}): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert json.loads(store.read(CLAIM))["place"]["pid"]
    found = controller_of(store, SWEEP)
    assert found.ended
    assert not found.works(datetime.now(UTC))

    def sleep(_):
        raise AssertionError("nobody has to be waited for")

    with controlling(store, SWEEP, sleep=sleep):
        pass


def test_a_controller_that_is_not_heard_of_does_not_work(tmp_path):
    store = open_store((tmp_path / "store").as_uri())
    assert controller_of(store, SWEEP) is None
    claimed(store)
    found = controller_of(store, SWEEP)
    started = datetime.fromisoformat(found.heard)
    assert found.works(started + timedelta(seconds=60))
    assert not found.works(started + timedelta(minutes=10))
