"""An invented sweep: every record that a search, its trials and its finals leave, without any training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from fingpt.config import parse_config
from fingpt.record import canonical_json, sha256_bytes
from fingpt.runs.manifest import EvalManifest, TrainManifest, encode
from fingpt.runs.run import Run, Stage, attempt_key, claim_key, run_key
from fingpt.runs.run import complete_key as stage_complete_key
from fingpt.storage import ObjectStore
from fingpt.sweeps.definition import Settings, SweepDefinition, parse_definition
from fingpt.sweeps.finals import final_runs
from fingpt.sweeps.records import (
    Ask,
    Choice,
    Finals,
    Report,
    SweepManifest,
    Tell,
    ask_key,
    choice_key,
    complete_key,
    report_key,
    sweep_prefix,
    tell_key,
    write,
)
from fingpt.sweeps.sweep import Sweep, create_sweep, trial_run
from tests.made_run import _scores

START = datetime(2030, 6, 1, 8, tzinfo=UTC)
SPACE = {
    "train.lr": {"low": 5e-5, "high": 1e-3, "log": True},
    "train.epochs": [1.0, 2.0, 3.0],
    "train.lora.dropout": [0.0, 0.05, 0.1],
    "capacity": [{"train.lora.r": r, "train.lora.alpha": 2 * r} for r in (4, 8, 16, 32)],
}
TPE = {
    "method": "tpe",
    "trials": 40,
    "parallel": 4,
    "space": SPACE,
    "pruning": {"reduction": 3, "first": 0.5},
}


@dataclass
class Plan:
    """What the invented world is like: how far the default is from the best, how noisy seeds are, how far it has got.

    `ended`: trials that have ended; `finals`: finals that are trained, None for all. `failed_final`: the seed of a
    chosen one that failed.
    """

    definition: dict[str, object] = field(default_factory=lambda: dict(TPE))
    models: tuple[str, ...] = ("llama31", "deepseek-r1")
    default_lr: float = 2e-4
    noise: float = 0.002
    ended: int | None = None
    finals: int | None = None
    complete: bool = True
    device: str = "NVIDIA H100"
    failed_final: int | None = None
    name: str = "lora-tpe"
    notes: tuple[str, ...] = ()


class InventedSweep:
    """Writes the records into `store`; `sweep` is the frozen search."""

    def __init__(self, store: ObjectStore, plan: Plan | None = None) -> None:
        self.store, self.plan = store, plan or Plan()
        self.rng = np.random.default_rng(5)
        self.definition = parse_definition(self.plan.definition, "here")
        bases = {
            model: parse_config(
                {
                    "model": model,
                    "prep": {"source": "raw/0123"},
                    "train": {"lr": self.plan.default_lr},
                },
                "here",
            )
            for model in self.plan.models
        }
        images = {str(stage): f"registry.example/{stage}@sha256:00" for stage in Stage}
        self.sweep = Sweep.of(self.plan.name, self.definition, bases, images, self.plan.notes)
        create_sweep(store, self.sweep)
        told = {model: self._search(model) for model in self.plan.models}
        whole = self.plan.ended is None
        choices = (
            {model: self._choose(model, told[model]) for model in self.plan.models} if whole else {}
        )
        finals = {model: self._finals(model, choice) for model, choice in choices.items()}
        if whole and self.plan.complete:
            self._complete(told, choices, finals)

    def loss(self, model: str, run: Run) -> float:
        """The true loss of a run's setting, plus the noise of its seed."""
        train = run.config.train
        far = math.log(train.lr / (2.6e-4 if model == "llama31" else 3.2e-4))
        value = 0.80 + 0.012 * far**2 + 0.004 * (train.epochs - 2) ** 2
        value += (
            0.006 * max(0.0, math.log2(16 / train.lora.r)) + 0.01 * (train.lora.dropout - 0.05) ** 2
        )
        return round(
            value + (0.01 if model != "llama31" else 0) + self.rng.normal(0, self.plan.noise), 6
        )

    def _settings(self) -> Iterator[Settings]:
        """Points of the space: a grid's in order, others at random."""
        while True:
            found: Settings = {}
            for parameter in self.definition.space:
                if parameter.range:
                    found[parameter.name] = round(parameter.range.at(float(self.rng.random())), 9)
                else:
                    found |= parameter.choices[int(self.rng.integers(len(parameter.choices)))]
            yield found

    def _search(self, model: str) -> list[Tell]:
        tells, free = [], [START] * self.definition.parallel
        rungs: dict[int, list[float]] = {}
        count = self.definition.count
        begun = count if self.plan.ended is None else min(count, self.plan.ended + 3)
        for number, settings in zip(range(begun), self._settings(), strict=False):
            run = trial_run(self.sweep, model, settings)
            ask = Ask(number=number, settings=settings, run_id=run.id, run_sha256=run.sha256)
            write(self.store, ask_key(self.sweep.id, model, number), ask)
            self.store.create(run_key(run.id), run.encode())
            free.sort()
            start = free.pop(0)
            if self.plan.ended is not None and number >= self.plan.ended:
                self._attempt(run, Stage.TRAIN, start, None, "")
                free.append(start + timedelta(hours=9))
                continue
            tell = self._trial(model, number, run, rungs)
            self._attempt(run, Stage.TRAIN, start, tell.seconds, tell.reason)
            write(self.store, tell_key(self.sweep.id, model, number), tell)
            free.append(start + timedelta(seconds=tell.seconds + 40))
            tells.append(tell)
        return tells

    def _trial(self, model: str, number: int, run: Run, rungs: dict[int, list[float]]) -> Tell:
        """Diverges at high rates, runs out of memory at high ranks, is pruned in the worse two thirds of a rung."""
        value, epochs = self.loss(model, run), run.config.train.epochs
        pace = (1180 if model == "llama31" else 1240) * float(self.rng.normal(1, 0.02))
        if run.config.train.lr > 8.5e-4:
            reason = (
                f"The training diverged: the loss of step {37 + number} is nan; lower train.lr."
            )
            return self._tell(number, "failed", 0.3 * pace, None, reason)
        if run.config.train.lora.r == 32 and number % 9 == 4:
            reason = "Out of GPU memory: 79.1 GiB are not enough for train.batch_size=1; see make doctor."
            return self._tell(number, "failed", 60.0, None, reason)
        if self.definition.pruning:
            at, rung = self.definition.pruning.first, 0
            while at < epochs:
                seen = value + 0.05 / (1 + at)
                record = Report(
                    number=number, rung=rung, step=int(60 * at), tokens=int(1e6 * at), value=seen
                )
                write(self.store, report_key(self.sweep.id, model, number, rung), record)
                others = rungs.setdefault(rung, [])
                others.append(seen)
                if seen > np.quantile(others, 0.55):
                    return self._tell(number, "pruned", at * pace, seen, "", rung)
                at, rung = at * self.definition.pruning.reduction, rung + 1
        return self._tell(number, "complete", epochs * pace, value)

    def _tell(
        self,
        number: int,
        state: str,
        seconds: float,
        value: float | None,
        reason: str = "",
        rung: int | None = None,
    ) -> Tell:
        gpus = 0 if self.plan.device == "cpu" else 1
        seconds = round(seconds, 1)
        return Tell(
            number=number,
            state=state,
            value=value,
            reason=reason,
            rung=rung,
            seconds=seconds,
            gpu_seconds=gpus * seconds,
        )

    def _attempt(
        self, run: Run, stage: Stage, start: datetime, seconds: float | None, message: str
    ) -> None:
        claim = {"started_at": start.isoformat(), "pod": "p", "node": "n"}
        self.store.create(claim_key(run.id, stage, 1), canonical_json(claim))
        if seconds is not None:
            ended = (start + timedelta(seconds=seconds)).isoformat()
            ending = {
                "attempt": 1,
                "code": 70 if message else 0,
                "message": message,
                "ended_at": ended,
            }
            self.store.create(attempt_key(run.id, stage, 1), canonical_json(ending))

    def _choose(self, model: str, tells: list[Tell]) -> Choice:
        value, number = min((t.value, t.number) for t in tells if t.state == "complete")
        settings = self._ask(model, number).settings
        choice = Choice(trial=number, settings=settings, value=value)
        write(self.store, choice_key(self.sweep.id, model), choice)
        return choice

    def _ask(self, model: str, number: int) -> Ask:
        from fingpt.runs.manifest import decode

        key = ask_key(self.sweep.id, model, number)
        return decode(Ask, self.store.read(key), key)

    def _finals(self, model: str, choice: Choice) -> Finals:
        sides = [final_runs(self.sweep, model, settings) for settings in (choice.settings, {})]
        left = self.plan.finals
        for chosen, runs in zip((True, False), sides, strict=True):
            for run in runs:
                if left is not None and left <= 0:
                    break
                left = None if left is None else left - 1
                if chosen and run.config.seed == self.plan.failed_final:
                    continue
                self._final(model, run)
        lost = [run.id for run in sides[0] if run.config.seed == self.plan.failed_final]
        return Finals(
            chosen=tuple(run.id for run in sides[0]),
            default=tuple(run.id for run in sides[1]),
            failed=dict.fromkeys(lost, "The training diverged."),
        )

    def _final(self, model: str, run: Run) -> None:
        """A final that is trained and evaluated."""
        if not self.store.create(run_key(run.id), run.encode()):
            return
        loss, start = self.loss(model, run), START + timedelta(hours=30)
        self._attempt(run, Stage.TRAIN, start, 1180 * run.config.train.epochs, "")
        self._attempt(run, Stage.EVAL, start + timedelta(hours=1), 900, "")
        shared = {
            "run": run.id,
            "config_sha256": run.config.sha256,
            "image": "",
            "inputs": {},
            "finished_at": start.isoformat(),
            "hardware": {"device": self.plan.device},
            "dataset": "da7a0000da7a0000",
            "files": (),
            "base_sha256": "1" * 64,
        }
        train = TrainManifest(
            **shared,
            stage="train",
            base="b",
            tokenizer_sha256="t",
            template_sha256="t",
            train_loss=loss - 0.1,
            eval_loss=loss,
            eval_split="validation",
            exactness="bitwise",
            padding_share=0.0,
            **dict.fromkeys(
                ("steps", "rows", "tokens", "answer_tokens", "trainable_parameters"), 9
            ),
            **dict.fromkeys(("dropped_news", "peak_memory_bytes", "resumed"), 0),
        )
        self.store.create(stage_complete_key(run.id, Stage.TRAIN), encode(train))
        scores = _scores().model_copy(
            update={"loss": round(loss + 0.03, 6), "label_validation_loss": round(1.6 + loss, 6)}
        )
        evaluation = EvalManifest(
            **shared, stage="eval", adapter_sha256="a", decoding={}, scores={"tuned": scores}
        )
        self.store.create(stage_complete_key(run.id, Stage.EVAL), encode(evaluation))
        key = f"openings/da7a0000da7a0000/{run.id}-eval.json"
        self.store.create(key, canonical_json({"run": run.id}))

    def _complete(
        self, told: dict[str, list[Tell]], choices: dict[str, Choice], finals: dict[str, Finals]
    ) -> None:
        keys = sorted(self.store.keys(f"{sweep_prefix(self.sweep.id)}/"))
        manifest = SweepManifest(
            sweep=self.sweep.id,
            sweep_sha256=self.sweep.sha256,
            tells={model: tuple(tells) for model, tells in told.items()},
            choices=choices,
            finals=finals,
            inputs={key: sha256_bytes(self.store.read(key)) for key in keys},
            finished_at=(START + timedelta(hours=40)).isoformat(),
        )
        write(self.store, complete_key(self.sweep.id), manifest)


def grid(**changes: object) -> dict[str, object]:
    """A small definition over the learning rate and epochs, without pruning."""
    space = {"train.lr": [1e-4, 2e-4, 4e-4], "train.epochs": [1.0, 2.0, 3.0]}
    return {"method": "random", "trials": 9, "parallel": 2, "space": space, **changes}


__all__ = ["InventedSweep", "Plan", "SweepDefinition", "grid"]
