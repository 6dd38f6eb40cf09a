"""Whole trainings inside the test's own process; test_processes starts real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fingpt.errors import (
    DataError,
    DivergedError,
    FencedError,
    FingptError,
    Interrupted,
    SetupError,
)
from fingpt.prompts.examples import decode_jsonl
from fingpt.runs.manifest import Commit, TrainSummary, decode
from fingpt.runs.run import Stage, claim_key, commit_key
from fingpt.train.handoff import TrainTask, read_records
from fingpt.train.machine import Machine
from fingpt.train.read_ahead import ReadAhead
from fingpt.train.session import Session
from fingpt.train.stage import prepare

pytestmark = pytest.mark.usefixtures("torch_as_before")


class Attempts:
    """Trainings of one world, each in a scratch folder of its own."""

    def __init__(self, world) -> None:
        self.world, self._count = world, 0
        self.task: TrainTask | None = None

    def __call__(self, stopping: Callable[[], bool] = lambda: False, **train) -> TrainSummary:
        self._count += 1
        run = self.world.run(**train)
        self.task = prepare(self.world.context(run, f"scratch-{self._count}"))
        return Session(self.task, 0, stopping).run()

    def adapter(self) -> bytes:
        return (self.task.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def attempt(world) -> Attempts:
    return Attempts(world)


def other(tmp_path: Path, invent, base_folder) -> Attempts:
    """The same world again, without the first one's checkpoints."""
    folder = tmp_path / "other"
    folder.mkdir()
    return Attempts(invent.world(folder, base_folder))


def after(checks: int) -> Callable[[], bool]:
    """A stop that comes after so many looks at it."""
    left = iter(range(checks))
    return lambda: next(left, None) is None


def test_two_runs_of_one_configuration_give_the_same_bytes(attempt, tmp_path, invent, base_folder):
    first = attempt()
    twin = other(tmp_path, invent, base_folder)
    second = twin()
    assert attempt.adapter() == twin.adapter()
    assert (first.steps, first.train_loss, first.eval_loss) == (
        second.steps,
        second.train_loss,
        second.eval_loss,
    )
    assert first.exactness == "bitwise"


def test_a_base_that_was_read_ahead_changes_no_byte(attempt, tmp_path, invent, base_folder):
    attempt(max_steps=3)
    twin = other(tmp_path, invent, base_folder)
    twin.task = prepare(twin.world.context(twin.world.run(max_steps=3)))
    ahead = ReadAhead(twin.task.base, torch.device("cpu"))
    Session(twin.task, 0, lambda: False, ahead).run()
    assert ahead.tensors() == {}, "its tensors were not taken"
    assert attempt.adapter() == twin.adapter()


@pytest.mark.parametrize("gpu", [True, False])
def test_a_processor_beside_a_gpu_uses_one_thread(monkeypatch, gpu):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        Machine.spare_processor()
        assert torch.get_num_threads() == (1 if gpu else 2)
    finally:
        torch.set_num_threads(before)


def test_threads_are_spared_before_the_model_is_made(attempt, monkeypatch):
    done = []
    monkeypatch.setattr(Machine, "spare_processor", lambda _: done.append("spared"))
    monkeypatch.setattr(Machine, "load", lambda *_: done.append("load") or pytest.fail("enough"))
    with pytest.raises(pytest.fail.Exception, match="enough"):
        attempt()
    assert done == ["spared", "load"]


def test_what_evaluations_take_is_told_by_step_and_together(attempt):
    summary = attempt(max_steps=4, eval_every=0.5)
    told = [record.eval_seconds for record in read_records(attempt.task.metrics)]
    assert [seconds is not None for seconds in told] == [False, True, False, True]
    assert summary.seconds["evaluations"] == sum(seconds or 0 for seconds in told) > 0


def test_another_seed_of_the_order_gives_another_adapter(attempt, tmp_path, invent, base_folder):
    attempt(max_steps=2)
    twin = other(tmp_path, invent, base_folder)
    twin(max_steps=2, lora={"dropout": 0.2})
    assert attempt.adapter() != twin.adapter()


@pytest.mark.parametrize("looks", [4, 6, 9])
def test_a_stopped_run_goes_on_to_the_same_bytes(attempt, tmp_path, invent, base_folder, looks):
    whole = other(tmp_path, invent, base_folder)
    wanted = whole(eval_every=0.5)
    with pytest.raises(Interrupted, match="its checkpoint is committed"):
        attempt(after(looks), eval_every=0.5)
    stopped_at = len(read_records(attempt.task.metrics))
    summary = attempt(eval_every=0.5)
    assert 0 < summary.resumed == stopped_at < summary.steps
    assert attempt.adapter() == whole.adapter()
    assert (summary.train_loss, summary.eval_loss) == (wanted.train_loss, wanted.eval_loss)
    losses = [[record.loss for record in read_records(a.task.metrics)] for a in (attempt, whole)]
    assert losses[0] == losses[1]


def test_a_run_that_had_finished_gives_the_same_files_again(attempt):
    attempt(max_steps=3)
    files = attempt.adapter(), attempt.task.metrics.read_bytes()
    assert attempt(max_steps=3).resumed == 3
    assert (attempt.adapter(), attempt.task.metrics.read_bytes()) == files


def test_a_damaged_checkpoint_costs_steps_and_not_the_result(
    attempt, tmp_path, invent, base_folder
):
    whole = other(tmp_path, invent, base_folder)
    whole()
    with pytest.raises(Interrupted):
        attempt(after(8))
    store, run = attempt.world.store, attempt.task.run
    n = max(n for n in range(1, 9) if store.exists(commit_key(run.id, n)))
    commit = decode(Commit, store.read(commit_key(run.id, n)), "")
    path = tmp_path / "store" / commit.prefix / "optimizer.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert 0 < attempt().resumed < commit.step
    assert attempt.adapter() == whole.adapter()


@pytest.mark.parametrize(("batch_size", "accumulation"), [(1, 4), (4, 1)])
def test_neither_batch_nor_accumulation_changes_the_loss(
    attempt, tmp_path, invent, base_folder, batch_size, accumulation
):
    exact = {"max_steps": 5, "lora": {"dropout": 0}}
    attempt(**exact)
    twin = other(tmp_path, invent, base_folder)
    twin(**exact, batch_size=batch_size, accumulation=accumulation)
    losses = [[r.loss for r in read_records(a.task.metrics)] for a in (attempt, twin)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_packs_change_no_loss_whatever_their_size(attempt, tmp_path, invent, base_folder):
    exact = {"max_steps": 5, "lora": {"dropout": 0}}
    attempt(**exact, pack_tokens=4096)
    twin = other(tmp_path, invent, base_folder)
    twin(**exact, pack_tokens=64)
    losses = [[r.loss for r in read_records(a.task.metrics)] for a in (attempt, twin)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_resume_takes_the_packs_of_its_checkpoint(
    attempt, tmp_path, invent, base_folder, monkeypatch
):
    monkeypatch.setattr("fingpt.train.machine.CPU_PACK_TOKENS", 64)
    whole = other(tmp_path, invent, base_folder)
    whole()
    with pytest.raises(Interrupted):
        attempt(after(8))
    monkeypatch.setattr("fingpt.train.machine.CPU_PACK_TOKENS", 128)
    summary = attempt()
    assert summary.resumed
    assert summary.hardware["pack_tokens"] == "64"
    assert attempt.adapter() == whole.adapter()


def test_training_lowers_the_loss_and_every_step_is_recorded(attempt):
    summary = attempt(epochs=3, schedule="constant", eval_every=0.05)
    records = read_records(attempt.task.metrics)
    assert [record.step for record in records] == list(range(1, 13))
    assert records[-1].loss < records[0].loss
    assert records[-1].eval_loss == summary.eval_loss < records[0].eval_loss
    assert {record.rows for record in records} == {4}
    assert records[3].epoch == 1
    assert sum(record.tokens for record in records) == summary.tokens
    assert summary.answer_tokens < summary.tokens
    assert summary.eval_split == "validation"
    assert summary.padding_share == 0
    assert summary.hardware["pack_tokens"] == "4096"
    assert summary.hardware["attention"] == "PyTorch's, row by row: no GPU"
    assert summary.hardware["layers"] == "not compiled: a tiny model"
    assert all(r.tokens_per_second > 0 and r.peak_memory_bytes > 1 << 20 for r in records)


def test_a_training_fetches_train_and_validation_rows_alone(attempt):
    attempt(max_steps=1)
    fetched = {path.name for path in attempt.task.data.iterdir()}
    assert fetched == {"train.jsonl", "validation.jsonl"}


def test_the_schedule_warms_up_and_falls(attempt):
    attempt(warmup_ratio=0.25, lr=0.01)
    rates = [record.lr for record in read_records(attempt.task.metrics)]
    assert rates[:3] == pytest.approx([0, 0.005, 0.01])
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_nothing_is_pickled_into_the_store(attempt):
    attempt(max_steps=3)
    prefix = f"runs/{attempt.task.run.id}/train"
    kinds = {key.rpartition(".")[2] for key in attempt.world.store.keys(prefix)}
    assert kinds == {"safetensors", "json", "jsonl"}


@pytest.mark.parametrize(("eval_every", "split"), [(1.0, "train"), (0.01, "validation")])
def test_nan_ends_the_run_and_names_the_examples(tmp_path, invent, base_folder, eval_every, split):
    model, tokenizer = invent.llama(), invent.tokenizer()
    with torch.no_grad():  # rows with a 7 are poisoned, one of each split
        model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("7")] = float("nan")
    folder = tmp_path / "nan"
    folder.mkdir()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    attempt = Attempts(invent.world(tmp_path, folder))
    with pytest.raises(DivergedError, match="became NaN or Inf at step") as caught:
        attempt(batch_size=1, accumulation=1, lr=1e-4, eval_every=eval_every)
    rows = decode_jsonl((attempt.task.data / f"{split}.jsonl").read_bytes())
    (bad,) = [row.id for row in rows if "7" in row.user]
    # Training ran in batches of one, the evaluation in one batch of all its rows.
    named = str(caught.value).split("in examples ")[1].split(";")[0].split(", ")
    assert bad in named
    assert len(named) == (1 if split == "train" else len(rows))
    assert not attempt.task.adapter.exists()


def test_the_final_adapter_is_that_of_the_last_commit(attempt):
    attempt(max_steps=3)
    store, run = attempt.world.store, attempt.task.run
    n = max(n for n in range(1, 9) if store.exists(commit_key(run.id, n)))
    commit = decode(Commit, store.read(commit_key(run.id, n)), "")
    assert store.read(f"{commit.prefix}/adapter_model.safetensors") == attempt.adapter()
    tensors = load_file(attempt.task.adapter / "adapter_model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_a_newer_claim_fences_a_training_before_its_next_commit(attempt):
    run = attempt.world.run(max_steps=6)

    def claimed():
        attempt.world.store.create(claim_key(run.id, Stage.TRAIN, 2), b"{}")
        return False

    with pytest.raises(FencedError, match="taken over"):
        attempt(claimed, max_steps=6)
    assert not attempt.world.store.exists(commit_key(run.id, 1))


def test_gradient_checkpointing_changes_no_loss(attempt, tmp_path, invent, base_folder):
    attempt(max_steps=2, lora={"dropout": 0})
    twin = other(tmp_path, invent, base_folder)
    twin(max_steps=2, lora={"dropout": 0}, gradient_checkpointing=True)
    losses = [[r.loss for r in read_records(a.task.metrics)] for a in (attempt, twin)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"precision": "fp16", "zero_stage": 0}, SetupError),
        ({"optimizer": "zero_one_adam", "zero_stage": 0, "processes": 2}, SetupError),
        ({"max_tokens": 64}, DataError),
    ],
)
def test_what_cannot_work_here_is_said_before_training(attempt, settings, fault):
    with pytest.raises(FingptError) as caught:
        attempt(**settings)
    assert type(caught.value) is fault


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_stop_before_the_first_step_is_honoured_without_one(attempt, looks):
    with pytest.raises(Interrupted, match="before the first step"):
        attempt(after(looks))
    assert not attempt.task.metrics.exists()
