"""Triton kernels for norms, and for gradients through a base product and its adapter: elementwise.py has their twins.

A row is in registers from its first to its last use, where what torch.compile makes reads it twice.
"""

# Parameters of kernels have no types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl

from fingpt.train.fast import eight_bits
from fingpt.train.fast.eight_bits import Rows
from fingpt.train.fast.kernels import in_order, kept, kept_of, keys, limit
from fingpt.train.fast.products import Normed, Through

_LEAST = tl.constexpr(eight_bits.LEAST)


# fmt: off
@triton.jit(do_not_specialize=["epsilon"])
def _norm(HIDDEN, MORE, WEIGHT, TOTAL, OUT, INVERSE, epsilon, N: tl.constexpr, SO: tl.constexpr, BLOCK: tl.constexpr,
          ADD: tl.constexpr):
    """One row, or the sum of two."""
    row = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK)
    inside = c < N
    kind = OUT.dtype.element_ty
    wide = tl.load(HIDDEN + row * N + c, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        total = (wide + tl.load(MORE + row * N + c, mask=inside, other=0.0).to(tl.float32)).to(kind)
        tl.store(TOTAL + row * N + c, total, mask=inside)
        wide = total.to(tl.float32)
    inverse = tl.rsqrt(tl.sum(wide * wide, 0) / N + epsilon)
    tl.store(INVERSE + row, inverse)
    normed = (wide * inverse).to(kind).to(tl.float32) * tl.load(WEIGHT + c, mask=inside, other=0.0).to(tl.float32)
    tl.store(OUT + row * SO + c, normed.to(kind), mask=inside)


@triton.jit(do_not_specialize=["T"])
def _add_through(BASE, D, DOWN, KR, KC, T, N: tl.constexpr, SD: tl.constexpr, R: tl.constexpr, BM: tl.constexpr,
                 BN: tl.constexpr, DROP: tl.constexpr, LIMIT: tl.constexpr):
    """A tile."""
    c = tl.program_id(0) * BN + tl.arange(0, BN)
    rows = tl.program_id(1) * BM + tl.arange(0, BM)
    there = (rows < T)[:, None]
    at = rows.to(tl.int64)[:, None]
    r = tl.arange(0, R)
    d = tl.load(D + at * R + r[None, :], mask=there, other=0.0)
    adapter = in_order(tl.dot(d, tl.load(DOWN + r[:, None] * SD + c[None, :])), BM, BN)
    if DROP:
        keep = kept(tl.load(KR + rows, mask=rows < T, other=0), tl.load(KC + c), LIMIT)
        adapter = tl.where(keep, adapter, 0.0)
    place = BASE + at * N + c[None, :]
    base = tl.load(place, mask=there, other=0.0).to(tl.float32)
    tl.store(place, (base + adapter).to(BASE.dtype.element_ty), mask=there)


@triton.jit
def _norm_gradient(BASE, ADAPTER, H, INVERSE, WEIGHT, BESIDE, KR, KC, VALUES, SCALES, N: tl.constexpr,
                   BLOCK: tl.constexpr, DROP: tl.constexpr, LIMIT: tl.constexpr, TOP: tl.constexpr):
    """One row over BASE; with TOP in 8 bits too."""
    row = tl.program_id(0)
    c = tl.arange(0, BLOCK)
    inside = c < N
    at = row.to(tl.int64) * N + c
    kind = BASE.dtype.element_ty
    adapter = tl.load(ADAPTER + at, mask=inside, other=0.0)
    if DROP:
        keep = kept_of(tl.load(KR + row), tl.load(KC + c, mask=inside, other=0), LIMIT)
        adapter = tl.where(keep, adapter, 0.0)
    outer = tl.load(BASE + at, mask=inside, other=0.0).to(tl.float32) + adapter.to(tl.float32)
    outer *= tl.load(WEIGHT + c, mask=inside, other=0.0).to(tl.float32)
    wide = tl.load(H + at, mask=inside, other=0.0).to(tl.float32)
    beside = tl.load(BESIDE + at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(INVERSE + row)
    share = scale * scale * scale * (tl.sum(outer * wide, 0) / N)
    found = (outer * scale - wide * share + beside).to(kind)
    tl.store(BASE + at, found, mask=inside)
    if TOP > 0:
        most = tl.maximum(tl.max(tl.abs(found.to(tl.float32)), 0), _LEAST)
        tl.store(SCALES + row, tl.div_rn(most, TOP))
        eight = found.to(tl.float32) * tl.div_rn(TOP, most)
        if VALUES.dtype.element_ty == tl.int8:
            eight = tl.floor(eight + 0.5)
        tl.store(VALUES + at, eight.to(VALUES.dtype.element_ty), mask=inside)

# fmt: on


def add_norm(
    hidden: torch.Tensor,
    more: torch.Tensor | None,
    weight: torch.Tensor,
    epsilon: float,
    out: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As elementwise.add_norm."""
    hidden = hidden.contiguous()
    rows, columns = hidden.shape
    total = hidden if more is None else torch.empty_like(hidden)
    inverse = hidden.new_empty(rows, dtype=torch.float32)
    if rows:
        _norm[(rows,)](
            hidden, hidden if more is None else more.contiguous(), weight, total, out, inverse, epsilon, columns,
            out.stride(0), triton.next_power_of_2(columns), more is not None, num_warps=8,
        )  # fmt: skip
    return total, inverse


def add_through(base: torch.Tensor, through: Through) -> torch.Tensor:
    """As elementwise.add_through, written over `base`."""
    (rows, columns), (d, down, mask) = base.shape, through
    if rows:
        _add_through[(columns // 128, triton.cdiv(rows, 64))](
            base, d, down, *keys(mask, d), rows, columns, down.stride(0), d.shape[1], 64, 128,
            mask is not None, limit(mask), num_warps=8,
        )  # fmt: skip
    return base


def norm_gradient(
    base: torch.Tensor,
    through: Through,
    normed: Normed,
    beside: torch.Tensor,
    rows: Rows | None = None,
) -> torch.Tensor:
    """As elementwise.norm_gradient, written over `base`."""
    (many, columns), (d, down, mask) = base.shape, through
    hidden, inverse, weight = normed
    if many:
        values, scales = rows or (base, base)
        _norm_gradient[(many,)](
            base, torch.mm(d, down), hidden.contiguous(), inverse, weight, beside.contiguous(), *keys(mask, d),
            values, scales, columns,
            triton.next_power_of_2(columns), mask is not None, limit(mask),
            0.0 if rows is None else eight_bits.most_of(values.dtype), num_warps=8, enable_fp_fusion=False,
        )  # fmt: skip
    return base
