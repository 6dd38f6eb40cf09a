"""Limits: a training pauses where a record in the bucket says so, and goes on to the bytes of one never paused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fingpt.errors import (
    ConfigError,
    DataError,
    FencedError,
    Interrupted,
    StorageError,
    TransientError,
)
from fingpt.runs.manifest import Commit, TrainSummary, decode, encode
from fingpt.runs.run import Run, Stage, attempt_key, claim_key, commit_key, complete_key
from fingpt.runs.stage import run_stage
from fingpt.train import limits, stage
from fingpt.train.handoff import Outcome, read_records, write_outcome
from fingpt.train.launch import trainer_result
from fingpt.train.limits import (
    Limit,
    LimitWatch,
    Reached,
    limit_key,
    newest_limit,
    paused,
    reached_key,
    record_reached,
    require_limits,
    set_limit,
)
from fingpt.train.session import Session, _ResumePoint
from fingpt.train.stage import prepare
from fingpt.train.tokenised import tokenise
from tests.train.stand_in import stand_in
from tests.train.warm import Start

pytestmark = pytest.mark.usefixtures("torch_as_before")

EIGHT_STEPS = {
    "eval_every": 1.0,
    "save_every": 100,
    "epochs": 2.0,
}  # of four rows, two epochs of 16


class Training:
    """One run of one world, trained by as many attempts as it takes."""

    def __init__(self, world, **train) -> None:
        self.world, self.run = world, world.run(**{**EIGHT_STEPS, **train})
        self._count = 0

    def __call__(self, stopping: Callable[[], bool] = lambda: False) -> TrainSummary | Reached:
        self._count += 1
        self.task = prepare(self.world.context(self.run, f"scratch-{self._count}"))
        return Session(self.task, 0, stopping).run()

    def limit(self, tokens: int | None) -> Limit:
        return set_limit(self.world.store, self.run.id, tokens)

    def adapter(self) -> bytes:
        return (self.task.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def training(world) -> Training:
    return Training(world)


@pytest.fixture
def undisturbed(tmp_path: Path, invent, base_folder) -> Training:
    """The same run, trained elsewhere without any limit."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    whole = Training(invent.world(folder, base_folder))
    whole()
    return whole


def tokens_of(whole: Training) -> list[int]:
    """Tokens seen by the end of each step."""
    steps = [record.tokens for record in read_records(whole.task.metrics)]
    return [sum(steps[: n + 1]) for n in range(len(steps))]


def test_a_training_paused_at_limits_goes_on_to_the_bytes_of_one_never_paused(
    training, undisturbed
):
    seen = tokens_of(undisturbed)
    for place in (2, 5):  # the second beyond the first epoch
        wanted = training.limit(seen[place] - 3)
        found = training()
        assert isinstance(found, Reached)
        assert (found.n, found.step, found.tokens) == (wanted.n, place + 1, seen[place])
        assert paused(training.world.store, training.run) == found
    training.limit(None)
    assert paused(training.world.store, training.run) is None
    summary = training()
    assert summary.resumed == 6
    assert training.adapter() == undisturbed.adapter()
    assert summary.eval_loss == read_records(undisturbed.task.metrics)[-1].eval_loss


def test_a_limit_s_checkpoint_is_committed_and_its_loss_is_of_all_validation_rows(training):
    training.limit(1)
    found = training()
    commit = decode(Commit, training.world.store.read(commit_key(training.run.id, 1)), "")
    assert (commit.step, found.step) == (1, 1)
    (record,) = read_records(training.task.metrics)
    assert record.eval_loss == found.eval_loss > 0


def test_a_limit_beyond_the_end_lets_a_training_complete(training):
    training.limit(10**9)
    assert isinstance(training(), TrainSummary)
    assert paused(training.world.store, training.run) is None


def test_a_limit_at_the_very_last_step_is_no_pause(training, undisturbed):
    training.limit(tokens_of(undisturbed)[-1])
    assert isinstance(training(), TrainSummary)


def test_a_limit_written_while_it_trains_is_honoured_at_the_next_step(training, monkeypatch):
    monkeypatch.setattr(limits, "LOOK_SECONDS", 0.0)
    training.limit(10**9)
    looks = iter(range(100))

    def in_the_third_step() -> bool:
        if next(looks) == 5:  # three looks come before the first step
            training.limit(0)
        return False

    found = training(in_the_third_step)
    assert isinstance(found, Reached)
    assert (found.n, found.step) == (2, 4)


def test_looks_for_a_newer_limit_are_seconds_apart_and_an_absent_store_ends_nothing(
    monkeypatch,
):
    looks = []

    def look() -> Limit:
        looks.append(1)
        raise TransientError("away")

    calm = LimitWatch(Limit(n=1, tokens=50), lambda step: 10 * step, look, seconds=60)
    assert [calm.exceeded(step) for step in range(1, 7)] == [False] * 4 + [True] * 2
    assert looks == []
    clock = [0.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: clock[0])
    minutely = LimitWatch(Limit(n=1, tokens=50), lambda step: 10 * step, look, seconds=60)
    for clock[0] in (59, 61, 62, 120, 122):
        minutely.exceeded(1)
    assert len(looks) == 2
    looks.clear()
    hasty = LimitWatch(Limit(n=1, tokens=50), lambda step: 10 * step, look, seconds=0)
    assert not hasty.exceeded(1)
    assert hasty.exceeded(5)
    assert looks == [1, 1]


def test_a_run_without_limits_is_asked_once_and_writes_none(training, monkeypatch):
    monkeypatch.setattr(limits, "LOOK_SECONDS", 0.0)
    asked = []
    exists = type(training.world.store).exists

    def counting(store, key: str) -> bool:
        asked.extend([key] if "/limits/" in key else [])
        return exists(store, key)

    monkeypatch.setattr(type(training.world.store), "exists", counting)
    assert isinstance(training(), TrainSummary)
    assert asked == [limit_key(training.run.id, 1)]


def test_a_stop_during_the_limit_s_evaluation_is_made_good_by_the_next_attempt(
    training, undisturbed
):
    training.limit(tokens_of(undisturbed)[1])
    looks = iter(range(100))
    with pytest.raises(Interrupted, match="after step 2 of 8; its checkpoint is committed"):
        training(
            lambda: next(looks) >= 5
        )  # three before the first step, one a step, the next evaluates
    assert read_records(training.task.metrics)[-1].eval_loss is None
    found = training()
    assert (found.step, paused(training.world.store, training.run)) == (2, found)
    training.limit(None)
    training()
    assert training.adapter() == undisturbed.adapter()


def test_the_loss_at_a_limit_is_the_same_whether_or_not_the_attempt_was_stopped_there(
    training, undisturbed
):
    training.limit(tokens_of(undisturbed)[1])
    first = training()
    path = training.world.folder / "store" / reached_key(training.run.id, 1)
    path.unlink()  # as if the attempt had been killed between its commit and this record
    assert training() == first


def test_a_fenced_training_records_nothing_at_its_limit(training, monkeypatch):
    stand_in(monkeypatch, lambda _: None)
    training.limit(1)

    def overtaken(*_) -> None:
        training.world.store.create(claim_key(training.run.id, Stage.TRAIN, 2), b"{}")

    monkeypatch.setattr("fingpt.train.loop.AnswerTrainer._save_checkpoint", overtaken)
    with pytest.raises(FencedError, match="taken over"):
        training()
    assert paused(training.world.store, training.run) is None


def test_what_an_earlier_attempt_reached_stays(store):
    first = Reached(n=1, step=3, tokens=30, eval_loss=1.5)
    assert record_reached(store, "r", first) == first
    assert record_reached(store, "r", first.model_copy(update={"eval_loss": 1.6})) == first


def test_setting_the_limit_that_holds_writes_nothing(store):
    assert set_limit(store, "r", None) is None
    assert set_limit(store, "r", 10) == set_limit(store, "r", 10) == Limit(n=1, tokens=10)
    assert set_limit(store, "r", None) == Limit(n=2, tokens=None) == newest_limit(store, "r")
    assert set_limit(store, "r", 10) == Limit(n=3, tokens=10)


@pytest.mark.parametrize("key", [limit_key, reached_key])
def test_a_torn_or_foreign_record_is_named(store, training, key):
    run: Run = training.run
    good = {
        limit_key: Limit(n=1, tokens=5),
        reached_key: Reached(n=1, step=1, tokens=5, eval_loss=1),
    }
    for place, bad in (("torn", encode(good[key])[:-9]), ("foreign", b"")):
        world = training.world.folder / place
        elsewhere = type(training.world.store)(world)
        if key is reached_key:
            set_limit(elsewhere, run.id, 5)
        other = good[key].model_copy(update={"n": 2})
        elsewhere.create(key(run.id, 1), bad or encode(other))
        with pytest.raises(StorageError, match=key(run.id, 1)):
            paused(elsewhere, run)


def test_deepspeed_and_data_without_validation_rows_cannot_be_paused(world, monkeypatch):
    stepped = Training(world, zero_stage=0)
    stepped.limit(5)
    with pytest.raises(ConfigError, match="uses DeepSpeed, which keeps no checkpoints"):
        require_limits(stepped.run.config)
    session = Session(prepare(world.context(stepped.run)), 0, lambda: False)
    with pytest.raises(ConfigError, match="or search without pruning"):
        session._limits(_ResumePoint(limit=Limit(n=1, tokens=5)), None, None)
    plain = Training(world)
    plain.limit(5)
    monkeypatch.setattr(
        "fingpt.train.session.tokenise",
        lambda *arguments: replace(tokenise(*arguments), evaluation=(), eval_split="none"),
    )
    with pytest.raises(DataError, match="validation_weeks above 0"):
        plain()


def test_the_stage_of_a_paused_run_ends_well_without_complete_and_says_so(
    world, monkeypatch, capfd
):
    run = world.run()
    found = Reached(n=1, step=2, tokens=100, eval_loss=1.25)
    stand_in(monkeypatch, lambda _: found)
    uri = f"{world.store.uri}/runs/{run.id}/run.json"
    assert run_stage(Stage.TRAIN, uri, lambda: stage.body) == 0
    assert not world.store.exists(complete_key(run.id, Stage.TRAIN))
    ending = json.loads(world.store.read(attempt_key(run.id, Stage.TRAIN, 1)))
    assert (ending["code"], ending["message"]) == (0, found.sentence)
    assert found.sentence in capfd.readouterr().err.splitlines()[-1]


def test_the_trainer_s_outcome_is_what_it_reached(world):
    task = prepare(world.context(world.run()))
    found = Reached(n=1, step=2, tokens=100, eval_loss=1.25)
    write_outcome(task, 0, Outcome(code=0, step=2, reached=found))
    assert trainer_result(task, 0) == found


@pytest.mark.slow
@pytest.mark.part2
def test_two_ranks_pause_together_and_go_on_to_the_bytes_of_two_never_paused(
    world, tmp_path, invent, base_folder
):
    train = {"processes": 2, "batch_size": 1, "max_steps": 6, "save_every": 100, "eval_every": 1.0}
    whole = invent.world(_folder(tmp_path, "whole"), base_folder)
    run = whole.run(**train)
    assert _finished(whole, run) == 0
    same = world.run(**train)
    set_limit(world.store, same.id, 300)
    assert _finished(world, same) == 0
    assert not world.store.exists(complete_key(same.id, Stage.TRAIN))
    found = paused(world.store, same)
    assert 0 < found.step < 6
    set_limit(world.store, same.id, None)
    assert _finished(world, same) == 0
    name = f"runs/{run.id}/train/adapter/adapter_model.safetensors"
    assert world.store.read(name) == whole.store.read(name)


@pytest.mark.slow
@pytest.mark.part3
def test_a_limit_written_from_outside_pauses_a_stage_of_its_own_processes(world):
    run = world.run(max_steps=5000, eval_every=1.0)
    set_limit(world.store, run.id, 10**9)
    start = Start(f"{world.store.uri}/runs/{run.id}/run.json", world.folder / "log")
    while '"event": "checkpoint committed"' not in start.text and start.running:
        pass
    set_limit(world.store, run.id, 0)
    assert start.wait(60) == 0, start.text
    assert paused(world.store, run).step < 5000
    assert "Paused at its limit" in start.text.splitlines()[-1]


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def _finished(world, run: Run) -> int:
    process = world.start(run)
    text = process.communicate(timeout=300)[1]
    assert process.returncode == 0, text
    return process.returncode
