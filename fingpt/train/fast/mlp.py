"""The second half of a decoder layer, hidden + down(silu(gate(norm)) · up(norm)), forward and backward by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from fingpt.train.fast.joined import Joined
from fingpt.train.fast.products import Through
from fingpt.train.fast.run import SITES, Means, Pair, Run


class Mlp:
    """A decoder layer's norm and projections, number `index` in its model."""

    def __init__(self, layer: Any, index: int, means: Means) -> None:
        norm = layer.post_attention_layernorm
        self.weight, self.epsilon = norm.weight.data[None], float(norm.variance_epsilon)
        self.gate_up = Joined([layer.mlp.gate_proj, layer.mlp.up_proj])
        self.down = Joined([layer.mlp.down_proj])
        self.site = SITES * index + 2
        self.means = means

    @property
    def joined(self) -> tuple[Joined, ...]:
        """Its matrices."""
        return self.gate_up, self.down

    def __call__(self, hidden: Pair, run: Run) -> Pair:
        """`hidden` and the result: see Pair."""
        masters = (master for joined in self.joined for master in joined.masters)
        result: Pair = _MlpHalf.apply(*hidden, self, run, *masters)  # type: ignore[no-untyped-call]
        return result


class _MlpHalf(torch.autograd.Function):
    """Keeps its input, gates and ups, and the narrow products; the norm and SwiGLU's result are computed again."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, *rest: Any) -> Pair:
        """See Mlp."""
        more, mlp, run = rest[:3]
        with torch.autocast(hidden.device.type, enabled=False):
            made, found = _forward((hidden, more), mlp, run)
        ctx.parts = (mlp, run, made) if run.keep else None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Once; what was kept is gone then."""
        mlp, run, made = ctx.parts
        ctx.parts = None
        with torch.autocast(gradients[0].device.type, enabled=False):
            of_hidden, masters = _backward(gradients, mlp, run, made)
        return (of_hidden, of_hidden, None, None, *masters)


def _forward(pair: Pair, mlp: Mlp, run: Run) -> tuple[Any, Pair]:
    each, rows = mlp.means.elementwise, pair[0].shape[0]
    wide, down = mlp.gate_up, mlp.down
    x = wide.room(rows, pair[0])
    hidden, inverse = each.add_norm(*pair, mlp.weight, mlp.epsilon, x[:, : wide.inputs])
    p_wide = run.narrow(wide, x, mlp.site, mlp.means)
    both = wide.forward(x, p_wide)
    del x
    x = down.room(rows, hidden)
    each.swiglu(both, x[:, : down.inputs])
    p_down = run.narrow(down, x, mlp.site + 1, mlp.means)
    made = SimpleNamespace(hidden=hidden, inverse=inverse, p_wide=p_wide, both=both, p_down=p_down)
    return made, run.added(down, x, p_down, hidden)


def _backward(
    gradients: tuple[torch.Tensor, ...], mlp: Mlp, run: Run, made: Any
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    beside, gradient = gradients
    each, products, rows = mlp.means.elementwise, mlp.means.products, gradient.shape[0]
    wide, down = mlp.gate_up, mlp.down
    mask = run.mask(mlp.site + 1, rows, down.inputs)
    d, of_up = products.output_gradients(
        gradient, down.up, made.p_down, down.bounds, run.scale(down), down.rank
    )
    most = wide.maxima(made.both)
    base = down.backward(run.handed.take(gradient))
    of_both, active = each.swiglu_gradient(made.both, base, Through(d, down.down, mask), most)
    del made.both, base
    masters = down.gradients(products.down_gradient(d, active, mask), of_up)
    del active
    mask = run.mask(mlp.site, rows, wide.inputs)
    dy = wide.unscaled(of_both, most)
    d, of_up = products.output_gradients(
        dy, wide.up, made.p_wide, wide.bounds, run.scale(wide), wide.rank
    )
    normed = (made.hidden, made.inverse, mlp.weight)
    masters = [*wide.gradients(products.down_gradient(d, normed, mask), of_up), *masters]
    del of_both
    base = wide.backward(dy)
    del dy
    rows8 = wide.place(base)
    found = each.norm_gradient(base, Through(d, wide.down, mask), normed, beside, rows8)
    run.handed.give(found, rows8)
    return found, masters
