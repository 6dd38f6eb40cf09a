"""wait at the command line, on a store of this machine."""

from __future__ import annotations

import pytest

from fingpt.runs.manifest import encode
from fingpt.runs.run import Stage
from fingpt.sweeps.records import complete_key
from fingpt.sweeps.view import read_sweep
from jobs import wait
from tests.bench import invented
from tests.cluster.fake_cluster import FakeCluster
from tests.jobs.commands import command
from tests.made_run import MadeRun


def test_wait_ends_with_the_code_of_what_it_waits_for(store, tmp_path):
    whole = MadeRun(store, tmp_path / "scratch").whole()
    failed = MadeRun(store, tmp_path / "scratch", seed=7)
    failed.attempt(Stage.PREP, 1, code=65, message="bad rows")
    assert command(tmp_path, "wait", FINGPT_ARG_RUN=whole.id).returncode == 0
    done = command(tmp_path, "wait", FINGPT_ARG_RUN=failed.id)
    assert done.returncode == 65
    assert "Stage prep ended with exit code 65: bad rows" in done.stderr


def test_a_complete_sweep_is_0_and_its_screen_says_so_but_a_torn_last_record_is_74(store, tmp_path):
    name = "lora-grid-0a1b2c3d"
    invented.put_sweep(store, name, trials=2, asked=2, told=2)
    last, whole = complete_key(name), encode(invented.end_of(read_sweep(store, name).sweep))
    store.create(last, whole)
    sweep = {"FINGPT_ARG_SWEEP": name}
    assert command(tmp_path, "wait", **sweep).returncode == 0
    assert f"{name}: complete" in command(tmp_path, "status", **sweep).stdout
    (tmp_path / "store" / last).write_bytes(whole[:-1])
    for verb in ("wait", "status"):
        said = command(tmp_path, verb, **sweep)
        assert said.returncode == 74
        assert last in said.stderr


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({}, 64, "Name one thing to wait for"),
        ({"RUN": "a", "SWEEP": "b"}, 64, "Name one thing to wait for"),
        ({"RUN": "tiny-llama31-00000000"}, 66, "There is no run"),
        ({"SWEEP": "lora-grid-00000000"}, 66, "There is no sweep"),
    ],
)
def test_what_cannot_be_waited_for_is_one_sentence(tmp_path, variables, code, words):
    named = {f"FINGPT_ARG_{name}": value for name, value in variables.items()}
    done = command(tmp_path, "wait", **named)
    assert done.returncode == code
    assert words in done.stderr


@pytest.mark.parametrize(("allowed", "asked"), [(True, True), (False, False)])
def test_who_may_not_list_jobs_waits_by_the_bucket(monkeypatch, caplog, allowed, asked):
    cluster, given = FakeCluster(), []
    monkeypatch.setattr(cluster, "can_i", lambda *_: allowed)
    monkeypatch.setattr(wait.log, "setup", lambda: None)  # it is for the whole process
    monkeypatch.setattr(wait, "reach", lambda *_: (cluster, "there"))
    monkeypatch.setattr(wait, "wait_for_run", lambda _store, _run, found: given.append(found))
    with pytest.raises(SystemExit) as ended:
        wait.main(run="tiny-llama31-00000000")
    assert (ended.value.code, given) == (0, [cluster if asked else None])
    assert ("The bucket alone is followed" in caplog.text) is not allowed
