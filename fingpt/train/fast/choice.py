"""Which of the fast layers' parts this machine has, tried before the first step; and why there are none, in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from fingpt import log
from fingpt.errors import SetupError
from fingpt.train.compiled import obstacle
from fingpt.train.fast.card import FAULTS, HOPPER, lack, short
from fingpt.train.fast.cudnn import CudnnAttention
from fingpt.train.fast.documents import Attention, FlashAttention, PlainAttention, Spans
from fingpt.train.fast.eight_bits import PLAIN_EIGHT_BITS, EightBits
from fingpt.train.fast.elementwise import fused
from fingpt.train.fast.model import FastLayers, misfit
from fingpt.train.fast.run import Means

FLASH = "PyTorch's FlashAttention over rows of different lengths"
SIMULATED = "plain PyTorch: no GPU, products in 8 bits are simulated"
CUDNN = "cuDNN's over rows of different lengths"


def choose(width: int, heads: tuple[int, int] = (4, 2)) -> tuple[Attention, str]:
    """The attention for heads that are `width` wide on this card, and what and why it is.

    `heads` of queries and of keys, for which it is tried.
    """
    scale = width**-0.5
    if torch.cuda.get_device_capability() < HOPPER:
        return FlashAttention(scale), f"{FLASH}: the card is older than Hopper"
    try:
        attention = CudnnAttention(scale)
        _try(attention, width, *heads)
        return attention, CUDNN
    except torch.OutOfMemoryError:
        raise
    except FAULTS as fault:
        return FlashAttention(scale), f"{FLASH}: without cuDNN's, {short(fault)}"


def _try(attention: Attention, width: int, heads: int, fewer: int) -> None:
    """Forward and backward of two documents, whole and with half of their rows as queries.

    They lie in memory as heads.py has them, so that a training's first packs find these graphs made.
    """
    borders = torch.tensor([0, 64, 192], dtype=torch.int32, device="cuda")
    halves = borders // 2
    for spans in (Spans(borders, borders, 128, 128), Spans(halves, borders, 64, 128)):
        rows = int(spans.queries[-1])
        whole = torch.randn(192, heads + 2 * fewer, width, dtype=torch.bfloat16, device="cuda")
        q = whole[:, :heads] if rows == 192 else whole[:rows, :heads].contiguous()
        pair = whole[:, heads:] if rows == 192 else whole[:, heads:].contiguous()
        k, v = pair[:, :fewer], pair[:, fewer:]
        out, kept = attention.forward(q, k, v, spans)
        attention.backward(torch.ones_like(out), (q, k, v, out), kept, spans)
    torch.cuda.synchronize()


def take_over(
    model: Any, attempt: Callable[[FastLayers], object]
) -> tuple[FastLayers | None, str, str]:
    """The fast layers of a PEFT model on a GPU after `attempt`, a training pass; what attention and layers are.

    Without them, the model is as it was, and the second text says why.
    """
    reason = misfit(model)
    if reason:
        return None, "", reason
    started = time.monotonic()
    layers = None
    try:
        from fingpt.train.fast.kernels import kernels

        base = model.get_base_model()
        heads = (base.config.num_attention_heads, base.config.num_key_value_heads)
        attention, which = choose(int(base.model.layers[0].self_attn.head_dim), heads)
        layers = FastLayers(model, Means(attention, fused(), kernels()))
        attempt(layers)
    except torch.OutOfMemoryError:
        raise
    except FAULTS as fault:
        if layers is not None:
            layers.leave()
        log.warning("fast layers do not work here, training is slower", reason=short(fault))
        return None, "", short(fault)
    log.event("fast layers work", seconds=round(time.monotonic() - started, 1))
    return (
        layers,
        which,
        "fast: joined products, own kernels for all between them",
    )


def refusal(precision: str) -> str:
    """Why this machine cannot multiply in 8 bits, in words; empty where it can, or simulates it on a CPU."""
    if not torch.cuda.is_available():
        return ""
    return lack(HOPPER, precision) or obstacle().removeprefix("not compiled: ")


def eight_bits() -> EightBits:
    """How this machine computes rows and products in 8 bits."""
    if not torch.cuda.is_available():
        return PLAIN_EIGHT_BITS
    from fingpt.train.fast.eight_bit_kernels import kernels

    return kernels()


def simulate(model: Any, asked: str) -> FastLayers:
    """The fast layers of a PEFT model in plain PyTorch; SetupError where the model is `asked` for what it cannot."""
    reason = misfit(model, multiple=1)
    if reason:
        raise SetupError(f"{asked} cannot be computed with this base: {reason}; leave it out.")
    width = int(model.get_base_model().model.layers[0].self_attn.head_dim)
    return FastLayers(model, Means(PlainAttention(width**-0.5)))
