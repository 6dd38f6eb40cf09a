"""Products with the narrow matrices of adapters, forward and backward, with dropout on their inputs.

Plain PyTorch, and the twins of the kernels in kernels.py, which read each large matrix once. With p = s · drop(x) Aᵀ
an adapter adds p Bᵀ to its base's output; from dy follow d = s · dy B, dA = dᵀ drop(x), dB = dyᵀ p, and drop(d A) for
x. s is the adapter's scale over the share that dropout keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from fingpt.train.fast.dropout import Mask
from fingpt.train.fast.eight_bits import Unscaled, fill

Normed = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""The input of a norm, 1 / root mean square of its rows, and the norm's weight (1 × k)."""


def project(x: torch.Tensor, down: torch.Tensor, scale: float, mask: Mask | None) -> torch.Tensor:
    """P (n × r) of `x` (n × k and perhaps more columns, which get p's first ones) and `down` (r × k)."""
    inputs = x[:, : down.shape[1]]
    if mask is not None:
        inputs = torch.where(mask.keep, inputs, 0.0)
    p = ((inputs @ down.t()) * scale).to(x.dtype)
    beside = x.shape[1] - down.shape[1]
    if beside:
        x[:, -beside:] = p[:, :beside]
    return p


def output_gradients(
    dy: torch.Tensor | Unscaled,
    up: torch.Tensor,
    p: torch.Tensor,
    bounds: Sequence[int],
    scale: float,
    rank: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """→ d (n × groups · width) and dB (outputs × rank, fp32), from `dy` (n × outputs) and `up` (outputs × width).

    `bounds` are the ends of the groups' outputs; group g has columns g · width on of `p`. A `dy` that is to be brought
    to 8 bits is, on the way.
    """
    if isinstance(dy, Unscaled):
        fill(dy)
        dy = dy.values
    width = up.shape[1]
    parts, of_up = [], []
    for group, (start, stop) in enumerate(pairwise((0, *bounds))):
        own = dy[:, start:stop]
        parts.append(((own @ up[start:stop]) * scale).to(dy.dtype))
        own_p = p[:, group * width :][:, :rank]
        of_up.append(own.t().float() @ own_p.float())
    empty = padded(len(bounds)) - len(bounds)
    if empty:
        parts.append(dy.new_zeros(dy.shape[0], empty * width))
    return torch.cat(parts, 1), torch.cat(of_up)


def down_gradient(d: torch.Tensor, x: torch.Tensor | Normed, mask: Mask | None) -> torch.Tensor:
    """Gradient dA (r × k, fp32) from `d` (n × r) and the product's input, or what it is the norm of."""
    if isinstance(x, tuple):
        hidden, inverse, weight = x
        x = (hidden.float() * inverse[:, None]).to(hidden.dtype) * weight
    if mask is not None:
        x = torch.where(mask.keep, x, 0.0)
    return d.t().float() @ x.float()


def padded(groups: int) -> int:
    """The next power of two."""
    return 1 << (groups - 1).bit_length()


class Through(NamedTuple):
    """What reaches an input through its adapter: `d` `down`, where dropout kept the input (d: n × r, down: r × k)."""

    d: torch.Tensor
    down: torch.Tensor
    mask: Mask | None

    @property
    def gradient(self) -> torch.Tensor:
        """It, in fp32 (n × k)."""
        wide = (self.d @ self.down).float()
        return wide if self.mask is None else torch.where(self.mask.keep, wide, 0.0)


class Products(NamedTuple):
    """The functions above as a machine computes them."""

    project: Callable[..., Any] = project
    output_gradients: Callable[..., Any] = output_gradients
    down_gradient: Callable[..., Any] = down_gradient


PLAIN_PRODUCTS = Products()
