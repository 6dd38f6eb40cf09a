"""What happens between the products of a decoder layer, and its gradients: norms, rotary positions, SwiGLU, dropout.

Plain functions of PyTorch over rows (tokens), the twins of kernels in between.py, norms.py and losses.py. Sums are
fp32, results have the dtype of their inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own abbreviation

from fingpt.train.fast.answers import loss_gradient, losses
from fingpt.train.fast.eight_bits import Rows, Unscaled, fill
from fingpt.train.fast.products import Normed, Through


def add_norm(
    hidden: torch.Tensor,
    more: torch.Tensor | None,
    weight: torch.Tensor,
    epsilon: float,
    out: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """RMSNorm of `hidden` + `more` (n × d) into `out`; `weight` is 1 × d, `more` None adds nothing.

    → that sum, and 1 / root mean square of each row of it, fp32.
    """
    total = hidden if more is None else hidden + more
    wide = total.float()
    inverse = torch.rsqrt(wide.square().mean(1) + epsilon)
    out.copy_((wide * inverse[:, None]).to(total.dtype) * weight)
    return total, inverse


def norm_gradient(
    base: torch.Tensor,
    through: Through,
    normed: Normed,
    beside: torch.Tensor,
    rows: Rows | None = None,
) -> torch.Tensor:
    """Gradient of a norm's input: through the norm, whose own is `base` and what comes `through` the adapter, and
    `beside` it. May be written over `base`; `rows` gets it in 8 bits.
    """
    hidden, inverse, weight = normed
    outer = (base.float() + through.gradient) * weight.float()
    wide, scale = hidden.float(), inverse[:, None]
    along = (outer * wide).mean(1, keepdim=True)
    found = (outer * scale - wide * (scale**3 * along) + beside.float()).to(hidden.dtype)
    if rows is not None:
        fill(Unscaled(found, found.float().abs().amax(1), rows))
    return found


def add_through(base: torch.Tensor, through: Through) -> torch.Tensor:
    """Gradient through a base product plus what comes `through` its adapter. May be written over `base`."""
    return (base.float() + through.gradient).to(base.dtype)


def rotate(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, of: int) -> torch.Tensor:
    """Turn the first `of` heads of `heads` (n × heads × width) by their positions; the others stay. May work in place.

    `cosine`, `sine`: n × width, halves alike, as transformers makes them.
    """
    return torch.cat([_turn(heads[:, :of], cosine, sine), heads[:, of:]], 1)


def rotate_gradient(
    turned: tuple[torch.Tensor, ...],
    still: tuple[torch.Tensor, ...],
    cosine: torch.Tensor,
    sine: torch.Tensor,
) -> torch.Tensor:
    """Gradient of `rotate`'s input, flat (n × heads · width), from those of heads that were turned and others."""
    return torch.cat([*(_turn(part, cosine, -sine) for part in turned), *still], 1).flatten(1)


def swiglu(both: torch.Tensor, out: torch.Tensor) -> None:
    """silu(gate) · up into `out`; `both` holds gates and then ups."""
    gate, up = both.float().chunk(2, 1)
    out.copy_((F.silu(gate) * up).to(both.dtype))


def swiglu_gradient(
    both: torch.Tensor, base: torch.Tensor, through: Through, most: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """→ gradient of `both`, and `swiglu`'s result again. May write them over `both` and `base`.

    The gradient of `swiglu`'s result is `base`, and what comes `through` the adapter. The largest entry of each row of
    the first goes to `most` (fp32, n, zeros before).
    """
    gate, up = both.float().chunk(2, 1)
    outer = base.float() + through.gradient
    share = torch.sigmoid(gate)
    active = gate * share
    of_gate = outer * up * share * (1 + gate - active)
    gradient = torch.cat([of_gate.to(both.dtype), (outer * active).to(both.dtype)], 1)
    if most is not None:
        most.copy_(gradient.float().abs().amax(1))
    return gradient, (active * up).to(both.dtype)


def _turn(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    first, second = heads.float().chunk(2, 2)
    c1, c2 = cosine.float()[:, None].chunk(2, 2)
    s1, s2 = sine.float()[:, None].chunk(2, 2)
    turned = torch.cat([first * c1 - second * s1, second * c2 + first * s2], 2)
    return turned.to(heads.dtype)


class Elementwise(NamedTuple):
    """The functions above as a machine computes them."""

    add_norm: Callable[..., Any] = add_norm
    norm_gradient: Callable[..., Any] = norm_gradient
    losses: Callable[..., Any] = losses
    loss_gradient: Callable[..., Any] = loss_gradient
    add_through: Callable[..., Any] = add_through
    rotate: Callable[..., Any] = rotate
    rotate_gradient: Callable[..., Any] = rotate_gradient
    swiglu: Callable[..., Any] = swiglu
    swiglu_gradient: Callable[..., Any] = swiglu_gradient


PLAIN_ELEMENTWISE = Elementwise()


def fused() -> Elementwise:
    """As Triton compiles them, once each for any number of rows."""
    from fingpt.train.fast import between, losses, norms

    return Elementwise(
        add_norm=norms.add_norm,
        norm_gradient=norms.norm_gradient,
        losses=losses.losses,
        loss_gradient=losses.loss_gradient,
        add_through=norms.add_through,
        rotate=between.rotate,
        rotate_gradient=between.rotate_gradient,
        swiglu=between.swiglu,
        swiglu_gradient=between.swiglu_gradient,
    )
