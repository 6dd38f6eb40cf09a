"""prune at the command line: nothing is deleted without --confirm."""

from __future__ import annotations

import os
import time

from tests.jobs.commands import command
from tests.made_run import MadeRun


def test_without_confirm_it_only_says_what_with_it_would_go(store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch").whole()
    orphan = made.orphan()
    then = time.time() - 86400
    for path in (tmp_path / "store").rglob("*"):
        os.utime(path, (then, then))
    before = set(store.keys(""))
    said = command(tmp_path, "prune")
    assert said.returncode == 0, said.stderr
    assert orphan in said.stdout
    assert "CONFIRM=1" in said.stderr
    assert set(store.keys("")) == before
    done = command(tmp_path, "prune", "--confirm")
    assert done.returncode == 0, done.stderr
    assert before - set(store.keys("")) == {f"{orphan}/adapter_model.safetensors"}
