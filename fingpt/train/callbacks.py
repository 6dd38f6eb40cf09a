"""What happens around an optimizer step: metrics, progress, periodic saves, stopping on request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from fingpt.hardware import peak_memory_bytes
from fingpt.log import Meter
from fingpt.record import canonical_json
from fingpt.train.engine import Plan
from fingpt.train.figures import StepFigures
from fingpt.train.handoff import StepRecord
from fingpt.train.limits import LimitWatch
from fingpt.train.ranks import Ranks

SAVE_SECONDS = 300.0
"""Longest time between two checkpoints; a hard eviction costs no more than this and the time of one step."""


class StepRecorder(TrainerCallback):
    """Writes one StepRecord per optimizer step; on rank 0, which has a `meter`."""

    def __init__(self, plan: Plan, path: Path, meter: Meter | None) -> None:
        self._plan, self._path, self._meter = plan, path, meter
        self._pending: StepRecord | None = None

    def record(self, figures: StepFigures, evaluated: bool) -> None:
        """Record a step; if it is `evaluated`, its evaluation follows and completes the record."""
        rows, seconds = figures.rows, figures.seconds
        tokens = sum(len(row) for row in rows)
        self._pending = StepRecord(
            step=figures.step,
            epoch=figures.step / self._plan.steps_per_epoch,
            loss=figures.loss,
            lr=figures.lr,
            grad_norm=figures.grad_norm,
            rows=len(rows),
            tokens=tokens,
            answer_tokens=sum(len(row.answer) for row in rows),
            tokens_per_second=tokens / seconds,
            samples_per_second=len(rows) / seconds,
            peak_memory_bytes=peak_memory_bytes(),
            seconds=seconds,
        )
        if not evaluated:
            self._write(self._pending)

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the names are Trainer's
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,  # noqa: ARG002
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Complete the record of the step that was evaluated."""
        if self._pending is not None:
            found = metrics or {}
            more = {name: found.get(name) for name in ("eval_loss", "eval_seconds")}
            self._write(self._pending.model_copy(update=more))

    def _write(self, record: StepRecord) -> None:
        self._pending = None
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
        limits: LimitWatch | None,
        ranks: Ranks,
        save_seconds: float = SAVE_SECONDS,
    ) -> None:
        self.limits = limits
        self._stopping, self._ranks, self._save_seconds = stopping, ranks, save_seconds
        self._saved = time.monotonic()
        self.paused = False
        self.eval_loss: float | None = None

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the names are Trainer's
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> TrainerControl:
        """Decide, together with the other ranks."""
        due = time.monotonic() - self._saved > self._save_seconds
        limited = self.limits is not None and self.limits.exceeded(state.global_step)
        stop, save, pause = self._ranks.agree(self._stopping(), due, limited)
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
