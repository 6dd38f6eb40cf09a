"""list at the command line."""

from __future__ import annotations

import json

from fingpt.config import RunConfig
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Run, Stage, run_key
from tests.jobs.commands import command
from tests.made_run import MadeRun


def test_runs_come_with_their_state_and_a_damaged_one_hides_no_other(store, tmp_path):
    whole = MadeRun(store, tmp_path / "scratch").whole()
    begun = MadeRun(store, tmp_path / "scratch", seed=7)
    begun.attempt(Stage.PREP, 1, code=65, message="bad rows")
    broken = MadeRun(store, tmp_path / "scratch", seed=8)
    (tmp_path / "store" / run_key(broken.id)).write_bytes(b"{}")
    done = command(tmp_path, "list", "--json")
    assert done.returncode == 0, done.stderr
    states = {
        line["run"]: (line["stage"], line["state"])
        for line in map(json.loads, done.stdout.splitlines())
    }
    assert states == {whole.id: ("eval", "complete"), begun.id: ("prep", "failed-permanent")}
    assert broken.id in done.stderr


def test_a_table_fits_a_pipe(store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch").whole()
    assert made.id in command(tmp_path, "list").stdout


def test_a_list_says_which_seed_and_origin_a_run_is(store, tmp_path):
    MadeRun(store, tmp_path / "scratch", seed=7)
    prep = {
        "origins": 4,
        "origin": 2,
        "source": MadeRun(store, tmp_path / "scratch").run.config.prep.source,
    }
    config = RunConfig.model_validate({"model": "tiny-llama31", "prep": prep})
    create_run(store, Run.of(config, {}))
    lines = map(json.loads, command(tmp_path, "list", "--json").stdout.splitlines())
    found = {(line["seed"], line["origin"]) for line in lines}
    assert found == {(7, ""), (42, ""), (42, "2 of 4")}
    assert "2 of 4" in command(tmp_path, "list").stdout


def test_an_empty_store_is_an_empty_list(tmp_path):
    done = command(tmp_path, "list", "--json")
    assert (done.returncode, done.stdout) == (0, "")
