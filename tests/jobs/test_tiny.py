"""A tiny base is made by one process at a time, whoever was left behind by a command that was killed."""

from __future__ import annotations

import threading
import time

import pytest

from fingpt.synthetic import tiny as module
from jobs import tiny


def test_two_commands_make_the_base_of_one_store_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setenv("FINGPT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("FINGPT_CACHE", str(tmp_path / "cache"))
    at_work, most = [], []

    def publish(*_):
        at_work.append(1)
        most.append(len(at_work))
        time.sleep(0.2)
        at_work.pop()

    def command() -> None:
        with pytest.raises(SystemExit, match="0"):
            tiny.main("tiny-llama31")

    monkeypatch.setattr(module, "publish", publish)
    threads = [threading.Thread(target=command) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == [1, 1]
