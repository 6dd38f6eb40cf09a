"""Commands whose reader leaves, and terminals that lack a character: neither changes what a command does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fingpt.runs.run import Stage
from tests.jobs.commands import command
from tests.made_run import MadeRun


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    run = MadeRun(store, tmp_path / "scratch")
    run.prep()
    run.attempt(Stage.TRAIN, 1, code=75, message="Verbindung gestört ✗ 断")
    return run


@pytest.fixture
def left():
    """A pipe whose reader has left, as `head` does after its lines."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    ("name", "code"), [("list", 0), ("status", 0), ("verify", 66), ("prune", 0)]
)
def test_a_reader_that_leaves_changes_no_exit_code(made, tmp_path, left, name, code):
    arguments = ("--run", made.id) if name in ("status", "verify") else ()
    done = command(tmp_path, name, *arguments, stdout=left)
    assert done.returncode == code, done.stderr
    assert "BrokenPipe" not in done.stderr
    assert "bug" not in done.stderr


# A device of Linux, where CI runs it; macOS has nothing that is full at will.
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="There is no /dev/full here.")
@pytest.mark.parametrize("name", ["status", "list"])
def test_a_full_disk_behind_stdout_is_one_sentence_that_names_it(made, tmp_path, name):
    with Path("/dev/full").open("wb") as full:
        done = command(tmp_path, name, stdout=full.fileno())
    assert done.returncode == 74
    assert "No space left for /dev/stdout" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("name", ["status", "verify", "list"])
def test_an_ascii_terminal_gets_other_characters_and_the_same_code(made, tmp_path, name):
    arguments = () if name == "list" else ("--run", made.id)
    plain = command(tmp_path, name, *arguments, PYTHONIOENCODING="utf-8")
    ascii_only = command(tmp_path, name, *arguments, PYTHONIOENCODING="ascii")
    assert ascii_only.returncode == plain.returncode, ascii_only.stderr
    assert ascii_only.stdout.isascii()
    assert made.id in ascii_only.stdout
    assert "bug" not in ascii_only.stderr
