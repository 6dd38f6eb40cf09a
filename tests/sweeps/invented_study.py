"""A study without trainings: a store in memory, workers that pretend, and a kill at any call of either."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fingpt.config import PrepConfig, RunConfig
from fingpt.runs.manifest import PrepManifest, TrainManifest, encode
from fingpt.runs.run import Run, Stage, complete_key
from fingpt.runs.stage import finished
from fingpt.sweeps.definition import SweepDefinition, parse_definition
from fingpt.sweeps.epoch import Epoch, epoch_key
from fingpt.sweeps.pool import Ended
from fingpt.sweeps.records import Tell, write
from fingpt.sweeps.sweep import Sweep
from fingpt.train.limits import Reached, newest_limit, record_reached

MODEL = "tiny-llama31"
EPOCH = Epoch(dataset="d", rows=160, tokens=1000)

SPACE = {
    "train.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "train.epochs": [1, 2],
}


class Killed(BaseException):
    """What `kill -9` does: nothing of ours catches it."""


class Calls:
    """Counts calls, and kills at the one that is chosen, before it has any effect."""

    def __init__(self, fatal: int = -1) -> None:
        self.count, self._fatal = 0, fatal

    def __call__(self) -> None:
        self.count += 1
        if self.count - 1 == self._fatal:
            raise Killed


class MemoryStore:
    """Objects in a dictionary; what a study needs of a store."""

    uri = "file:///memory"

    def __init__(self, objects: dict[str, bytes] | None = None, calls: Calls | None = None) -> None:
        self.objects = {} if objects is None else objects
        self._calls = calls or Calls()

    def create(self, key: str, data: bytes) -> bool:
        self._calls()
        return self.objects.setdefault(key, data) is data

    def read(self, key: str, limit: int = 0) -> bytes:
        self._calls()
        return self.objects[key]

    def exists(self, key: str) -> bool:
        self._calls()
        return key in self.objects

    def keys(self, prefix: str = "") -> Iterator[str]:
        yield from sorted(key for key in self.objects if key.startswith(prefix))


def loss_of(run: Run, tokens: float) -> float:
    """A made-up loss: best at a rate of 2e-3, and falling with tokens."""
    return abs(math.log(run.config.train.lr / 2e-3)) + 100 / (tokens + 100)


Verdict = Callable[[Run], Sequence[Ended]]


class Machine:
    """Processes at work on runs; one ends at every wait, in an order that `seed` draws (None: the oldest first).

    `verdicts`: the first ends of a run that come to nothing.
    """

    def __init__(
        self,
        objects: dict[str, bytes],
        seed: int | None = None,
        verdicts: Verdict = lambda _: (),
    ) -> None:
        self._store = MemoryStore(objects)
        self._dice = None if seed is None else random.Random(seed)
        self._verdicts = verdicts
        self._tries: dict[str, int] = {}
        self.at_work: dict[str, tuple[Run, tuple[Stage, ...]]] = {}
        self.starts: list[str] = []
        self.most = 0

    def start(self, run: Run, stages: tuple[Stage, ...]) -> None:
        assert f"runs/{run.id}/run.json" in self._store.objects, "a run starts frozen"
        self.at_work[run.id] = (run, stages)
        self.starts.append(run.id)
        self.most = max(self.most, len(self.at_work))

    def work(self) -> tuple[str, Ended]:
        """End one process."""
        names = list(self.at_work)
        name = self._dice.choice(names) if self._dice else names[0]
        run, stages = self.at_work.pop(name)
        tries = self._tries[name] = self._tries.get(name, 0) + 1
        verdicts = self._verdicts(run) if Stage.TRAIN in stages else ()
        if tries <= len(verdicts):
            return name, verdicts[tries - 1]
        for stage in stages:
            if finished(self._store, run, stage) is None and not self._carry_out(run, stage):
                return name, Ended(0, "paused")
        self._tries[name] = 0
        return name, Ended(0, "complete")

    def _carry_out(self, run: Run, stage: Stage) -> bool:
        key = complete_key(run.id, stage)
        if stage is Stage.PREP:
            return self._store.create(key, encode(prep_manifest(run)))
        limit, total = newest_limit(self._store, run.id), EPOCH.of(run.config)
        if limit and limit.tokens is not None and limit.tokens < total:
            loss = loss_of(run, limit.tokens)
            found = Reached(
                n=limit.n, step=limit.tokens // 100, tokens=limit.tokens, eval_loss=loss
            )
            record_reached(self._store, run.id, found)
            return False
        return self._store.create(key, encode(train_manifest(run, loss_of(run, total))))


class InventedWorkers:
    """What one controller sees of the machine."""

    def __init__(self, machine: Machine, calls: Calls | None = None) -> None:
        self._machine, self._calls = machine, calls or Calls()
        self._ended: dict[str, Ended] = {}

    def start(self, run: Run, stages: Sequence[Stage]) -> None:
        self._calls()
        self._ended.pop(run.id, None)
        if run.id not in self._machine.at_work:
            self._machine.start(run, tuple(stages))

    def ended(self, run: Run) -> Ended | None:
        self._calls()
        return self._ended.get(run.id)

    def wait(self, seconds: float) -> None:
        self._calls()
        assert seconds > 0
        assert self._machine.at_work, "the study waits for nothing"
        name, ended = self._machine.work()
        self._ended[name] = ended


def a_definition(**changes: Any) -> SweepDefinition:
    fields = {"method": "tpe", "trials": 6, "parallel": 2, "space": SPACE, **changes}
    return parse_definition({k: v for k, v in fields.items() if v is not None}, "tests")


def a_sweep(**changes: Any) -> Sweep:
    base = RunConfig(model=MODEL, prep=PrepConfig(source="raw/0"))
    return Sweep.of("invented", a_definition(**changes), {MODEL: base}, {})


def with_epoch(sweep: Sweep) -> dict[str, bytes]:
    """A bucket in which the tokens of an epoch are counted."""
    objects: dict[str, bytes] = {}
    write(MemoryStore(objects), epoch_key(sweep.id, MODEL), EPOCH)
    return objects


def values(tells: Sequence[Tell]) -> list[tuple[str, float | None]]:
    return [(tell.state, tell.value) for tell in tells]


def prep_manifest(run: Run) -> PrepManifest:
    return PrepManifest(
        run=run.id,
        stage="prep",
        config_sha256=run.config.sha256,
        image="",
        inputs={},
        finished_at="",
        dataset="d",
        dataset_sha256="0",
    )


def train_manifest(run: Run, loss: float, split: str = "validation") -> TrainManifest:
    return TrainManifest(
        run=run.id,
        stage="train",
        config_sha256=run.config.sha256,
        image="",
        inputs={},
        finished_at="",
        steps=1,
        rows=1,
        tokens=1,
        answer_tokens=1,
        trainable_parameters=1,
        train_loss=loss,
        eval_loss=loss,
        eval_split=split,
        dropped_news=0,
        padding_share=0,
        peak_memory_bytes=0,
        resumed=0,
        exactness="bitwise",
        base="",
        base_sha256="",
        tokenizer_sha256="",
        template_sha256="",
        dataset="d",
        files=(),
    )
