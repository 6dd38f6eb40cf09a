"""Settings of a training that exclude each other, one sentence each; config.py refuses what is named here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fingpt.models import LINEAR_LAYERS


class Adapter(Protocol):
    """What is looked at of `train_config.LoraConfig`."""

    @property
    def targets(self) -> Sequence[str]:
        """Names of the layers that have an adapter."""


class TrainSettings(Protocol):
    """What is looked at of `config.TrainConfig`."""

    @property
    def optimizer(self) -> str:
        """Name of the optimizer."""

    @property
    def zero_stage(self) -> int | None:
        """Stage of DeepSpeed, None without it."""

    @property
    def precision(self) -> str:
        """Precision as configured."""

    @property
    def gradient_precision(self) -> str:
        """That of the gradient's products with the frozen weights."""

    @property
    def base_precision(self) -> str:
        """That of all products with the frozen weights."""

    @property
    def gradient_checkpointing(self) -> bool:
        """Activations are computed again in the backward pass."""

    @property
    def lora(self) -> Adapter:
        """The adapter."""

    @property
    def pack_tokens(self) -> int | None:
        """Size of a pack, where one is configured."""

    @property
    def batch_size(self) -> int:
        """Rows of a micro-batch."""

    @property
    def accumulation(self) -> int:
        """Micro-batches of a step, per process."""

    @property
    def nodes(self) -> int:
        """Machines."""

    @property
    def ranks(self) -> int:
        """Processes of all machines."""


def conflict(train: TrainSettings) -> str:
    """Why these settings cannot go together, and what to change; empty when they can."""
    deepspeed = train.zero_stage is not None
    if train.optimizer == "zero_one_adam" and train.zero_stage != 0:
        return "train.optimizer=zero_one_adam needs train.zero_stage=0: 0/1 Adam asserts that ZeRO is off"
    if train.optimizer == "zero_one_adam" and train.ranks < 2:
        return (
            "train.optimizer=zero_one_adam needs train.processes ≥ 2: with one rank it silently drops most "
            "gradients (308 of 380 steps in the reference run); use optimizer=adamw"
        )
    if train.pack_tokens and deepspeed:
        return "train.pack_tokens and train.zero_stage (DeepSpeed) exclude each other"
    if train.precision == "fp16" and not deepspeed:
        return "train.precision=fp16 needs loss scaling: set train.zero_stage"
    return _unreduced(train) or _unshared(train, deepspeed=deepspeed)


def reduced(train: TrainSettings) -> str:
    """The settings that ask for products in 8 bits, as they are written; empty for none."""
    asked = (
        ("train.base_precision", train.base_precision),
        ("train.gradient_precision", train.gradient_precision),
    )
    return " and ".join(f"{name}={value}" for name, value in asked if value != "bf16")


def _unreduced(train: TrainSettings) -> str:
    """Why products in 8 bits, which the layers of fingpt/train/fast alone have, cannot be had."""
    asked = reduced(train)
    if not asked:
        return ""
    if train.zero_stage is not None:
        return (
            f"{asked} and train.zero_stage={train.zero_stage} exclude each other: DeepSpeed trains transformers' own "
            "layers, which compute in bf16; leave one of the two out"
        )
    if train.gradient_checkpointing:
        return (
            f"{asked} and train.gradient_checkpointing=true exclude each other: layers that are computed again are "
            "transformers' own, which compute in bf16; leave one of the two out"
        )
    if train.precision not in ("auto", "bf16"):
        return (
            f"{asked} and train.precision={train.precision} exclude each other: 8 bits take the place of bf16; set "
            "train.precision=auto, or leave the 8 bits out"
        )
    missing = [name for name in LINEAR_LAYERS if name not in train.lora.targets]
    if missing:
        return (
            f"{asked} needs an adapter on every linear layer, and train.lora.targets leaves out {', '.join(missing)}; "
            "add them, or leave the 8 bits out"
        )
    return ""


def _unshared(train: TrainSettings, *, deepspeed: bool) -> str:
    """Why the rows of a step cannot be shared among the nodes."""
    if train.batch_size * train.accumulation < train.nodes:
        return (
            f"train.nodes={train.nodes} leaves nodes without a row: a step has train.batch_size × train.accumulation = "
            f"{train.batch_size * train.accumulation} rows per process, and more nodes share the same rows; lower "
            "train.nodes or raise train.accumulation"
        )
    if deepspeed and train.accumulation % train.nodes:
        return (
            f"train.accumulation={train.accumulation} is no multiple of train.nodes={train.nodes}: with DeepSpeed the "
            "nodes share a step in whole micro-batches; change one of the two"
        )
    return ""
