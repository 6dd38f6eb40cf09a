"""`make sweep` at the command line: what it refuses before anything starts; what verify and prune make of it."""

from __future__ import annotations

import os
import shlex
import time
from datetime import UTC, datetime

import pytest

from fingpt.errors import MissingInputError, SetupError, StorageError
from fingpt.runs.freeze import freeze_source
from fingpt.runs.prune import leftovers
from fingpt.runs.run import trial_key
from fingpt.runs.verify import require_sound, verify
from fingpt.storage.deleting import open_deleter
from fingpt.sweeps.definition import load_definition
from fingpt.sweeps.freezing import freeze_sweep
from fingpt.sweeps.records import sweep_key
from fingpt.sweeps.submitted import command_of
from fingpt.sweeps.submitting import submit
from fingpt.sweeps.sweep import Sweep, create_sweep
from jobs import SWEEPS
from jobs.sweep import chosen_configs, chosen_space
from tests.jobs.commands import command
from tests.made_run import MadeRun
from tests.sweeps.studies import IMAGES, defined, frozen

TINY = {"FINGPT_ARG_MODEL": "tiny-llama31", "FINGPT_ARG_SPACE": "tiny-grid"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"FINGPT_ARG_SPACE": ""}, "make sweep SPACE=lora-grid; known: lora-grid"),
        ({"FINGPT_ARG_SPACE": "tiny-gird"}, "did you mean 'tiny-grid'?"),
        ({"FINGPT_ARG_MODEL": ""}, "Name a model"),
        (
            {"FINGPT_ARG_MODEL": "", "FINGPT_ARG_MODELS": "tiny-llama31 tiny-lama31"},
            "There is no configuration 'tiny-lama31'",
        ),
        ({"FINGPT_ARG_SET": "train.lrr=1"}, "did you mean"),
        ({"FINGPT_ARG_SET": "prep.origins=4"}, "prep.origin=1"),
        ({"FINGPT_ARG_SET": "train.schedule=linear train.precision=fp16"}, "loss scaling"),
        ({"FINGPT_ARG_FOLLOW": "perhaps"}, "FOLLOW=perhaps is neither 1 nor 0"),
        ({"FINGPT_ARG_FOLLOW": "0"}, "FOLLOW=0 leaves work to a cluster"),
        ({"FINGPT_ARG_SEEDS": "3"}, "its file says: final_seeds"),
        ({"FINGPT_ARG_MODELS": "tiny-llama31"}, "MODEL= and MODELS= are both named"),
        (
            {"FINGPT_ARG_MODEL": "", "FINGPT_ARG_MODELS": "tiny-llama31 tiny-llama31"},
            "MODELS names tiny-llama31 twice",
        ),
        (
            {"FINGPT_ARG_MODEL": "", "FINGPT_ARG_MODELS": "tiny-llama31, tiny-deepseek-r1"},
            'not commas: MODELS=\\"tiny-llama31 tiny-deepseek-r1\\"',
        ),
        ({"FINGPT_ARG_SET": "train.nodes=0"}, "SET=train.nodes=0: 'train.nodes' is 0"),
        ({"FINGPT_ARG_LIMIT": "-1"}, "LIMIT=-1: 'prep.limit' is -1"),
        (
            {"FINGPT_ARG_SPACE": "/nowhere/tiny-gird.yaml"},
            "There is no search 'tiny-gird' in /nowhere",
        ),
        ({"FINGPT_ARG_SPACE": "jobs/sweeps/tiny-gird.yaml"}, "did you mean 'tiny-grid'?"),
        ({"FINGPT_ARG_SPACE": "/tmp/My Space.yaml"}, "rename its file"),
        ({"FINGPT_ARG_SPACE": "jobs/"}, "is a folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, given, words):
    said = command(tmp_path, "sweep", "--mode", "local", **{**TINY, **given})
    assert said.returncode == 64, said.stderr
    assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "store").exists()


def test_an_engine_that_could_not_answer_for_the_best_setting_is_refused_before_the_search(
    tmp_path,
):
    said = command(tmp_path, "sweep", **TINY, FINGPT_ARG_SET="eval.engine=vllm")
    assert said.returncode == 78, said.stderr
    assert "eval.engine=vllm needs vLLM" in said.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command_of", [("sweep",), ("submit", "run"), ("forecast", "ask")])
def test_a_plan_for_a_cluster_and_work_on_this_machine_exclude_each_other(tmp_path, command_of):
    said = command(tmp_path, *command_of, "--mode", "dry-run", **TINY, FINGPT_ARG_LOCAL="1")
    assert said.returncode == 64, said.stderr
    assert "DRY_RUN=1 prints the Jobs of a cluster, and LOCAL=1" in said.stderr


@pytest.mark.parametrize("models", ["tiny-llama31", "tiny-deepseek-r1 tiny-llama31"])
def test_the_command_that_goes_on_with_a_sweep_followed_to_the_letter_makes_that_very_sweep(
    store, monkeypatch, models
):
    def made(**given: str) -> Sweep:
        for name in ("SPACE", "MODEL", "MODELS", "DATA", "LIMIT", "SET"):
            monkeypatch.setenv(f"FINGPT_ARG_{name}", given.get(name, ""))
        configs = chosen_configs(given.get("MODEL", ""))
        return freeze_sweep(
            *chosen_space(), configs, IMAGES, lambda config: freeze_source(store, config)
        )

    sweep = made(
        SPACE="tiny-grid", MODELS=models, LIMIT="40", SET="train.epochs=2 train.max_tokens=512"
    )
    make, target, *words = shlex.split(command_of(store, sweep))
    assert (make, target) == ("make", "sweep")
    again = made(**dict(word.split("=", 1) for word in words))
    assert again.id == sweep.id
    other = sweep.model_copy(update={"definition": defined()})
    assert "SPACE=FOLDER/tiny-grid.yaml " in command_of(store, other)


@pytest.mark.parametrize("verb", ["trial", "controller"])
def test_a_pod_without_its_sweep_says_what_it_was_given(tmp_path, verb):
    said = command(tmp_path, "sweep", verb, "--sweep", "s3:/x", "--model", "tiny-llama31")
    assert said.returncode == 64, said.stderr
    assert "must look like" in said.stderr


def test_a_store_that_lets_a_second_writer_win_is_refused_before_anything_is_frozen(
    tmp_path, monkeypatch
):
    from fingpt.storage.local import LocalStore

    def overwrite(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return True

    monkeypatch.setattr(LocalStore, "create", overwrite)
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    from fingpt.runs.backend import Mode

    definition = load_definition(SWEEPS / "tiny-grid.yaml")
    with pytest.raises(SetupError, match="ignores If-None-Match") as fault:
        submit("tiny-grid", definition, chosen_configs("tiny-llama31"), Mode.LOCAL, follow=True)
    assert fault.value.exit_code == 78
    assert not (tmp_path / "store" / "sweeps").exists()


def test_a_trial_verifies_without_an_eval_and_another_run_does_not(store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch")
    made.prep()
    made.train()
    with pytest.raises(MissingInputError, match="incomplete"):
        require_sound(made.id, verify(store, made.id))
    store.create(trial_key(made.id), b"{}")
    require_sound(made.id, verify(store, made.id))
    links = {link.key: link for link in verify(store, made.id)}
    assert links[f"runs/{made.id}/eval/COMPLETE.json"].status == "skipped"


def test_a_trial_whose_eval_was_begun_has_to_have_one(store, tmp_path):
    from fingpt.runs.run import Stage

    made = MadeRun(store, tmp_path / "scratch")
    made.prep()
    made.train()
    store.create(trial_key(made.id), b"{}")
    made.attempt(Stage.EVAL, code=75)
    with pytest.raises(MissingInputError):
        require_sound(made.id, verify(store, made.id))


def aged(folder) -> None:
    then = time.time() - 86400
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def test_prune_keeps_the_rows_of_a_sweep_that_has_no_run_yet(store, tmp_path):
    MadeRun(store, tmp_path / "scratch", rows="other").whole()
    sweep = frozen(store, tmp_path)
    (source,) = {config.prep.source for config in sweep.bases.values()}
    aged(tmp_path / "store")
    now = datetime.now(UTC)
    without = [each.prefix for each in leftovers(store, open_deleter(store), now)]
    assert without == [source]
    create_sweep(store, sweep)
    aged(tmp_path / "store")
    assert list(leftovers(store, open_deleter(store), now)) == []


def test_prune_stops_at_a_sweep_that_cannot_be_read(store, tmp_path):
    MadeRun(store, tmp_path / "scratch").whole()
    store.create(sweep_key("grid-0a1b2c3d"), b"torn")
    with pytest.raises(StorageError, match=r"grid-0a1b2c3d/sweep\.json"):
        list(leftovers(store, open_deleter(store), datetime.now(UTC)))


def test_two_things_are_not_cancelled_at_once(tmp_path):
    said = command(tmp_path, "cancel", "--sweep", "grid-1", "--run", "llama31-0a1b2c3d")
    assert said.returncode == 64
    assert "make cancel SWEEP=grid-1" in said.stderr
