"""Sweeps whose trials are invented: a store that fails where a test wants, workers that train in no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from fingpt.config import RunConfig
from fingpt.errors import FingptError
from fingpt.record import FileRef, sha256_bytes
from fingpt.runs.attempt import claim
from fingpt.runs.freeze import create_run, freeze_source
from fingpt.runs.manifest import (
    DatasetManifest,
    EvalManifest,
    PrepManifest,
    TrainManifest,
    encode,
)
from fingpt.runs.run import Run, Stage, complete_key, dataset_manifest_key
from fingpt.storage import ObjectStore, put
from fingpt.sweeps.adopt import adopt
from fingpt.sweeps.definition import SweepDefinition, parse_definition
from fingpt.sweeps.finals import leader
from fingpt.sweeps.freezing import freeze_sweep
from fingpt.sweeps.planned import run_plan
from fingpt.sweeps.pool import Ended
from fingpt.sweeps.records import Tell
from fingpt.sweeps.sweep import Sweep

MODEL = "tiny-llama31"
GRID = """
method: grid
parallel: 2
space:
  train.lr: [1e-3, 2e-3]
  train.epochs: [1, 2]
"""
IMAGES = {str(stage): "local:0123" for stage in Stage}


def defined(text: str = GRID, **changes: Any) -> SweepDefinition:
    return parse_definition({**yaml.safe_load(text), **changes}, "tests.yaml")


def frozen(store: ObjectStore, folder: Path, definition: SweepDefinition | None = None) -> Sweep:
    """A sweep of the tiny model over two invented files of rows."""
    source = folder / "rows"
    source.mkdir(exist_ok=True)
    for split in ("train", "test"):
        (source / f"{split}.jsonl").write_text(f'{{"rows": "{split}"}}\n', "utf-8")
    config = RunConfig.model_validate({"model": MODEL, "prep": {"source": str(source)}})
    return freeze_sweep(
        "grid", definition or defined(), [config], IMAGES, lambda c: freeze_source(store, c)
    )


def identity(run: Run, stage: Stage) -> dict[str, Any]:
    return {
        "run": run.id,
        "stage": str(stage),
        "config_sha256": run.config.sha256,
        "image": "local:0123",
        "inputs": {},
        "finished_at": "2026-01-02T03:04:05+00:00",
    }


def complete_prep(store: ObjectStore, run: Run) -> None:
    """What prep leaves of the sweep's rows."""
    dataset = DatasetManifest(
        id="d" * 16,
        source=run.config.prep.source,
        split_rule="published",
        counts={},
        weeks={},
        files=(),
    )
    put(store, dataset_manifest_key(dataset.id), encode(dataset))
    sha256 = sha256_bytes(encode(dataset))
    manifest = PrepManifest(**identity(run, Stage.PREP), dataset=dataset.id, dataset_sha256=sha256)
    store.create(complete_key(run.id, Stage.PREP), encode(manifest))


def loss_of(run: Run) -> float:
    """The invented objective: lowest at a rate of 2e-3 and two epochs; other seeds differ a little."""
    train = run.config.train
    return round(
        1 + abs(train.lr - 2e-3) * 100 + abs(train.epochs - 2) / 20 + run.config.seed / 1e5, 6
    )


def complete_train(
    store: ObjectStore, run: Run, loss: float | None = None, split: str = "validation"
) -> None:
    numbers = dict.fromkeys(
        (
            "steps",
            "rows",
            "tokens",
            "answer_tokens",
            "trainable_parameters",
            "dropped_news",
            "peak_memory_bytes",
            "resumed",
        ),
        1,
    )
    texts = dict.fromkeys(("base", "base_sha256", "tokenizer_sha256", "template_sha256"), "x")
    manifest = TrainManifest(
        **identity(run, Stage.TRAIN),
        **numbers,
        **texts,
        train_loss=1.0,
        eval_loss=loss_of(run) if loss is None else loss,
        eval_split=split,
        padding_share=0.0,
        exactness="bitwise",
        dataset="d" * 16,
        files=(),
        hardware={"device": "cpu"},
    )
    store.create(complete_key(run.id, Stage.TRAIN), encode(manifest))


def complete_eval(store: ObjectStore, run: Run) -> None:
    manifest = EvalManifest(
        **identity(run, Stage.EVAL),
        dataset="d" * 16,
        adapter_sha256="a",
        base_sha256="b",
        decoding={},
        scores={},
        files=(FileRef(name="scores.parquet", size=1, sha256="s"),),
    )
    store.create(complete_key(run.id, Stage.EVAL), encode(manifest))


class InstantWorkers:
    """`Workers` that train when they are looked at, in an order of their own, and record what real ones would.

    `fault`: from a run to the error that its training ends with, None for none; it may change its mind.
    """

    def __init__(
        self,
        store: ObjectStore,
        sweep: Sweep,
        fault: Callable[[Run], Exception | None] = lambda _: None,
    ) -> None:
        self._store, self._leader, self._fault = store, leader(sweep, MODEL), fault
        self._wanted: dict[str, tuple[Run, Sequence[Stage]]] = {}
        self._ended: dict[str, Ended] = {}
        self.started: list[str] = []
        self.most_at_once = 0

    def start(self, run: Run, stages: Sequence[Stage]) -> None:
        assert adopt(self._store, run, self._leader)
        self.started.append(run.id)
        self._wanted[run.id] = (run, stages)
        self._ended.pop(run.id, None)
        self.most_at_once = max(self.most_at_once, len(self._wanted))

    def ended(self, run: Run) -> Ended | None:
        return self._ended.get(run.id)

    def wait(self, seconds: float) -> None:
        """The one that was started last ends first."""
        run, stages = self._wanted.popitem()[1]
        self._ended[run.id] = self._carry_out(run, stages)

    def _carry_out(self, run: Run, stages: Sequence[Stage]) -> Ended:
        fault = self._fault(run)
        try:
            with claim(self._store, run.id, Stage.TRAIN):
                if fault is not None:
                    raise fault
                complete_train(self._store, run)
        except (FingptError, ValueError) as error:
            return Ended(error.exit_code if isinstance(error, FingptError) else 1, str(error))
        if Stage.EVAL in stages:
            complete_eval(self._store, run)
        return Ended(0)


class InstantPlace:
    """`controller.Place` with those workers."""

    def __init__(self, store: ObjectStore, workers: InstantWorkers) -> None:
        self._store, self.workers = store, workers

    def prepare(self, leader: Run) -> None:
        create_run(self._store, leader)
        complete_prep(self._store, leader)

    def search(self, sweep: Sweep, model: str) -> tuple[Tell, ...]:
        return run_plan(sweep, model, self._store, self.workers)


class Killed(BaseException):
    """The process ends here, without a word."""


class MortalStore:
    """A store whose process is killed at request number `at`, before or after that request is served.

    Requests of other threads are heartbeats; the dead make none.
    """

    def __init__(self, store: ObjectStore, at: int, *, after: bool) -> None:
        self._store, self._at, self._after = store, at, after
        self._main = threading.current_thread()
        self.uri, self.requests = store.uri, 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def mortal(*words: Any, **named: Any) -> Any:
            if threading.current_thread() is not self._main:
                return method(*words, **named) if self.requests < self._at else False
            self.requests += 1
            if self.requests > self._at or (self.requests == self._at and not self._after):
                raise Killed
            result = method(*words, **named)
            if self.requests == self._at:
                raise Killed
            return result

        return mortal
