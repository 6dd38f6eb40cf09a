"""The stand-in for a trainer process does what a real one does at its end."""

from __future__ import annotations

import os

import pytest

from tests.train import warm


def test_an_end_that_a_signal_has_hidden_is_still_an_end(monkeypatch):
    """`os.waitpid` has collected the trainer, and the signal's exception leaves before its status is returned."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    trainer = warm._Trainer.__new__(warm._Trainer)
    trainer.pid, collect = child, os.waitpid

    def signalled(process: int, options: int) -> tuple[int, int]:
        collect(process, options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "waitpid", signalled)
    with pytest.raises(KeyboardInterrupt):
        trainer.wait()
    monkeypatch.setattr(os, "waitpid", collect)
    assert trainer.wait(timeout=1) == 0
