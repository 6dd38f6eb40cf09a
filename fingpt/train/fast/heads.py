"""The first half of a decoder layer, hidden + out(attention(norm)), forward and backward by hand.

The last layer needs keys and values of all rows, but queries, output and all that follows of the wanted rows alone.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from fingpt.train.fast.documents import Spans
from fingpt.train.fast.joined import Joined
from fingpt.train.fast.products import Through
from fingpt.train.fast.run import SITES, Means, Pair, Run, Tail


class Heads:
    """A decoder layer's norm, projections and attention, number `index` in its model; `last`: none follows."""

    def __init__(self, layer: Any, index: int, means: Means, *, last: bool) -> None:
        own, norm = layer.self_attn, layer.input_layernorm
        self.weight, self.epsilon = norm.weight.data[None], float(norm.variance_epsilon)
        self.qkv = Joined([own.q_proj, own.k_proj, own.v_proj])
        self.out = Joined([own.o_proj])
        self.width = int(own.head_dim)
        self.heads = self.qkv.bounds[0] // self.width
        self.fewer = self.qkv.bounds[1] // self.width - self.heads
        self.site = SITES * index
        self.means, self.last = means, last

    @property
    def joined(self) -> tuple[Joined, ...]:
        """Its matrices."""
        return self.qkv, self.out

    def __call__(self, hidden: Pair, run: Run) -> Pair:
        """`hidden`: see Pair; the result has as many rows, or those of the tail."""
        masters = (master for joined in self.joined for master in joined.masters)
        result: Pair = _HeadsHalf.apply(*hidden, self, run, *masters)  # type: ignore[no-untyped-call]
        return result

    def tail(self, run: Run) -> Tail | None:
        """What it computes of the rows; None for all."""
        return run.tail if self.last else None


class _HeadsHalf(torch.autograd.Function):
    """Keeps its input, turned queries and keys, values, the attention's output and the narrow products."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, *rest: Any) -> Pair:
        """See Heads."""
        more, heads, run = rest[:3]
        with torch.autocast(hidden.device.type, enabled=False):
            made, found = _forward((hidden, more), heads, run)
        ctx.parts = (heads, run, made) if run.keep else None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        """Once; what was kept is gone then."""
        heads, run, made = ctx.parts
        ctx.parts = None
        of_hidden = None
        with torch.autocast(gradients[0].device.type, enabled=False):
            parts = _backward(gradients, heads, run, made)
            if ctx.needs_input_grad[0]:
                of_hidden = _input_gradient(heads, run, made, parts)
        of_more = of_hidden if ctx.needs_input_grad[1] else None
        return (of_hidden, of_more, None, None, *parts.masters)


def _forward(pair: Pair, heads: Heads, run: Run) -> tuple[Any, Pair]:
    qkv, out, tail = heads.qkv, heads.out, heads.tail(run)
    x = qkv.room(pair[0].shape[0], pair[0])
    hidden, inverse = heads.means.elementwise.add_norm(
        *pair, heads.weight, heads.epsilon, x[:, : qkv.inputs]
    )
    p_qkv = run.narrow(qkv, x, heads.site, heads.means)
    q, k, v = _turned(x, p_qkv, heads, run)
    del x
    o, sums = heads.means.attention.forward(q, k, v, _spans(run, tail))
    made = SimpleNamespace(
        hidden=hidden, inverse=inverse, p_qkv=p_qkv, parts=(q, k, v, o), sums=sums
    )
    x, residual = out.widened(o.flatten(1)), hidden
    if tail is not None:
        x, residual = x[tail.wanted], hidden[tail.places]
    made.flat, made.p_out = x, run.narrow(out, x, heads.site + 1, heads.means)
    return made, run.added(out, x, made.p_out, residual)


def _turned(
    x: torch.Tensor, p: torch.Tensor | None, heads: Heads, run: Run
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries and keys turned by their positions, and values, from the norm's rows with the adapters' part `p`."""
    qkv, tail, split = heads.qkv, heads.tail(run), heads.heads + heads.fewer

    def heads_of(made: torch.Tensor) -> torch.Tensor:
        return made.view(made.shape[0], -1, heads.width)

    rotate = heads.means.elementwise.rotate
    if tail is None:
        whole = rotate(heads_of(qkv.forward(x, p)), *run.turn, split)
        return whole[:, : heads.heads], whole[:, heads.heads : split], whole[:, split:]
    first = qkv.bounds[0]
    turn = tuple(part[tail.rows] for part in run.turn)
    own = None if p is None else p[tail.rows]
    q = rotate(heads_of(qkv.forward(x[tail.rows], own, 0, first)), *turn, heads.heads)
    rest = rotate(heads_of(qkv.forward(x, p, first)), *run.turn, heads.fewer)
    return q, rest[:, : heads.fewer], rest[:, heads.fewer :]


def _spans(run: Run, tail: Tail | None) -> Spans:
    return run.spans if tail is None else tail.spans


def _backward(gradients: tuple[torch.Tensor, ...], heads: Heads, run: Run, made: Any) -> Any:
    """Gradients of the masters, of q, k, v as the projections gave them, and of their adapters' inner product."""
    beside, gradient = gradients
    each, products, tail = heads.means.elementwise, heads.means.products, heads.tail(run)
    out, rows = heads.out, gradient.shape[0]
    mask = run.mask(heads.site + 1, rows, out.inputs)
    d, of_up = products.output_gradients(
        gradient, out.up, made.p_out, out.bounds, run.scale(out), out.rank
    )
    masters = out.gradients(products.down_gradient(d, made.flat[:, : out.inputs], mask), of_up)
    base = out.backward(run.handed.take(gradient))
    of_flat = each.add_through(base, Through(d, out.down, mask))
    of_o = of_flat.view(rows, heads.heads, heads.width)
    if tail is not None:
        of_o = torch.zeros_like(made.parts[3]).index_copy_(0, tail.wanted, of_o)
    dq, dk, dv = heads.means.attention.backward(of_o, made.parts, made.sums, _spans(run, tail))
    del made.parts, made.flat
    parts = _tail_gradients if tail is not None else _whole_gradients
    found = parts((dq, dk, dv), heads, run, made)
    normed = (made.hidden, made.inverse, heads.weight)
    mask = run.mask(heads.site, made.hidden.shape[0], heads.qkv.inputs)
    of_down = products.down_gradient(found.d, normed, mask)
    found.masters = [*heads.qkv.gradients(of_down, found.of_up), *masters]
    found.beside, found.mask = beside, mask
    return found


def _whole_gradients(parts: tuple[torch.Tensor, ...], heads: Heads, run: Run, made: Any) -> Any:
    qkv, means = heads.qkv, heads.means
    dy = means.elementwise.rotate_gradient(parts[:2], parts[2:], *run.turn)
    d, of_up = means.products.output_gradients(
        dy, qkv.up, made.p_qkv, qkv.bounds, run.scale(qkv), qkv.rank
    )
    return SimpleNamespace(dy=dy, d=d, of_up=of_up)


def _tail_gradients(parts: tuple[torch.Tensor, ...], heads: Heads, run: Run, made: Any) -> Any:
    """As _whole_gradients, where queries are of the tail's rows alone."""
    qkv, means, tail = heads.qkv, heads.means, heads.tail(run)
    assert tail is not None
    first, width, scale = qkv.bounds[0], qkv.width, run.scale(qkv)
    turn = tuple(part[tail.rows] for part in run.turn)
    of_q = means.elementwise.rotate_gradient(parts[:1], (), *turn)
    of_rest = means.elementwise.rotate_gradient(parts[1:2], parts[2:], *run.turn)
    own_p = made.p_qkv[tail.rows, :width].contiguous()
    d_q, up_q = means.products.output_gradients(
        of_q, qkv.up[:first], own_p, (first,), scale, qkv.rank
    )
    bounds = tuple(bound - first for bound in qkv.bounds[1:])
    d_rest, up_rest = means.products.output_gradients(
        of_rest, qkv.up[first:], made.p_qkv[:, width:], bounds, scale, qkv.rank
    )
    d = d_rest.new_zeros(d_rest.shape[0], qkv.padded * width)
    d[:, width : 3 * width] = d_rest
    d[:, :width].index_copy_(0, tail.rows, d_q)
    return SimpleNamespace(dy=(of_q, of_rest), d=d, of_up=torch.cat([up_q, up_rest]))


def _input_gradient(heads: Heads, run: Run, made: Any, parts: Any) -> torch.Tensor:
    qkv, tail = heads.qkv, heads.tail(run)
    beside = parts.beside
    if tail is None:
        base = qkv.backward(parts.dy)
    else:
        of_q, of_rest = parts.dy
        base = qkv.backward(of_rest, qkv.bounds[0])
        base[tail.rows] += qkv.backward(of_q, 0, qkv.bounds[0])
        beside = torch.zeros_like(made.hidden).index_copy_(0, tail.places, beside)
    through, normed = (
        Through(parts.d, qkv.down, parts.mask),
        (made.hidden, made.inverse, heads.weight),
    )
    rows8 = qkv.place(base)
    found: torch.Tensor = heads.means.elementwise.norm_gradient(
        base, through, normed, beside, rows8
    )
    run.handed.give(found, rows8)
    return found
