"""A faulty variable of the environment ends every command as bad input does: one sentence, its code, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.commands import command

RUN = ("--run", "file:///x/runs/a/run.json")
COMMANDS: dict[str, tuple[str, ...]] = {
    "build": (),
    "cancel": (),
    "collect": (),
    "compare": (),
    "doctor": (),
    "eval": RUN,
    "forecast": ("ask",),
    "ledger": ("update",),
    "list": (),
    "logs": (),
    "mirror": (),
    "prep": RUN,
    "prune": (),
    "status": (),
    "submit": ("run",),
    "sweep_report": (),
    "tiny": (),
    "train": RUN,
    "verify": (),
    "wait": (),
}


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FINGPT_STORE", "~nobody-of-that-name/x", "there is no such home folder"),
        ("OMP_NUM_THREADS", "abc", "OMP_NUM_THREADS is 'abc' where a number of threads"),
    ],
)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_faulty_variable_is_one_sentence(tmp_path: Path, name, variable, value, words):
    done = command(tmp_path, name, *COMMANDS[name], **{variable: value})
    assert done.returncode == 64, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
