"""The stage as it really runs: supervisor and trainer processes, signals, kills, several ranks.

Slow: every start of a trainer imports torch, transformers and DeepSpeed, which takes seconds.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
import torch

from fingpt.record import sha256_file
from fingpt.runs.manifest import TrainManifest, decode
from fingpt.runs.run import Run, Stage, complete_key, stage_prefix
from fingpt.train.handoff import StepRecord
from fingpt.train.session import Session
from fingpt.train.stage import prepare

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("torch_as_before")]

TRAINING = '"what": "train'
COMMITTED = '"event": "checkpoint committed"'


def wait_for(process: subprocess.Popen[str], said: str) -> None:
    """Read the stage's log until it has `message` something."""
    seen = []
    for line in process.stderr:
        seen.append(line)
        if said in line:
            return
    pytest.fail(f"no {said} in the log:\n{''.join(seen)}")


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and the rest of the log."""
    text = process.communicate(timeout=300)[1]
    return process.returncode, text


def manifest(world, run: Run) -> TrainManifest:
    key = complete_key(run.id, Stage.TRAIN)
    return decode(TrainManifest, world.store.read(key), key)


def adapter_bytes(world, run: Run) -> bytes:
    return world.store.read(
        f"{stage_prefix(run.id, Stage.TRAIN)}/adapter/adapter_model.safetensors"
    )


def losses(world, run: Run) -> list[StepRecord]:
    data = world.store.read(f"{stage_prefix(run.id, Stage.TRAIN)}/metrics.jsonl")
    return [StepRecord.model_validate_json(line) for line in data.splitlines()]


def undisturbed(tmp_path: Path, invent, base_folder, **train) -> bytes:
    """The adapter of the same configuration, trained elsewhere without any interruption."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    world = invent.world(folder, base_folder)
    task = prepare(world.context(world.run(**train)))
    Session(task, 0, lambda: False).run()
    return (task.adapter / "adapter_model.safetensors").read_bytes()


def test_the_stage_leaves_a_manifest_that_names_everything(world):
    run = world.run(max_steps=4)
    code, text = finish(world.start(run))
    assert code == 0, text
    made = manifest(world, run)
    assert (made.steps, made.resumed, made.exactness) == (4, 0, "bitwise")
    assert made.base == f"{world.model.base}@{world.model.revision}"
    assert {"torch", "transformers", "peft", "accelerate"} <= made.versions.keys()
    assert {"fetch", "tokenise", "load", "train", "save", "upload"} <= made.seconds.keys()
    said = {line["event"]: line for line in map(json.loads, text.splitlines())}
    assert said["libraries imported"]["seconds"] > 0
    parts = said["training"]["seconds"]
    assert parts.keys() == {"tokenise", "load", "base", "adapter", "layers", "packs"}
    assert parts["base"] <= parts["load"] < made.seconds["total"]
    prefix = stage_prefix(run.id, Stage.TRAIN)
    names = {file.name for file in made.files}
    assert names == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "metrics.jsonl",
    }
    for file in made.files:
        assert sha256_file(world.folder / "store" / prefix / file.name) == file.sha256
    assert finish(world.start(run))[0] == 0


def test_sigterm_saves_a_checkpoint_and_the_next_start_goes_on(
    world, tmp_path, invent, base_folder
):
    train = {
        "max_steps": 300,
        "batch_size": 1,
        "accumulation": 1,
        "eval_every": 1.0,
        "save_every": 500,
    }
    run = world.run(**train)
    process = world.start(run)
    wait_for(process, TRAINING)
    process.send_signal(signal.SIGTERM)
    code, text = finish(process)
    assert code == 143, text
    assert '"event": "checkpoint committed"' in text
    assert not world.store.exists(complete_key(run.id, Stage.TRAIN))
    code, text = finish(world.start(run))
    assert code == 0, text
    assert manifest(world, run).resumed > 0
    assert adapter_bytes(world, run) == undisturbed(tmp_path, invent, base_folder, **train)


def test_a_trainer_ends_soon_after_its_supervisor(world):
    process = world.start(world.run(max_steps=5000, eval_every=1.0))
    wait_for(process, COMMITTED)
    (trainer,) = psutil.Process(process.pid).children()
    process.kill()
    finish(process)
    assert trainer.wait(timeout=10) is None or not trainer.is_running()


def test_nan_ends_with_70_and_one_sentence(tmp_path, invent):
    model, tokenizer = invent.llama(), invent.tokenizer()
    with torch.no_grad():
        model.lm_head.weight[5] = float("inf")
    folder = tmp_path / "bad"
    folder.mkdir()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    world = invent.world(tmp_path, folder)
    code, text = finish(world.start(world.run()))
    assert code == 70, text
    last = json.loads(text.splitlines()[-1])
    assert "became NaN or Inf at step 1, in examples" in last["event"]
    assert not world.store.exists(complete_key(world.run().id, Stage.TRAIN))


def test_a_checkpoint_is_committed_after_the_time_limit_too(world, monkeypatch):
    from fingpt.train import session
    from fingpt.train.callbacks import StopAndSave

    monkeypatch.setattr(
        session, "StopAndSave", lambda *given: StopAndSave(*given, save_seconds=0.0)
    )
    task = prepare(world.context(world.run(max_steps=3, save_every=100)))
    Session(task, 0, lambda: False).run()
    assert len(list(world.store.keys(f"runs/{task.run.id}/train/commits/"))) == 3


@pytest.mark.parametrize("zero_stage", [None, 0, 2])
def test_two_processes_train_like_one(tmp_path, invent, base_folder, zero_stage):
    records = {}
    for processes, stage in ((1, None), (2, zero_stage)):
        folder = tmp_path / f"{processes}"
        folder.mkdir()
        world = invent.world(folder, base_folder, 15)  # the last step lacks a row
        run = world.run(
            max_steps=6,
            lora={"dropout": 0},
            batch_size=1,
            accumulation=4 // processes,
            processes=processes,
            zero_stage=stage,
        )
        code, text = finish(world.start(run))
        assert code == 0, text
        records[processes] = losses(world, run)
        made = manifest(world, run)
        assert made.exactness == ("bitwise" if stage is None else "restarted")
    for one, two in zip(records[1], records[2], strict=True):
        assert two.loss == pytest.approx(one.loss, rel=1e-4)
        assert two.eval_loss == pytest.approx(one.eval_loss, rel=1e-4)
        assert (one.rows, one.tokens) == (two.rows, two.tokens)


def test_two_processes_measure_and_train_in_8_bits_like_one(tmp_path, invent, base_folder):
    gates, records = {}, {}
    for processes in (1, 2):
        folder = tmp_path / f"{processes}"
        folder.mkdir()
        world = invent.world(folder, base_folder)
        run = world.run(
            max_steps=3,
            lora={"dropout": 0},
            batch_size=1,
            accumulation=4 // processes,
            processes=processes,
            base_precision="int8",
            gradient_precision="fp8",
        )
        code, text = finish(world.start(run))
        assert code == 0, text
        gates[processes], records[processes] = manifest(world, run).gate, losses(world, run)
    assert gates[1].passed
    assert gates[2].passed
    # The same rows in other packs; each adapter's start is the same.
    assert gates[2].rows == gates[1].rows == 16
    apart = [1 - each.cosine for each in gates.values()]
    assert apart[1] == pytest.approx(apart[0], rel=0.02), gates
    for one, two in zip(records[1], records[2], strict=True):
        assert two.loss == pytest.approx(one.loss, rel=1e-3)


def test_two_processes_stop_together_and_resume_to_the_same_bytes(
    world, tmp_path, invent, base_folder
):
    train = {
        "max_steps": 120,
        "processes": 2,
        "batch_size": 1,
        "accumulation": 1,
        "eval_every": 1.0,
    }
    run = world.run(**train)
    process = world.start(run)
    wait_for(process, TRAINING)
    process.send_signal(signal.SIGTERM)
    code, text = finish(process)
    assert code == 143, text
    code, text = finish(world.start(run))
    assert code == 0, text
    assert manifest(world, run).resumed > 0
    folder = tmp_path / "whole"
    folder.mkdir()
    whole = invent.world(folder, base_folder)
    code, text = finish(whole.start(whole.run(**train)))
    assert code == 0, text
    assert adapter_bytes(world, run) == adapter_bytes(whole, run)


def test_an_interrupted_deepspeed_run_starts_again_from_step_0(world):
    run = world.run(max_steps=60, zero_stage=0, accumulation=1, eval_every=1.0)
    process = world.start(run)
    wait_for(process, TRAINING)
    process.send_signal(signal.SIGTERM)
    code, text = finish(process)
    assert code == 143, text
    assert "start again from step 0" in text
    code, text = finish(world.start(run))
    assert code == 0, text
    assert manifest(world, run).resumed == 0
