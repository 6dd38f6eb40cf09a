"""From a TrainConfig to the plan in steps, Trainer's arguments and DeepSpeed's settings.

Pure: no torch, no I/O. The precision is passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingpt.config import ResolvedPrecision, TrainConfig
from fingpt.errors import DataError

_SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True, slots=True)
class Plan:
    """The run counted in optimizer steps; `step_rows` is the global batch."""

    rows: int
    step_rows: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    eval_steps: int

    def position(self, step: int) -> tuple[int, int]:
        """Epoch and place within it (both from 0) of optimizer step `step` (from 1)."""
        return divmod(step - 1, self.steps_per_epoch)


def plan_run(train: TrainConfig, rows: int) -> Plan:
    """Count the steps of a training on `rows` rows; DataError when there are none.

    Warm-up never takes the whole run: its first step has a rate of 0, and a run of such steps would learn nothing.
    DeepSpeed's own warm-up (0/1 Adam) wants at least one step.
    """
    if rows == 0:
        raise DataError("The train split is empty; check the split and the limit of prep.")
    step_rows = train.batch_size * train.accumulation * train.processes
    per_epoch, total = train.steps(rows)
    warmup = min(math.ceil(train.warmup_ratio * total), total - 1)
    if train.optimizer == "zero_one_adam":
        warmup = max(warmup, 1)
    return Plan(
        rows=rows,
        step_rows=step_rows,
        steps_per_epoch=per_epoch,
        total_steps=total,
        warmup_steps=warmup,
        eval_steps=max(1, math.ceil(train.eval_every * total)),
    )


def trainer_arguments(
    train: TrainConfig,
    plan: Plan,
    precision: ResolvedPrecision,
    *,
    seed: int,
    cuda: bool,
    folder: Path,
) -> dict[str, Any]:
    """Keyword arguments of `transformers.TrainingArguments`.

    Trainer would silently turn NaN losses into earlier ones (`logging_nan_inf_filter`), so that is off. Padding, order
    and evaluation are ours, see batching and loop.
    """
    ranks = train.ranks > 1 or train.zero_stage is not None
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": train.batch_size,
        # Without DeepSpeed a batch is a whole step, see loop.
        "gradient_accumulation_steps": 1
        if train.zero_stage is None
        else train.accumulation // train.nodes,
        "max_steps": plan.total_steps,
        "learning_rate": train.lr,
        "weight_decay": train.weight_decay,
        "lr_scheduler_type": _SCHEDULES[train.schedule],
        "warmup_steps": plan.warmup_steps,
        "max_grad_norm": train.max_grad_norm,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": not cuda,
        "seed": seed,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps",
        "eval_steps": plan.eval_steps,
        "save_strategy": "steps",
        "save_steps": train.save_every,
        "disable_tqdm": True,
        "report_to": "none",
        "remove_unused_columns": False,
        "dataloader_pin_memory": cuda,
        "ddp_find_unused_parameters": False,
        "ddp_backend": "gloo" if ranks and not cuda else None,
        "deepspeed": deepspeed_config(train),
    }


def deepspeed_config(train: TrainConfig) -> dict[str, Any] | None:
    """DeepSpeed's settings, or None when it is off.

    With AdamW, torch's optimizer and Trainer's schedule are used under ZeRO. 0/1 Adam (Lu et al. 2022) gets the keys
    of the reference run's file, its WarmupLR (logarithmic, then constant) and, as there, no gradient clipping.
    `lr` and `weight_decay` must be `auto`: DeepSpeed refuses values beside Trainer's.
    """
    if train.zero_stage is None:
        return None
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
        "gradient_accumulation_steps": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_optimization": {"stage": train.zero_stage},
        "zero_allow_untested_optimizer": True,
    }
    if train.optimizer == "adamw":
        return {**settings, "gradient_clipping": "auto"}
    return {
        **settings,
        "optimizer": {
            "type": "ZeroOneAdam",
            "params": {
                "lr": "auto",
                "weight_decay": "auto",
                "bias_correction": False,
                "var_freeze_step": 1000,
                "var_update_scaler": 16,
                "local_step_scaler": 1000,
                "local_step_clipper": 16,
                "cuda_aware": True,
                "comm_backend_name": "nccl",
            },
        },
        "scheduler": {
            "type": "WarmupLR",
            "params": {
                "warmup_min_lr": 0,
                "warmup_max_lr": "auto",
                "warmup_num_steps": "auto",
            },
        },
    }
