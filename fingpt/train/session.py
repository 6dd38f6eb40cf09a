"""One training: rows, base, adapter, Trainer and checkpoints put together, from the newest commit or from step 0."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from transformers import TrainingArguments

from fingpt import hardware, log
from fingpt.conflicts import reduced
from fingpt.errors import DataError, Interrupted, StorageError
from fingpt.log import Meter
from fingpt.models import spec
from fingpt.record import Frozen, canonical_json
from fingpt.runs.attempt import check_fence
from fingpt.runs.manifest import PrecisionGate, TrainSummary
from fingpt.runs.nodes import sign_in
from fingpt.runs.run import Stage
from fingpt.storage import open_store
from fingpt.train import adapter
from fingpt.train.batching import Batching
from fingpt.train.callbacks import StepRecorder, StopAndSave
from fingpt.train.checkpoint import CheckpointLog, Resume
from fingpt.train.engine import Plan, plan_run, trainer_arguments
from fingpt.train.handoff import STOPPED_BEFORE, TrainTask, read_records
from fingpt.train.limits import (
    Limit,
    LimitWatch,
    Reached,
    newest_limit,
    record_reached,
    require_limits,
)
from fingpt.train.loop import AnswerTrainer, Hooks, TrainData
from fingpt.train.machine import Machine
from fingpt.train.model import attach_adapter, checkpoint_activations, trainable_parameters
from fingpt.train.ranks import Ranks, join_ranks
from fingpt.train.read_ahead import ReadAhead
from fingpt.train.tokenised import Tokenised, tokenise

_RESUME = "resume"


class _ResumePoint(Frozen):
    """Which checkpoint rank 0 downloaded, and which limit it found, for the other ranks; `commit` is the checkpoint's
    number in the log, 0 for none.
    """

    step: int = 0
    commit: int = 0
    limit: Limit | None = None
    same_machine: bool = True
    pack_tokens: int | None = None
    gate: PrecisionGate | None = None


class Session:
    """One rank's part of one training; `step` is the last optimizer step that is done."""

    def __init__(
        self,
        task: TrainTask,
        rank: int,
        stopping: Callable[[], bool],
        ahead: ReadAhead | None = None,
    ) -> None:
        self._task, self._rank, self._stopping, self._ahead = task, rank, stopping, ahead
        self._train = task.run.config.train
        self._spec = spec(task.run.config.model)
        self._machine = Machine(self._train, tiny=self._spec.tiny)
        self._seconds: dict[str, float] = {}
        self._parts: dict[str, float] = {}
        self._trainer: AnswerTrainer | None = None
        self._gate: PrecisionGate | None = None
        self._ranks = Ranks(task, rank, stopping)

    @property
    def step(self) -> int:
        """Optimizer steps done so far, those before a resume included."""
        return 0 if self._trainer is None else self._trainer.state.global_step

    def run(self) -> TrainSummary | Reached:
        """Train to the last step, leave adapter and metrics in the task's folder, return what the manifest needs.

        Where a limit of the run ends the training before: commit a checkpoint, record what was reached, return that.

        Raises Interrupted after a stop (its checkpoint is committed), DivergedError on NaN, DataError when base, rows
        or checkpoint do not fit.
        """
        hardware.quiet_libraries()
        self._machine.check()
        self._machine.spare_processor()
        self._raise_if_stopping()
        with self._phase("tokenise"):
            rows = tokenise(self._spec, self._task.base, self._task.data, self._train.max_tokens)
        self._raise_if_stopping()
        plan = plan_run(self._train, len(rows.train))
        self._join()
        arguments = TrainingArguments(
            **trainer_arguments(
                self._train,
                plan,
                self._machine.precision,
                seed=self._task.run.config.seed,
                cuda=torch.cuda.is_available(),
                folder=self._task.folder / "trainer",
            )
        )
        with self._phase("load"):
            model, start = self._model()
        self._raise_if_stopping()
        found = self._resume()
        if reduced(self._train):
            with self._phase("gate"):
                seed = self._task.run.config.seed
                self._gate = self._machine.decide(model, rows.train, seed, found.gate)
        with self._phase("packs"):
            batching = self._batching(model, rows, plan, found)
        self._log_start(plan, batching, rows, found)
        with self._phase("train"), self._meter(plan) as meter:
            recorder = StepRecorder(plan, self._task.metrics, meter)
            data = TrainData(rows.train, rows.evaluation, batching, rows.pad_id)
            limits = self._limits(found, batching, rows)
            stop = StopAndSave(self._stopping, limits, self._ranks)
            hooks = self._hooks(batching, recorder)
            trainer = AnswerTrainer(model, arguments, data, hooks, [recorder, stop])
            self._trainer = trainer
            paused = self._fit(trainer, plan, found, meter, stop)
        if paused is not None:
            return paused
        with self._phase("save"):
            if self._rank == 0:
                adapter.save_adapter(model, self._task.adapter)
                adapter.check_adapter(self._task.adapter, start)
        return self._summary(plan, rows, batching, found, trainable_parameters(model))

    def _raise_if_stopping(self) -> None:
        """Between the phases before the first step, which take a minute for large weights and have nothing to save."""
        if self._stopping():
            raise Interrupted(STOPPED_BEFORE)

    def _batching(self, model: Any, rows: Tokenised, plan: Plan, found: _ResumePoint) -> Batching:
        saved = found.pack_tokens if found.same_machine else None
        epochs = plan.position(plan.total_steps)[0] + 1
        return self._machine.batching(model, rows.train, self._task.run.config.seed, epochs, saved)

    def _model(self) -> tuple[Any, dict[str, torch.Tensor]]:
        """The base with a fresh, seeded adapter, and the adapter's weights before training."""
        self._machine.seed(self._task.run.config.seed)
        with self._phase("base", self._parts):
            base = self._machine.load(self._task.base, self._ahead)
            self._ahead = None
        with self._phase("adapter", self._parts):
            model = attach_adapter(base, self._train.lora, self._spec)
            if self._train.gradient_checkpointing:
                checkpoint_activations(model)
            start = adapter.adapter_tensors(model)
        with self._phase("layers", self._parts):
            self._machine.prepare(model)
        return model, start

    @cached_property
    def _log(self) -> CheckpointLog:
        machine = {**self._machine.versions(), **self._machine.facts()}
        store, run = open_store(self._task.store), self._task.run
        return CheckpointLog(
            store,
            run.id,
            self._task.context,
            canonical_json(machine).decode(),
            partial(check_fence, store, run.id, Stage.TRAIN, self._task.attempt),
        )

    def leave(self) -> None:
        """Tell ranks that still wait for this one that it will not come."""
        self._ranks.leave()

    def _join(self) -> None:
        """Meet the other ranks; those of other nodes learn the attempt that node 0 has claimed, and sign in to it."""
        self._ranks = join_ranks(self._task, self._rank, self._stopping)
        if self._task.node.count == 1:
            return
        if self._rank == 0:
            self._ranks.tell("attempt", str(self._task.attempt).encode())
        attempt = int(self._ranks.hear("attempt"))
        if self._ranks.leads_node:
            self._task.joined.write_text(str(attempt), encoding="ascii")
            store = open_store(self._task.store)
            sign_in(store, self._task.run.id, attempt, self._task.node.rank)

    def _resume(self) -> _ResumePoint:
        """Let rank 0 choose the newest checkpoint; then every node has its files, and every rank its step."""
        folder = self._task.folder / _RESUME
        if self._rank == 0:
            resume = self._log.newest(folder)
            if resume is not None:
                self._keep_metrics(resume)
            limit = newest_limit(open_store(self._task.store), self._task.run.id)
            found = (
                _ResumePoint(
                    step=resume.step,
                    commit=resume.commit,
                    limit=limit,
                    same_machine=resume.same_machine,
                    pack_tokens=resume.pack_tokens,
                    gate=resume.gate,
                )
                if resume
                else _ResumePoint(limit=limit)
            )
            self._ranks.tell("resume", canonical_json(found))
        if self._train.ranks == 1:
            return found
        found = _ResumePoint.model_validate_json(self._ranks.hear("resume"))
        if self._task.node.rank and found.commit and self._ranks.leads_node:
            self._log.fetch(found.commit, folder)
        torch.distributed.barrier()
        return found

    def _keep_metrics(self, resume: Resume) -> None:
        saved = resume.folder / self._task.metrics.name
        if len(read_records(saved)) != resume.step:
            raise StorageError(
                f"The checkpoint of step {resume.step} holds {len(read_records(saved))} step records."
            )
        shutil.copyfile(saved, self._task.metrics)

    def _hooks(self, batching: Batching, recorder: StepRecorder) -> Hooks:
        return Hooks(
            stopping=self._stopping,
            record=recorder.record,
            commit=partial(self._commit, batching.pack_tokens),
            ranks=self._ranks,
            complete_only=self._train.zero_stage is not None,
            pack_loss=self._machine.loss,
        )

    def _commit(self, pack_tokens: int | None, step: int, folder: Path) -> None:
        shutil.copyfile(self._task.metrics, folder / self._task.metrics.name)
        started = time.monotonic()
        commit = self._log.commit(step, folder, pack_tokens, self._gate)
        spent = time.monotonic() - started
        self._seconds["checkpoints"] = self._seconds.get("checkpoints", 0.0) + spent
        log.event("checkpoint committed", step=step, commit=commit.n, seconds=round(spent, 2))

    def _fit(
        self,
        trainer: AnswerTrainer,
        plan: Plan,
        found: _ResumePoint,
        meter: Meter | None,
        stop: StopAndSave,
    ) -> Reached | None:
        """Train from `found` to the last step; what was reached where a limit ends it before."""
        folder = self._task.folder / _RESUME
        if meter is not None and found.step:
            meter.advance(found.step)
        if found.step:
            adapter.load_adapter(trainer.model, folder, self._spec)
        if found.step >= plan.total_steps:
            return None
        if stop.limits is not None and stop.limits.reached(found.step):
            # An earlier attempt committed this step, and was stopped before it could say what was reached.
            trainer.evaluate()
            return self._reached(found.step, stop)
        trainer.train(resume_from_checkpoint=str(folder) if found.step else None)
        step = trainer.state.global_step
        if step >= plan.total_steps:
            return None
        if stop.paused and stop.eval_loss is not None:
            return self._reached(step, stop)
        kept = (
            "its checkpoint is committed"
            if self._train.zero_stage is None
            else ("runs with DeepSpeed keep no checkpoints and start again from step 0")
        )
        raise Interrupted(f"Stopped after step {step} of {plan.total_steps}; {kept}.")

    def _limits(
        self, found: _ResumePoint, batching: Batching, rows: Tokenised
    ) -> LimitWatch | None:
        """What this training obeys, None for a run without limits; rank 0 looks for newer ones."""
        if found.limit is None:
            return None
        require_limits(self._task.run.config)
        if not rows.evaluation:
            raise DataError(
                f"{self._task.run.id} has limits, at which its validation rows are evaluated, and its data set has "
                "none: set prep.validation_weeks above 0 and search again."
            )
        store, run_id = open_store(self._task.store), self._task.run.id
        look = partial(newest_limit, store, run_id) if self._rank == 0 else None
        return LimitWatch(found.limit, batching.tokens_after, look)

    def _reached(self, step: int, stop: StopAndSave) -> Reached:
        """What a limit paused; rank 0 records it."""
        assert stop.limits is not None
        assert stop.eval_loss is not None
        found = Reached(
            n=stop.limits.limit.n,
            step=step,
            tokens=stop.limits.tokens_after(step),
            eval_loss=stop.eval_loss,
        )
        if self._rank:
            return found
        store, run_id = open_store(self._task.store), self._task.run.id
        check_fence(store, run_id, Stage.TRAIN, self._task.attempt)
        return record_reached(store, run_id, found)

    def _log_start(
        self, plan: Plan, batching: Batching, rows: Tokenised, found: _ResumePoint
    ) -> None:
        if self._rank:
            return
        log.event(
            "training",
            rows=plan.rows,
            steps=plan.total_steps,
            from_step=found.step,
            rows_per_step=plan.step_rows,
            precision=self._machine.precision,
            pack_tokens=batching.pack_tokens,
            attention=self._machine.facts()["attention"],
            layers=self._machine.facts()["layers"],
            evaluation_rows=len(rows.evaluation),
            eval_split=rows.eval_split,
            seconds={n: round(each, 2) for n, each in (self._seconds | self._parts).items()},
        )
        if self._train.zero_stage is not None:
            log.warning(
                "DeepSpeed keeps no checkpoints: an interrupted run starts again from step 0"
            )

    @contextmanager
    def _phase(self, name: str, among: dict[str, float] | None = None) -> Iterator[None]:
        """Time a block `among` others, those of the manifest if none are named."""
        started = time.monotonic()
        yield
        (self._seconds if among is None else among)[name] = time.monotonic() - started

    def _meter(self, plan: Plan) -> Any:
        if self._rank:
            return nullcontext()
        return log.progress(f"train {self._spec.title}", plan.total_steps)

    def _summary(
        self, plan: Plan, rows: Tokenised, batching: Batching, found: _ResumePoint, trainable: int
    ) -> TrainSummary:
        records = read_records(self._task.metrics) if self._rank == 0 else []
        last = records[-plan.steps_per_epoch :]
        answers = sum(record.answer_tokens for record in last)
        epochs = plan.position(plan.total_steps)[0] + 1
        return TrainSummary(
            steps=plan.total_steps,
            rows=plan.rows,
            tokens=sum(record.tokens for record in records),
            answer_tokens=sum(record.answer_tokens for record in records),
            trainable_parameters=trainable,
            train_loss=sum(r.loss * r.answer_tokens for r in last) / answers if answers else 0.0,
            eval_loss=records[-1].eval_loss if records else None,
            eval_split=rows.eval_split,
            dropped_news=rows.dropped_news,
            padding_share=batching.padding_share(epochs),
            peak_memory_bytes=max((r.peak_memory_bytes for r in records), default=0),
            resumed=found.step,
            exactness=self._exactness(found),
            gate=self._gate,
            seconds={
                **self._seconds,
                "evaluations": sum(record.eval_seconds or 0.0 for record in records),
                "steps": sum(record.seconds for record in records),
            },
            versions=self._machine.versions(),
            hardware=self._hardware(batching),
        )

    def _hardware(self, batching: Batching) -> dict[str, str]:
        facts = self._machine.facts()
        if batching.pack_tokens is not None:
            facts["pack_tokens"] = str(batching.pack_tokens)
        return facts

    def _exactness(self, found: _ResumePoint) -> str:
        """How closely a repeat on the same machine type would match, given the resumes of this run."""
        if not self._train.deterministic or not found.same_machine:
            return "loss-close"
        return "restarted" if self._train.zero_stage is not None else "bitwise"
