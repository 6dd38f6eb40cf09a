"""A study of real trainings, small ones: pruned trials keep their checkpoints, promoted ones lose nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fingpt.config import RunConfig, TrainConfig
from fingpt.record import sha256_bytes
from fingpt.runs.manifest import PrepManifest, TrainManifest, decode, encode
from fingpt.runs.progress import sound_commits
from fingpt.runs.run import Run, Stage, complete_key, dataset_manifest_key, run_key
from fingpt.runs.stage import finished, run_stage
from fingpt.runs.verify import LinkStatus, verify
from fingpt.sweeps.definition import parse_definition
from fingpt.sweeps.journal import Journal
from fingpt.sweeps.pool import Ended
from fingpt.sweeps.study import run_study
from fingpt.sweeps.sweep import Sweep
from fingpt.train import stage
from fingpt.train.limits import newest_limit, reached
from fingpt.train.session import Session
from tests.train.stand_in import stand_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("torch_as_before")]

DEFINITION = {
    "method": "tpe",
    "trials": 5,
    "parallel": 2,
    "space": {"train.lr": {"low": 1e-4, "high": 3e-2, "log": True}, "train.epochs": [2, 3]},
    "pruning": {"reduction": 2, "first": 0.4},
}
TRAIN = {"batch_size": 2, "accumulation": 2, "save_every": 100, "eval_every": 1.0}


class HereAndNow:
    """Workers that carry out a run in this process, as soon as it is started."""

    def __init__(self, world) -> None:
        self._world = world
        self._ended: dict[str, Ended] = {}
        self.trained: list[str] = []

    def start(self, run: Run, stages: Sequence[Stage]) -> None:
        store = self._world.store
        store.create(complete_key(run.id, Stage.PREP), self._prepared(run))
        if Stage.TRAIN in stages:
            self.trained.append(run.id)
            uri = f"{store.uri}/{run_key(run.id)}"
            assert run_stage(Stage.TRAIN, uri, lambda: stage.body) == 0
        self._ended[run.id] = Ended(0)

    def ended(self, run: Run) -> Ended | None:
        return self._ended[run.id]

    def wait(self, seconds: float) -> None:
        pytest.fail("everything has ended when it starts")

    def _prepared(self, run: Run) -> bytes:
        manifest = self._world.store.read(dataset_manifest_key("invented"))
        return encode(
            PrepManifest(
                run=run.id,
                stage="prep",
                config_sha256=run.config.sha256,
                image="",
                inputs={},
                finished_at="",
                dataset="invented",
                dataset_sha256=sha256_bytes(manifest),
            )
        )


def test_a_pruned_study_of_trainings(world, tmp_path, invent, base_folder, monkeypatch):
    stand_in(monkeypatch, lambda task: Session(task, 0, lambda: False).run())
    base = RunConfig(model=world.model.key, train=TrainConfig(**TRAIN))
    sweep = Sweep.of("real", parse_definition(DEFINITION, "tests"), {base.model: base}, {})
    workers = HereAndNow(world)
    told = run_study(sweep, base.model, world.store, workers)
    assert {tell.state for tell in told} == {"complete", "pruned"}
    whole = invent.world(_folder(tmp_path), base_folder)
    for tell, run in zip(told, _runs(world, sweep), strict=True):
        if tell.state == "pruned":
            released = newest_limit(world.store, run.id)
            assert released.tokens is None
            there = reached(world.store, run.id, released.n - 1)
            assert next(sound_commits(world.store, run.id)).step == there.step > 0
            assert finished(world.store, run, Stage.TRAIN) is None
            continue
        assert workers.trained.count(run.id) > 1, "it was paused and went on"
        made = decode_train(world, run)
        assert (made.eval_loss, made.resumed > 0) == (tell.value, True)
        assert adapter(world, run) == undisturbed(whole, run)
        faults = [x.key for x in verify(world.store, run.id) if x.status in BROKEN]
        assert [key for key in faults if "/eval/" not in key and "test.jsonl" not in key] == []


BROKEN = {LinkStatus.DAMAGED, LinkStatus.MISSING}


def _runs(world, sweep) -> list[Run]:
    journal = Journal(sweep, world.model.key, world.store)
    return [journal.run_of(journal.ask(number).settings) for number in range(5)]


def _folder(tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    return folder


def decode_train(world, run: Run) -> TrainManifest:
    key = complete_key(run.id, Stage.TRAIN)
    return decode(TrainManifest, world.store.read(key), key)


def adapter(world, run: Run) -> bytes:
    return world.store.read(f"runs/{run.id}/train/adapter/adapter_model.safetensors")


def undisturbed(whole, run: Run) -> bytes:
    """The adapter of the same configuration, trained elsewhere in one go."""
    same = whole.run(**run.config.train.model_dump())
    task = stage.prepare(whole.context(same, same.id))
    Session(task, 0, lambda: False).run()
    return (task.adapter / "adapter_model.safetensors").read_bytes()
