"""list at the command line."""

from __future__ import annotations

import json

from fingpt.config import RunConfig
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Run, Stage, run_key
from tests.bench import invented
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


def test_a_store_without_runs_is_named_for_it_may_be_the_wrong_one(tmp_path):
    done = command(tmp_path, "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert f"There is no run in {(tmp_path / 'store').as_uri()}" in done.stderr
    assert "another STORE" in done.stderr


def test_filters_of_make_choose_and_a_wrong_word_is_answered_with_the_nearest(store, tmp_path):
    invented.put_all(store, 12, threads=1)
    invented.put_sweep(store, "lora-grid-0a1b2c3d", trials=9, asked=2, told=1)

    def found(**variables: str) -> list[str]:
        done = command(tmp_path, "list", "--json", **variables)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["run"] for line in done.stdout.splitlines()]

    ids = [invented.run_of(n).id for n in range(12)]
    assert found() == ids[::-1]
    assert found(FINGPT_ARG_MODEL="tiny-llama31") == ids[10::-2]
    assert found(FINGPT_ARG_STATE="failed-permanent") == [ids[8], ids[7]]
    asked_and_planned = found(FINGPT_ARG_SWEEP="lora-grid-0a1b2c3d")
    assert (set(asked_and_planned[:4]), len(asked_and_planned)) == (set(ids[:4]), 2 * 9)
    for variable, wrong, right in (
        ("MODEL", "tiny-lama31", "tiny-llama31"),
        ("STATE", "compleet", "complete"),
        ("SWEEP", "lora-grid-0a1b2c3e", "lora-grid-0a1b2c3d"),
    ):
        done = command(tmp_path, "list", **{f"FINGPT_ARG_{variable}": wrong})
        assert done.returncode == (66 if variable == "SWEEP" else 64)
        assert f"did you mean '{right}'" in done.stderr


def test_a_sweep_none_of_whose_trials_has_begun_says_where_to_look(store, tmp_path):
    invented.put_sweep(store, "lora-grid-0a1b2c3d", trials=None, asked=0, told=0)
    planned = command(tmp_path, "list", "--json", FINGPT_ARG_SWEEP="lora-grid-0a1b2c3d").stdout
    assert {json.loads(line)["state"] for line in planned.splitlines()} == {"waiting"}
    invented.put_sweep(store, "lora-tpe-0a1b2c3d", trials=9, asked=0, told=0, method="tpe")
    done = command(tmp_path, "list", FINGPT_ARG_SWEEP="lora-tpe-0a1b2c3d")
    assert (done.returncode, done.stdout) == (0, "")
    assert "make status SWEEP=lora-tpe-0a1b2c3d says what it waits for" in done.stderr
    status = command(tmp_path, "status", FINGPT_ARG_SWEEP="lora-grid-0a1b2c3d")
    assert status.returncode == 0, status.stderr
    assert "tiny-llama31" in status.stdout
    assert "waiting" in status.stdout.splitlines()[0]


def test_a_long_list_is_cut_and_says_so(store, tmp_path):
    invented.lay_down(tmp_path / "store", 60)
    done = command(tmp_path, "list")
    assert sum(line.count("tiny-llama31-") for line in done.stdout.splitlines()) == 25
    assert "--all" in done.stderr
    assert "--all" not in command(tmp_path, "list", "--all").stderr


def test_a_choice_that_fits_no_run_says_so(store, tmp_path):
    MadeRun(store, tmp_path / "scratch")
    done = command(tmp_path, "list", FINGPT_ARG_STATE="fenced")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no run of the store is of that kind" in done.stderr
