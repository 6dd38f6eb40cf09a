"""status, logs and cancel at the command line, where there is a bucket and no cluster."""

from __future__ import annotations

import json

import pytest

from fingpt.runs.run import Stage
from tests.jobs.commands import command
from tests.made_run import MadeRun


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path / "scratch")


def test_the_newest_run_is_shown_where_none_is_named(made, tmp_path):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=143, message="SIGTERM honoured")
    done = command(tmp_path, "status")
    assert done.returncode == 0, done.stderr
    assert made.id in done.stdout
    assert "failed-retryable" in done.stdout
    assert "SIGTERM honoured" in done.stdout


def test_the_other_seeds_of_the_newest_run_stand_beside_it(made, store, tmp_path):
    made.prep()
    other = MadeRun(store, tmp_path / "scratch", seed=43)
    stranger = MadeRun(store, tmp_path / "scratch", rows="others")
    shown = command(tmp_path, "status").stdout
    assert made.id in shown
    assert other.id in shown
    assert stranger.id not in shown
    assert other.id not in command(tmp_path, "status", "--run", made.id).stdout


def test_json_is_one_object_on_stdout(made, tmp_path):
    made.prep()
    data = json.loads(command(tmp_path, "status", "--run", made.id, "--json").stdout)
    assert (data["run"], data["stage"], data["state"]) == (made.id, "train", "absent")


@pytest.mark.parametrize("name", ["status", "logs", "verify"])
def test_a_run_that_is_not_there_is_one_sentence_and_66(made, tmp_path, name):
    done = command(tmp_path, name, "--run", "tiny-llama31-00000000")
    assert done.returncode == 66
    assert "make list" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_store_says_how_to_begin(tmp_path):
    done = command(tmp_path, "status")
    assert done.returncode == 66
    assert "make run" in done.stderr


def test_logs_of_a_run_of_this_machine_say_where_its_records_are(made, tmp_path):
    made.prep()
    done = command(tmp_path, "logs", "--run", made.id)
    assert done.returncode == 0
    assert f"runs/{made.id}/prep/attempts/" in done.stdout


def test_a_run_of_this_machine_is_cancelled_by_ctrl_c(made, tmp_path):
    done = command(tmp_path, "cancel", "--run", made.id)
    assert done.returncode == 64
    assert "Ctrl-C" in done.stderr


FORGED = "x\x1b]0;owned\x07\x1b[2J\r\ncomplete \u202e[bold]all is well[/bold]"


@pytest.mark.parametrize("words", ["status", "logs", "list", "list --json", "status --json"])
def test_what_the_store_says_reaches_a_terminal_as_visible_text_of_one_line(made, tmp_path, words):
    made.attempt(Stage.PREP, 1, code=65, message=FORGED, pod=FORGED, node=FORGED)
    name, *options = words.split()
    run = [] if name == "list" else ["--run", made.id]
    done = command(tmp_path, name, *run, *options)
    assert done.returncode == 0, done.stderr
    assert all(character.isprintable() for character in done.stdout.replace("\n", ""))
    assert not any(line.startswith("complete") for line in done.stdout.splitlines())
    if words in ("status", "logs"):
        assert "\\x1b]0;owned" in done.stdout
        assert "[bold]all is well[/bold]" in done.stdout


def test_verify_names_damage_in_visible_text(made, tmp_path):
    made.prep()
    body = {"run": FORGED, "seal": FORGED}
    path = tmp_path / "store" / f"runs/{made.id}/prep/COMPLETE.json"
    path.write_text(json.dumps(body))
    done = command(tmp_path, "verify", "--run", made.id)
    assert done.returncode == 74
    assert all(character.isprintable() for character in done.stdout.replace("\n", ""))
