"""The output layer and the loss of answers together: logits of some thousand tokens at a time, which become gradients.

transformers' own way keeps logits of all answers in bf16 and fp32 and their gradients beside them, which is a tenth of
a pack's memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_ROWS = 4096

Gradient = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def loss_gradient(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of `logits` (n × vocabulary) for `targets` (n), summed in fp32, and its gradient.

    That may be written over `logits`.
    """
    wide = logits.float()
    wide = wide - wide.amax(1, keepdim=True)
    shares = wide.exp()
    total = shares.sum(1, keepdim=True)
    hit = torch.arange(logits.shape[1], device=logits.device) == targets[:, None]
    loss = total.log().sum() - torch.where(hit, wide, 0.0).sum()
    return loss, (shares / total - hit.float()).to(logits.dtype)


def losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each row of `logits` (n × vocabulary) for its target, fp32."""
    # The logits themselves stay as they are, which saves their passes through memory.
    shares = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    return -shares.gather(1, targets[:, None])[:, 0]


class AnswerLoss(torch.autograd.Function):
    """apply(hidden, weight, targets, gradient, keep) → the summed loss.

    `hidden`: n × d, `weight`: vocabulary × d, frozen; `gradient`: `loss_gradient` as the machine computes it;
    `keep`: a backward follows.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, *rest: Any) -> torch.Tensor:
        """See the class."""
        weight, targets, gradient, keep = rest
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        found = torch.empty_like(hidden) if keep else None
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.shape[0], _ROWS):
                some = slice(start, start + _ROWS)
                part, of_logits = gradient(hidden[some] @ weight.t(), targets[some])
                loss += part
                if found is not None:
                    torch.mm(of_logits, weight, out=found[some])
        ctx.found = found
        return loss

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """The gradient is there; only its scale is not."""
        found, ctx.found = ctx.found, None
        return found * gradients[0].to(found.dtype), None, None, None, None
