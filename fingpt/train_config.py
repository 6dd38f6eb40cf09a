"""The part of a RunConfig that says how an adapter is trained; config.py puts the parts together."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from fingpt.conflicts import conflict
from fingpt.errors import nearest
from fingpt.models import LINEAR_LAYERS
from fingpt.record import Section

Precision = Literal["auto", "bf16", "fp16", "fp32"]
ResolvedPrecision = Literal["bf16", "fp16", "fp32"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0, le=10**9)]
Small = Annotated[int, Field(gt=0, le=65_536)]


class LoraConfig(Section):
    """Low-rank adapters (Hu et al. 2021): rank `r`, scale `alpha`/`r`, dropout on their input, target layers."""

    r: Annotated[int, Field(gt=0, le=8192)] = 16
    alpha: Small = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: tuple[str, ...] = LINEAR_LAYERS

    @field_validator("targets")
    @classmethod
    def _targets_are_known(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if not targets:
            raise ValueError("at least one target layer is needed")
        for name in targets:
            if name not in LINEAR_LAYERS:
                raise ValueError(
                    f"'{name}' is no linear layer of a Llama; {nearest(name, LINEAR_LAYERS)}"
                )
        return targets


class TrainConfig(Section):
    """LoRA training; one optimizer step sees batch_size × accumulation × processes rows, on however many nodes.

    `lr` is the peak rate, reached in `warmup_ratio` of the steps. `nodes` machines train, each with `processes`, and
    share the rows of a step. `zero_stage` turns DeepSpeed on; without it rows are computed in packs of `pack_tokens`,
    by default what memory holds. `max_tokens` bounds prompt + answer. `eval_every` is a share of the run, `save_every`
    counts steps. `deterministic`: equal bytes on machines of one type.
    `gradient_precision` fp8: the gradient's products with the frozen weights in 8 bits, the loss as exact as before.
    `base_precision` int8: all products with the frozen weights in 8 bits. Both are measured on the run's first rows,
    before its first step; where gradient or loss suffer too much, the products stay in bf16.
    """

    LATER = frozenset({"nodes", "pack_tokens", "gradient_precision", "base_precision"})

    lora: LoraConfig = LoraConfig()
    lr: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 0.0
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup_ratio: Fraction = 0.03
    max_grad_norm: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    epochs: Annotated[float, Field(gt=0, le=10_000)] = 2.0
    max_steps: Positive | None = None
    batch_size: Small = 1
    accumulation: Small = 16
    processes: Annotated[int, Field(gt=0, le=1024)] = 1
    nodes: Annotated[int, Field(ge=1, le=999)] = 1
    optimizer: Literal["adamw", "zero_one_adam"] = "adamw"
    zero_stage: Literal[0, 1, 2] | None = None
    precision: Precision = "auto"
    gradient_precision: Literal["bf16", "fp8"] = "bf16"
    base_precision: Literal["bf16", "int8"] = "bf16"
    gradient_checkpointing: bool = False
    max_tokens: Annotated[int, Field(ge=64, le=131072)] = 4096
    pack_tokens: Annotated[int, Field(gt=0, le=2**24)] | None = None
    save_every: Positive = 50
    eval_every: Annotated[float, Field(gt=0, le=1)] = 0.1
    deterministic: bool = True

    @property
    def ranks(self) -> int:
        """Training processes of all nodes."""
        return self.nodes * self.processes

    def steps(self, rows: int) -> tuple[int, int]:
        """Optimizer steps of one epoch over `rows` rows (at least one), and of the whole training."""
        per_epoch = ceil(rows / (self.batch_size * self.accumulation * self.processes))
        return per_epoch, self.max_steps or ceil(self.epochs * per_epoch)

    @model_validator(mode="after")
    def _settings_go_together(self) -> Self:
        if why := conflict(self):
            raise ValueError(why)
        return self
