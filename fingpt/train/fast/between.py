"""Triton kernels for SwiGLU, its gradient and rotary positions: elementwise.py has their twins."""

# Parameters of kernels have no types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl

from fingpt.train.fast.kernels import in_order, kept, keys, limit
from fingpt.train.fast.products import Through


# fmt: off
@triton.jit(do_not_specialize=["T"])
def _turn(FROM, TO, COSINE, SINE, T, ST, STO, SC, HALF: tl.constexpr, BM: tl.constexpr, BACK: tl.constexpr,
          TURN: tl.constexpr):
    """One head of some rows, turned by their positions or back, or copied."""
    head = tl.program_id(0)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    there = (rows < T)[:, None]
    at = rows.to(tl.int64)[:, None]
    i = head * 2 * HALF + tl.arange(0, HALF)[None, :]
    first = tl.load(FROM + at * ST + i, mask=there, other=0.0)
    second = tl.load(FROM + at * ST + HALF + i, mask=there, other=0.0)
    if TURN:
        place = at * SC + tl.arange(0, HALF)[None, :]
        c = tl.load(COSINE + place, mask=there, other=0.0).to(tl.float32)
        s = tl.load(SINE + place, mask=there, other=0.0).to(tl.float32)
        if BACK:
            s = -s
        a, b = first.to(tl.float32), second.to(tl.float32)
        first, second = (a * c - b * s).to(first.dtype), (b * c + a * s).to(second.dtype)
    tl.store(TO + at * STO + i, first, mask=there)
    tl.store(TO + at * STO + HALF + i, second, mask=there)


@triton.jit
def _sigmoid(x):
    """By the card's own approximations, which are exact to one or two of fp32's last bits."""
    return tl.inline_asm_elementwise(
        "{ .reg .f32 t; mul.f32 t, $1, 0fBFB8AA3B; ex2.approx.ftz.f32 t, t; add.f32 t, t, 0f3F800000; "
        "rcp.approx.ftz.f32 $0, t; }", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)


@triton.jit(do_not_specialize=["T"])
def _swiglu(BOTH, OUT, T, F: tl.constexpr, SO: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """A tile."""
    c = tl.program_id(0) * BN + tl.arange(0, BN)[None, :]
    rows = tl.program_id(1) * BM + tl.arange(0, BM)[:, None]
    there, at = rows < T, rows.to(tl.int64)
    gate = tl.load(BOTH + at * (2 * F) + c, mask=there, other=0.0).to(tl.float32)
    up = tl.load(BOTH + at * (2 * F) + F + c, mask=there, other=0.0).to(tl.float32)
    tl.store(OUT + at * SO + c, (gate * _sigmoid(gate) * up).to(OUT.dtype.element_ty), mask=there)


@triton.jit(do_not_specialize=["T"])
def _swiglu_gradient(BOTH, BASE, D, DOWN, KR, KC, MOST, T, F: tl.constexpr, SD: tl.constexpr, R: tl.constexpr,
                     BM: tl.constexpr, BN: tl.constexpr, DROP: tl.constexpr, LIMIT: tl.constexpr, KEEP: tl.constexpr):
    """Gradients of gates and ups over them; SwiGLU's result over the gradient that came through the frozen weights."""
    c = tl.program_id(0) * BN + tl.arange(0, BN)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    there = (rows < T)[:, None]
    at = rows.to(tl.int64)[:, None]
    r = tl.arange(0, R)
    gates, bases = BOTH + at * (2 * F) + c[None, :], BASE + at * F + c[None, :]
    gate = tl.load(gates, mask=there, other=0.0).to(tl.float32)
    up = tl.load(gates + F, mask=there, other=0.0).to(tl.float32)
    outer = tl.load(bases, mask=there, other=0.0).to(tl.float32)
    d = tl.load(D + at * R + r[None, :], mask=there, other=0.0)
    adapter = in_order(tl.dot(d, tl.load(DOWN + r[:, None] * SD + c[None, :])), BM, BN)
    if DROP:
        keep = kept(tl.load(KR + rows, mask=rows < T, other=0), tl.load(KC + c), LIMIT)
        adapter = tl.where(keep, adapter, 0.0)
    outer += adapter
    share = _sigmoid(gate)
    active = gate * share
    kind = BOTH.dtype.element_ty
    of_gate, of_up = (outer * up * share * (1.0 + gate - active)).to(kind), (outer * active).to(kind)
    tl.store(gates, of_gate, mask=there)
    tl.store(gates + F, of_up, mask=there)
    if KEEP:
        high = tl.maximum(tl.max(tl.abs(of_gate.to(tl.float32)), 1), tl.max(tl.abs(of_up.to(tl.float32)), 1))
        # Bits of numbers that are not negative sort as the numbers do, and a maximum is the same in any order.
        tl.atomic_max(MOST + rows, high.to(tl.int32, bitcast=True), mask=rows < T, sem="relaxed")
    tl.store(bases, (active * up).to(kind), mask=there)

# fmt: on


def _turned(
    heads: torch.Tensor,
    to: torch.Tensor,
    turn: tuple[torch.Tensor, torch.Tensor] | None,
    *,
    back: bool,
) -> None:
    """`heads` (n × heads × width) turned into `to`, of the same shape."""
    rows, many, width = heads.shape
    cosine, sine = turn or (heads, heads)
    if rows == 0:
        return
    _turn[(many, triton.cdiv(rows, 32))](
        heads, to, cosine, sine, rows, heads.stride(0), to.stride(0), cosine.stride(0), width // 2, 32,
        back, turn is not None, num_warps=4,
    )  # fmt: skip


def rotate(heads: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, of: int) -> torch.Tensor:
    """As elementwise.rotate, in place."""
    some = heads[:, :of]
    _turned(some, some, (cosine, sine), back=False)
    return heads


def rotate_gradient(
    turned: tuple[torch.Tensor, ...],
    still: tuple[torch.Tensor, ...],
    cosine: torch.Tensor,
    sine: torch.Tensor,
) -> torch.Tensor:
    """As elementwise.rotate_gradient."""
    many = sum(part.shape[1] for part in (*turned, *still))
    rows, _, width = turned[0].shape
    out, first = turned[0].new_empty(rows, many, width), 0
    for number, part in enumerate((*turned, *still)):
        place = out[:, first : first + part.shape[1]]
        _turned(part, place, (cosine, sine) if number < len(turned) else None, back=True)
        first += part.shape[1]
    return out.flatten(1)


def swiglu(both: torch.Tensor, out: torch.Tensor) -> None:
    """As elementwise.swiglu."""
    rows, inner = out.shape
    if rows:
        _swiglu[(inner // 128, triton.cdiv(rows, 16))](
            both, out, rows, inner, out.stride(0), 16, 128, num_warps=4
        )


def swiglu_gradient(
    both: torch.Tensor, base: torch.Tensor, through: Through, most: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """As elementwise.swiglu_gradient, written over `both` and `base`."""
    d, down, mask = through
    rows, inner = base.shape
    if rows:
        block = 256 if inner % 256 == 0 and d.shape[1] <= 64 else 128
        _swiglu_gradient[(inner // block, triton.cdiv(rows, 16))](
            both, base, d, down, *keys(mask, d), d if most is None else most.view(torch.int32), rows, inner,
            down.stride(0), d.shape[1], 16, block, mask is not None, limit(mask), most is not None, num_warps=8,
        )  # fmt: skip
    return both, base
