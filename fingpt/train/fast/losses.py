"""A Triton kernel for the loss of answers and its gradient: answers.py has their twins.

A row of logits is read once, and for the gradient, which takes its place, a second time from the cache.
"""

# Parameters of kernels have no types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl


# fmt: off
@triton.jit
def _loss(LOGITS, TARGETS, LOSSES, V: tl.constexpr, BLOCK: tl.constexpr, GRADIENT: tl.constexpr):
    """One row: its loss, and with GRADIENT shares of the vocabulary less the target over its logits."""
    row = tl.program_id(0).to(tl.int64)
    target = tl.load(TARGETS + row)
    c = tl.arange(0, BLOCK)
    most = tl.full((BLOCK,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        x = tl.load(LOGITS + row * V + start + c, mask=start + c < V, other=float("-inf")).to(tl.float32)
        higher = tl.maximum(most, x)
        # Lanes without a logit have no sum yet, and infinity less itself is no number.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        total = total * tl.exp(most - base) + tl.exp(x - base)
        most = higher
    top = tl.max(most, 0)
    whole = top + tl.log(tl.sum(total * tl.exp(most - top), 0))
    tl.store(LOSSES + row, whole - tl.load(LOGITS + row * V + target).to(tl.float32))
    if GRADIENT:
        tl.debug_barrier()
        for start in range(0, V, BLOCK):
            place, inside = LOGITS + row * V + start + c, start + c < V
            share = tl.exp(tl.load(place, mask=inside, other=float("-inf")).to(tl.float32) - whole)
            gradient = share - tl.where(start + c == target, 1.0, 0.0)
            tl.store(place, gradient.to(LOGITS.dtype.element_ty), mask=inside)

# fmt: on


def loss_gradient(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As answers.loss_gradient, written over `logits`."""
    return _losses(logits, targets, gradient=True).sum(), logits


def losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """As answers.losses."""
    return _losses(logits, targets, gradient=False)


def _losses(logits: torch.Tensor, targets: torch.Tensor, *, gradient: bool) -> torch.Tensor:
    rows, vocabulary = logits.shape
    found = logits.new_empty(rows, dtype=torch.float32)
    if rows:
        _loss[(rows,)](logits, targets, found, vocabulary, 4096, gradient, num_warps=8)
    return found
