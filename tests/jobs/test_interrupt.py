"""Ctrl-C before a command has begun: while it imports its libraries, which takes longer than most commands."""

from __future__ import annotations

import pytest

from tests.jobs.commands import command


@pytest.mark.parametrize("name", ["submit", "list", "train", "drive"])
def test_ctrl_c_while_libraries_load_is_one_sentence_and_no_traceback(tmp_path, name):
    (tmp_path / "pydantic.py").write_text("raise KeyboardInterrupt\n")
    done = command(tmp_path, name, PYTHONPATH=str(tmp_path))
    assert done.returncode == 143
    assert done.stderr == "Interrupted before anything began; run the same command again.\n"


def test_any_other_fault_of_an_import_keeps_its_traceback(tmp_path):
    (tmp_path / "pydantic.py").write_text("raise RuntimeError('broken')\n")
    done = command(tmp_path, "list", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "RuntimeError: broken" in done.stderr
    assert "Traceback" in done.stderr
