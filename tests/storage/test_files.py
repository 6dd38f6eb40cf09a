"""One process at a time: a dead one keeps nobody out, and where there are no locks nobody waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fingpt.storage.files import one_at_a_time

HOLDS = """
import sys, time
from pathlib import Path
from fingpt.storage.files import one_at_a_time
with one_at_a_time(Path(sys.argv[1]), print):
    print("in it", flush=True)
    time.sleep(60)
"""


def test_a_block_is_waited_for_until_the_process_in_it_is_killed(tmp_path):
    lock = tmp_path / "cache" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in it\n"
        met = []

        def kill() -> None:
            met.append(other.poll())
            other.kill()

        with one_at_a_time(lock, kill):
            assert met == [None]
            assert other.wait() == -9


def test_a_block_that_nobody_is_in_is_entered_at_once_and_again(tmp_path):
    for _ in range(2):
        with one_at_a_time(tmp_path / "lock", pytest.fail):
            pass


def test_where_no_lock_can_be_nobody_waits(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "lock", Path("/proc/lock")):
        entered = False
        with one_at_a_time(path, pytest.fail):
            entered = True
        assert entered
