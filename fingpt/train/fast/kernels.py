"""Triton kernels for products with the narrow matrices of adapters; products.py says what each computes.

Each reads its large matrix once, with the mask of dropout made on the way. Sums over blocks are kept apart and added in
a fixed order: no atomic additions, so that equal inputs give equal bits.
"""

# Parameters of kernels have no types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import gcd
from typing import Any

import torch
import triton
import triton.language as tl

from fingpt.train.fast import dropout, eight_bits
from fingpt.train.fast.dropout import Mask
from fingpt.train.fast.eight_bits import Unscaled
from fingpt.train.fast.products import Normed, Products, padded

_FACTOR = tl.constexpr(dropout.FACTOR)
_LEAST = tl.constexpr(eight_bits.LEAST)
_SHARED = 227 * 1024  # bytes, of a block
_BROAD = 8192  # outputs from which on larger blocks keep a card busy
_PROGRAMS = 528  # four for each multiprocessor of a Hopper card


# fmt: off
@triton.jit
def kept(rows, columns, LIMIT: tl.constexpr):
    """`dropout.kept` for a tile of keys of rows and columns."""
    return kept_of(rows[:, None], columns[None, :], LIMIT)


@triton.jit
def kept_of(rows, columns, LIMIT: tl.constexpr):
    """The same where both have one shape, or one that fits."""
    return (rows ^ columns) * _FACTOR >= LIMIT


@triton.jit
def in_order(x, BM: tl.constexpr, BN: tl.constexpr):
    """`x` as it is, spread over threads as loads are. The compiler would let all that is computed with a product follow
    the order of matrix units, and bring every load and store there and back.
    """
    return tl.gather(x, tl.zeros((BM, BN), tl.int32) + tl.arange(0, BN)[None, :], 1)


@triton.jit(do_not_specialize=["T"])
def _project(X, A, P, KR, KC, T, scale, K: tl.constexpr, SX: tl.constexpr, SA: tl.constexpr, R: tl.constexpr,
             BESIDE: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr, DROP: tl.constexpr, LIMIT: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    there = rows < T
    at = rows.to(tl.int64)[:, None]
    r = tl.arange(0, R)
    total = tl.zeros((BM, R), tl.float32)
    if DROP:
        row_keys = tl.load(KR + rows, mask=there, other=0)
    for start in range(0, K, BK):
        c = start + tl.arange(0, BK)
        x = tl.load(X + at * SX + c[None, :], mask=there[:, None], other=0.0)
        if DROP:
            x = tl.where(kept(row_keys, tl.load(KC + c), LIMIT), x, 0.0)
        a = tl.load(A + r[:, None] * SA + c[None, :])
        total = tl.dot(x, tl.trans(a), total)
    p = (total * scale).to(P.dtype.element_ty)
    tl.store(P + at * R + r[None, :], p, mask=there[:, None])
    if BESIDE > 0:
        tl.store(X + at * SX + K + r[None, :], p, mask=there[:, None] & (r < BESIDE)[None, :])


@triton.jit(do_not_specialize=["T"])
def _output_gradients(DY, B, P, DPART, BPART, MOST, VALUES, SCALES, T, N: tl.constexpr, SDY: tl.constexpr,
                      N1: tl.constexpr, N2: tl.constexpr, SP, R: tl.constexpr, W: tl.constexpr, CHUNK: tl.constexpr,
                      BM: tl.constexpr, BN: tl.constexpr, BITS: tl.constexpr, TOP: tl.constexpr):
    """One chunk of columns, all of one group, and one block of rows; with BITS dy in 8 bits, too."""
    chunk, block = tl.program_id(0), tl.program_id(1)
    first = chunk * CHUNK
    group = (first >= N1).to(tl.int32) + (first >= N2).to(tl.int32)
    rows = block * BM + tl.arange(0, BM)
    there = (rows < T)[:, None]
    at = rows.to(tl.int64)[:, None]
    w = tl.arange(0, W)
    p = tl.load(P + at * SP + group * W + w[None, :], mask=there, other=0.0)
    total = tl.zeros((BM, W), tl.float32)
    if BITS:
        most = tl.maximum(tl.load(MOST + rows, mask=rows < T, other=1.0), _LEAST)
        over = tl.div_rn(tl.full((BM,), TOP, tl.float32), most)[:, None]
        if chunk == 0:
            tl.store(SCALES + rows, tl.div_rn(most, tl.full((BM,), TOP, tl.float32)), mask=rows < T)
    for start in range(0, CHUNK, BN):
        n = first + start + tl.arange(0, BN)
        dy = tl.load(DY + at * SDY + n[None, :], mask=there, other=0.0)
        if BITS:
            eight = dy.to(tl.float32) * over
            if VALUES.dtype.element_ty == tl.int8:
                eight = tl.floor(eight + 0.5)
            tl.store(VALUES + at * N + n[None, :], eight.to(VALUES.dtype.element_ty), mask=there)
        total = tl.dot(dy, tl.load(B + n[:, None] * W + w[None, :]), total)
        of_up = tl.dot(tl.trans(dy), p)
        place = BPART + (block.to(tl.int64) * N + n[:, None]) * R + w[None, :]
        tl.store(place, of_up, mask=(w < R)[None, :])
    tl.store(DPART + (chunk.to(tl.int64) * T + at) * W + w[None, :], total, mask=there)


@triton.jit(do_not_specialize=["T"])
def _add_chunks(DPART, D, T, scale, C1: tl.constexpr, C2: tl.constexpr, C3: tl.constexpr, W: tl.constexpr,
                GROUPS: tl.constexpr, BM: tl.constexpr):
    """D from its chunks, which end at C1, C2 and C3 for each group; a group without chunks gets zeros."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    there = (rows < T)[:, None]
    at = rows.to(tl.int64)[:, None]
    w = tl.arange(0, W)
    for group in tl.static_range(GROUPS):
        low = 0 if group == 0 else (C1 if group == 1 else (C2 if group == 2 else C3))
        high = C1 if group == 0 else (C2 if group == 1 else C3)
        total = tl.zeros((BM, W), tl.float32)
        for chunk in range(low, high):
            place = DPART + (chunk * T.to(tl.int64) + at) * W + w[None, :]
            total += tl.load(place, mask=there, other=0.0)
        d = (total * scale).to(D.dtype.element_ty)
        tl.store(D + at * (GROUPS * W) + group * W + w[None, :], d, mask=there)


@triton.jit(do_not_specialize=["T", "SLICE"])
def _down_gradient(D, X, PART, INVERSE, WEIGHT, KR, KC, T, SLICE, K: tl.constexpr, SX: tl.constexpr, R: tl.constexpr,
                   BT: tl.constexpr, BK: tl.constexpr, NORM: tl.constexpr, DROP: tl.constexpr, LIMIT: tl.constexpr):
    """Columns of dA, summed over one slice of rows."""
    c = tl.program_id(0) * BK + tl.arange(0, BK)
    slice_ = tl.program_id(1)
    r = tl.arange(0, R)
    total = tl.zeros((R, BK), tl.float32)
    end = tl.minimum(T, (slice_ + 1) * SLICE)
    if NORM:
        weight = tl.load(WEIGHT + c).to(tl.float32)
    if DROP:
        column_keys = tl.load(KC + c)
    for start in range(slice_ * SLICE, end, BT):
        rows = start + tl.arange(0, BT)
        there = rows < end
        at = rows.to(tl.int64)[:, None]
        d = tl.load(D + at * R + r[None, :], mask=there[:, None], other=0.0)
        x = tl.load(X + at * SX + c[None, :], mask=there[:, None], other=0.0)
        if NORM:
            inverse = tl.load(INVERSE + rows, mask=there, other=0.0)[:, None]
            normed = (x.to(tl.float32) * inverse).to(X.dtype.element_ty).to(tl.float32)
            x = (normed * weight[None, :]).to(X.dtype.element_ty)
        if DROP:
            row_keys = tl.load(KR + rows, mask=there, other=0)
            x = tl.where(kept(row_keys, column_keys, LIMIT), x, 0.0)
        total = tl.dot(tl.trans(d), x, total)
    tl.store(PART + (slice_ * R + r[:, None]) * K + c[None, :], total)

# fmt: on


def keys(mask: Mask | None, unused: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of `mask`'s rows and columns, or anything that is a tensor."""
    return (unused, unused) if mask is None else (mask.rows, mask.columns)


def limit(mask: Mask | None) -> int:
    """What hashes of entries that are kept reach."""
    return 0 if mask is None else mask.threshold


def project(x: torch.Tensor, down: torch.Tensor, scale: float, mask: Mask | None) -> torch.Tensor:
    """As products.project."""
    (rows, columns), (rank, inputs) = x.shape, down.shape
    p = x.new_empty(rows, rank)
    if rows == 0:
        return p
    block = min(128 if rank <= 64 else 64, inputs)
    _project[(triton.cdiv(rows, 64),)](
        x, down, p, *keys(mask, p), rows, scale, inputs, x.stride(0), down.stride(0), rank, columns - inputs,
        64, block, mask is not None, limit(mask), num_warps=4, num_stages=3,
    )  # fmt: skip
    return p


def output_gradients(
    dy: torch.Tensor | Unscaled,
    up: torch.Tensor,
    p: torch.Tensor,
    bounds: Sequence[int],
    scale: float,
    rank: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As products.output_gradients."""
    eight: list[torch.Tensor] | None = None
    if isinstance(dy, Unscaled):
        eight = [dy.most, *dy.rows]
        dy = dy.values
    (rows, outputs), width, groups = dy.shape, up.shape[1], padded(len(bounds))
    chunk = _chunk(bounds)
    tall = 256 if width <= 32 and outputs > _BROAD and _roomy(dy.device) else 128
    blocks, chunks = triton.cdiv(rows, tall), outputs // chunk
    d = dy.new_empty(rows, groups * width)
    if rows == 0:
        return d, up.new_zeros(outputs, rank, dtype=torch.float32)
    of_d = dy.new_empty(chunks, rows, width, dtype=torch.float32)
    of_up = dy.new_empty(blocks, outputs, rank, dtype=torch.float32)
    ends = [*bounds, *[outputs] * (3 - len(bounds))]
    _output_gradients[(chunks, blocks)](
        dy, up, p, of_d, of_up, *(eight or (of_d, of_d, of_d)), rows, outputs, dy.stride(0), ends[0], ends[1],
        p.stride(0), rank, width, chunk, tall, min(64, chunk), eight is not None,
        0.0 if eight is None else eight_bits.most_of(eight[1].dtype), num_warps=tall // 32,
        num_stages=4 if width <= 32 else 2,
    )  # fmt: skip
    _add_chunks[(triton.cdiv(rows, 64),)](
        of_d, d, rows, scale, *(end // chunk for end in ends), width, groups, 64, num_warps=4
    )
    return d, of_up.sum(0)


def down_gradient(d: torch.Tensor, x: torch.Tensor | Normed, mask: Mask | None) -> torch.Tensor:
    """As products.down_gradient."""
    hidden, inverse, weight = x if isinstance(x, tuple) else (x, d, d)
    (rows, inputs), rank = hidden.shape, d.shape[1]
    block = min(128 if rank <= 64 else 64, inputs)
    slices = max(1, min(triton.cdiv(rows, 64), _PROGRAMS * block // inputs))
    size = triton.cdiv(triton.cdiv(rows, slices), 64) * 64
    slices = max(1, triton.cdiv(rows, size)) if rows else 0
    part = d.new_empty(slices, rank, inputs, dtype=torch.float32)
    if slices:
        _down_gradient[(inputs // block, slices)](
            d, hidden, part, inverse, weight, *keys(mask, d), rows, size, inputs, hidden.stride(0), rank, 64, block,
            isinstance(x, tuple), mask is not None, limit(mask), num_warps=8, num_stages=3,
        )  # fmt: skip
    return part.sum(0)


@cache
def _roomy(device: torch.device) -> bool:
    """Whether a block may have as much shared memory as the large cards from Hopper on give it."""
    properties: Any = torch.cuda.get_device_properties(device)
    return int(properties.shared_memory_per_block_optin) >= _SHARED


def _chunk(bounds: Sequence[int]) -> int:
    """Columns of a chunk: a power of two that divides every group's, so that a chunk is of one group."""
    common = gcd(*bounds)
    most = 1024 if bounds[-1] <= _BROAD else 2048
    return min(common & -common, most)


def kernels() -> Products:
    """The three as products.py's callers take them."""
    return Products(project, output_gradients, down_gradient)
