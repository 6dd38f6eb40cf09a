"""However a training on several nodes ends, every node says the same, and a verdict of one is everybody's."""

from __future__ import annotations

import os

import pytest

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import DivergedError, Interrupted, StageFailedError, TransientError
from fingpt.record import canonical_json
from fingpt.runs.nodes import Node, ending_of, sign_in, sign_out
from fingpt.runs.run import Run, Stage, attempt_key, complete_key
from fingpt.storage import LocalStore
from fingpt.train import endings
from fingpt.train.endings import await_node_0, joint_ending
from fingpt.train.handoff import LostPeersError, Outcome, TrainTask, write_outcome
from fingpt.train.launch import trainer_result


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> list[float]:
    """Seconds pass only while somebody sleeps."""
    now = [0.0]
    monkeypatch.setattr(endings.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(endings.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def task(folder, rank: int, nodes: int = 2) -> TrainTask:
    config = RunConfig(model="tiny-llama31", train=TrainConfig(nodes=nodes))
    made = TrainTask(
        run=Run.of(config, {}),
        store="file:///nowhere",
        folder=folder,
        base=folder,
        data=folder,
        context={},
        attempt=0 if rank else 4,
        supervisor=os.getpid(),
        node=Node(rank=rank, count=nodes, address="first", port=1),
    )
    made.joined.write_text("4")
    return made


def ended(store, one: TrainTask, error: BaseException) -> BaseException:
    with pytest.raises((TransientError, StageFailedError)) as told, joint_ending(store, one):
        raise error
    return told.value


@pytest.mark.parametrize("rank", [0, 1])
def test_a_verdict_of_another_node_goes_before_the_loss_of_it(store, tmp_path, rank):
    one = task(tmp_path, rank)
    sign_in(store, one.run.id, 4, 1 - rank)
    sign_out(store, one.run.id, 4, 1 - rank, DivergedError("NaN at step 3"), lost=False)
    told = ended(store, one, LostPeersError("connection closed"))
    assert (told.exit_code, str(told).startswith(f"Node {1 - rank} (on ")) == (70, True)
    assert str(told).endswith("ended: NaN at step 3")
    assert ending_of(store, one.run.id, 4, rank).lost


def test_a_verdict_that_comes_late_is_still_told(store, tmp_path, monkeypatch, clock):
    one = task(tmp_path, 0)

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if clock[0] == 20:
            sign_out(store, one.run.id, 4, 1, DivergedError("NaN"), lost=False)

    monkeypatch.setattr(endings.time, "sleep", sleep)
    assert ended(store, one, LostPeersError("connection closed")).exit_code == 70


def test_a_node_that_says_nothing_is_named_after_half_a_minute(store, tmp_path, clock):
    one = task(tmp_path, 0)
    sign_in(store, one.run.id, 4, 1)
    told = ended(store, one, LostPeersError("connection closed"))
    assert (told.exit_code, clock[0]) == (75, 31)
    assert "Node 1 (on " in str(told)
    assert "left without a word" in str(told)


def test_where_every_node_only_lost_the_others_their_own_words_stand(store, tmp_path):
    one = task(tmp_path, 0)
    sign_out(store, one.run.id, 4, 1, LostPeersError("timeout"), lost=True)
    assert str(ended(store, one, LostPeersError("no rank came"))) == "no rank came"


@pytest.mark.parametrize(
    "error",
    [DivergedError("NaN"), Interrupted("stopped"), RuntimeError("bug"), KeyboardInterrupt()],
)
def test_a_cause_of_its_own_ends_a_node_at_once_and_is_left_for_the_others(
    store, tmp_path, clock, error
):
    one = task(tmp_path, 1)
    with pytest.raises(type(error)), joint_ending(store, one):
        raise error
    assert clock[0] == 0
    left = ending_of(store, one.run.id, 4, 1)
    codes = {DivergedError: 70, Interrupted: 143, RuntimeError: 1, KeyboardInterrupt: 143}
    assert (left.code, left.lost) == (codes[type(error)], False)


def test_one_node_and_one_that_joined_nothing_leave_no_record(store, tmp_path):
    for one in (task(tmp_path, 0, nodes=1), task(tmp_path, 1)):
        one.joined.unlink()
        with pytest.raises(LostPeersError), joint_ending(store, one):
            raise LostPeersError("nobody came")
        assert list(store.keys("runs/")) == []
        one.joined.write_text("4")


def test_a_worker_ends_well_once_node_0_has_finished_the_stage(store, tmp_path):
    one = task(tmp_path, 1)
    store.create(complete_key(one.run.id, Stage.TRAIN), b"{}")
    await_node_0(store, one)


def test_a_worker_ends_as_node_0_does_when_its_upload_fails(store, tmp_path, clock):
    one = task(tmp_path, 1)
    ending = canonical_json({"attempt": 4, "code": 77, "message": "no right to write"})
    store.create(attempt_key(one.run.id, Stage.TRAIN, 4), ending)
    with pytest.raises(StageFailedError, match="Node 0 ended: no right to write") as told:
        await_node_0(store, one)
    assert told.value.exit_code == 77


def test_a_worker_does_not_wait_for_ever(store, tmp_path, clock):
    with pytest.raises(TransientError, match="has not finished the stage"):
        await_node_0(store, task(tmp_path, 1))
    assert clock[0] >= endings.UPLOAD_SECONDS


def test_a_rank_that_lost_the_others_is_no_cause_beside_one_that_has_one(tmp_path):
    one = task(tmp_path, 1)
    write_outcome(one, 1, Outcome(code=75, message="lost", lost=True))
    with pytest.raises(LostPeersError, match="lost"):
        trainer_result(one, 1)
    two = one.model_copy(
        update={
            "run": Run.of(
                RunConfig(model="tiny-llama31", train=TrainConfig(nodes=2, processes=2)), {}
            )
        }
    )
    write_outcome(two, 2, Outcome(code=75, message="lost", lost=True))
    write_outcome(two, 3, Outcome(code=70, message="NaN"))
    with pytest.raises(DivergedError, match="NaN"):
        trainer_result(two, 1)
