"""Whether products in 8 bits may train this run: its first rows are computed with and without, before its first step.

The gradient of the whole adapter is compared as one vector, and where the forward pass changes, the loss too. Adapters
begin with B = 0, so what is compared is the gradient of B, through all layers. Every checkpoint holds the result: a
resume obeys it and measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed

from fingpt import log
from fingpt.conflicts import reduced
from fingpt.runs.manifest import PrecisionGate
from fingpt.train.batching import Batching, Row
from fingpt.train.fast.dropout import seed_of
from fingpt.train.fast.eight_bits import EightBits
from fingpt.train.fast.model import FastLayers
from fingpt.train.packs import FILLER, Pack, make_pack
from fingpt.train_config import TrainConfig

LEAST_COSINE = 0.97
MOST_LOSS_CHANGE = 0.005

_ROWS = 16  # of the run's first steps, at least

Measured = tuple[torch.Tensor, torch.Tensor]
"""A loss and the gradient of all trainable parameters, flat."""


def first_packs(batching: Batching, rows: Sequence[Row], rank: int) -> tuple[list[Pack], int]:
    """This rank's packs of the run's first steps, dropout as in the first one, and how many rows all ranks have."""
    packs: list[Pack] = []
    count = 0
    for step in batching.steps(0):
        if count >= _ROWS:
            break
        count += len(step)
        for turn in batching.packs(step):
            chosen = [rows[index] for index in turn[rank] if index != FILLER]
            if chosen:
                pack = make_pack([(row.prompt, row.answer) for row in chosen])
                packs.append({**pack, "seed": seed_of(batching.seed, 0, rank, len(packs) + 1)})
    return packs, count


def measured(
    model: Any, packs: Sequence[Pack], compute: Callable[[Pack], torch.Tensor]
) -> Measured:
    """Loss and gradient of all ranks' packs; `compute` is a forward and backward pass and gives the loss."""
    trained = [each for each in model.parameters() if each.requires_grad]
    for each in trained:
        each.grad = None
    loss = torch.zeros((), device=trained[0].device)
    for pack in packs:
        loss += compute(pack)
    grads = (torch.zeros_like(each) if each.grad is None else each.grad for each in trained)
    gradient = torch.cat([grad.float().flatten() for grad in grads])
    if torch.distributed.is_initialized():
        for part in (loss, gradient):
            torch.distributed.all_reduce(part)
    return loss, gradient


def judged(
    exact: Measured, eight: Measured, train: TrainConfig, name: str, rows: int
) -> PrecisionGate:
    """Compare; `name` is the precision of `exact`. Numbers that are not finite do not pass."""
    one, two = exact[1].double(), eight[1].double()
    cosine = _number(one @ two / (one.norm() * two.norm()))
    change = _number((eight[0] - exact[0]).double().abs() / exact[0].double().abs())
    most = MOST_LOSS_CHANGE if train.base_precision == "int8" else None
    fits = cosine is not None and cosine >= LEAST_COSINE
    if most is not None:
        fits = fits and change is not None and change <= most
    return PrecisionGate(
        asked=reduced(train),
        instead=name,
        passed=fits,
        rows=rows,
        cosine=cosine,
        loss_change=change,
        least_cosine=LEAST_COSINE,
        most_loss_change=most,
    )


def decide(
    layers: FastLayers,
    eight: EightBits,
    train: TrainConfig,
    name: str,
    measure: Callable[[], tuple[Measured, int]],
) -> PrecisionGate:
    """Bring `layers` to 8 bits if `measure`, which computes the first rows and counts them, agrees; else leave them as
    they are. `name`: their precision.
    """
    exact, rows = measure()
    reduce(layers, eight, train, park=True)
    gate = judged(exact, measure()[0], train, name, rows)
    if gate.passed:
        layers.settle()
        log.event("products in 8 bits", figures=gate.sentence)
    else:
        layers.restore()
        log.warning("products in 8 bits are too coarse for this run", figures=gate.sentence)
    return gate


def reduce(layers: FastLayers, eight: EightBits, train: TrainConfig, *, park: bool = False) -> None:
    """Bring `layers` to the 8 bits that are configured."""
    layers.reduce(
        eight,
        base=train.base_precision == "int8",
        gradient=train.gradient_precision == "fp8",
        park=park,
    )


def _number(value: torch.Tensor) -> float | None:
    return float(value) if bool(torch.isfinite(value)) else None
