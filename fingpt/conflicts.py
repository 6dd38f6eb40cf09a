"""Settings of a training that exclude each other, one sentence each; config.py refuses what is named here."""

from __future__ import annotations

from typing import Protocol


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
    return _unshared(train, deepspeed=deepspeed)


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
