"""What happens around an optimizer step: metrics, progress, the check for NaN, periodic saves, stopping on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fingpt.hardware import peak_memory_bytes
from fingpt.log import Meter
from fingpt.record import canonical_json
from fingpt.train.batching import Batching, Row
from fingpt.train.engine import Plan
from fingpt.train.handoff import StepRecord
from fingpt.train.limits import LimitWatch

if TYPE_CHECKING:
    from fingpt.train.loop import AnswerTrainer

SAVE_SECONDS = 300.0
"""Longest time between two checkpoints; a hard eviction costs no more than this and the time of one step."""


class StepRecorder(TrainerCallback):
    """Writes one StepRecord per optimizer step (rank 0) and refuses numbers that are not finite (all ranks)."""

    def __init__(
        self, plan: Plan, rows: Sequence[Row], batching: Batching, path: Path, meter: Meter | None
    ) -> None:
        self.trainer: AnswerTrainer | None = None
        self.last: StepRecord | None = None
        self._plan, self._rows, self._batching = plan, rows, batching
        self._path, self._meter = path, meter
        self._started = 0.0
        self._pending: StepRecord | None = None
        self._epoch, self._steps = -1, list[list[int]]()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Start the step's clock."""
        self._started = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Check and record a step; its evaluation, if one is due, still follows."""
        if not logs or "loss" not in logs:
            return
        seconds = time.monotonic() - self._started
        assert self.trainer is not None
        norm = logs.get("grad_norm")
        # Under fp16 an infinite gradient is how the loss scale finds its size; the step is skipped.
        scaled = args.fp16 and norm is not None and norm - norm != 0
        norm = None if scaled else norm
        self.trainer.check_finite({"loss": logs["loss"], "grad_norm": norm}, state.global_step)
        self._pending = self._record(state.global_step, logs, norm, seconds)
        if not control.should_evaluate:
            self._write(self._pending)

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the names are Trainer's
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Complete the record of the step that was evaluated."""
        assert self.trainer is not None
        loss = (metrics or {}).get("eval_loss")
        self.trainer.check_finite({"eval_loss": loss}, state.global_step)
        if self._pending is not None:
            spent = self.trainer.evaluation_seconds
            self._write(self._pending.model_copy(update={"eval_loss": loss, "eval_seconds": spent}))

    def _record(
        self, step: int, logs: dict[str, float], norm: float | None, seconds: float
    ) -> StepRecord:
        epoch, place = self._plan.position(step)
        if epoch != self._epoch:
            self._epoch, self._steps = epoch, self._batching.steps(epoch)
        rows = [self._rows[index] for index in self._steps[place]]
        tokens = sum(len(row) for row in rows)
        return StepRecord(
            step=step,
            epoch=step / self._plan.steps_per_epoch,
            loss=logs["loss"],
            lr=logs["learning_rate"],
            grad_norm=norm,
            rows=len(rows),
            tokens=tokens,
            answer_tokens=sum(len(row.answer) for row in rows),
            tokens_per_second=tokens / seconds,
            samples_per_second=len(rows) / seconds,
            peak_memory_bytes=peak_memory_bytes(),
            seconds=seconds,
        )

    def _write(self, record: StepRecord) -> None:
        self.last, self._pending = record, None
        if self._meter is None:
            return
        with self._path.open("ab") as file:
            file.write(canonical_json(record) + b"\n")
        shown = {"loss": round(record.loss, 4), "lr": record.lr, "grad_norm": record.grad_norm}
        if record.eval_loss is not None:
            shown["eval_loss"] = round(record.eval_loss, 4)
        self._meter.advance(
            1,
            **shown,
            tokens_per_second=round(record.tokens_per_second),
            peak_gib=round(record.peak_memory_bytes / 2**30, 2),
        )


class StopAndSave(TrainerCallback):
    """Ends the loop after the current step when a stop was asked for or a limit is reached, and saves when the last
    checkpoint is old.

    Ranks agree on all three once per optimizer step, so that they stop and save at the same one. `paused` says that a
    limit ended the loop: then its step is evaluated before it is saved. `eval_loss` is that of the last evaluation,
    None when a stop cut it short.
    """

    def __init__(
        self,
        stopping: Callable[[], bool],
        limits: LimitWatch | None = None,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        self.limits = limits
        self._stopping, self._save_seconds = stopping, save_seconds
        self._saved = time.monotonic()
        self.paused = False
        self.eval_loss: float | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Decide, together with the other ranks."""
        due = time.monotonic() - self._saved > self._save_seconds
        limited = self.limits is not None and self.limits.exceeded(state.global_step)
        stop, save, pause = self._agree(args, self._stopping(), due, limited)
        control.should_save |= save or stop
        if state.global_step >= state.max_steps:
            return control
        if stop:
            control.should_training_stop = True
            control.should_evaluate = False
        elif pause:
            self.paused = True
            control.should_training_stop = control.should_evaluate = control.should_save = True
        return control

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the names are Trainer's
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Keep the loss."""
        self.eval_loss = (metrics or {}).get("eval_loss")

    def on_save(self, *_: Any, **__: Any) -> None:
        """Restart the clock."""
        self._saved = time.monotonic()

    def _agree(self, args: TrainingArguments, *mine: bool) -> list[bool]:
        if args.world_size == 1:
            return list(mine)
        flags = torch.tensor(mine, dtype=torch.int32, device=args.device)
        torch.distributed.all_reduce(flags, op=torch.distributed.ReduceOp.MAX)
        return [bool(flag) for flag in flags.tolist()]
