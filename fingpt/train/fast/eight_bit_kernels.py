"""Triton kernels for rows in 8 bits and products of int8, for Hopper and newer; eight_bits.py says what each computes.

fp8 is multiplied by cuBLAS, with a scale for each row and column. int8 has a kernel of its own: cuBLAS reaches two
thirds of its rate, and what adapters add would be another pass over the result.
"""

# Parameters of kernels have no types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

from fingpt.train.fast import eight_bits
from fingpt.train.fast.eight_bits import EightBits, Narrow, Rows, hadamard

_FP8_MOST, _INT8_MOST, _LEAST, _TURNED = (
    tl.constexpr(eight_bits.FP8_MOST),
    tl.constexpr(eight_bits.INT8_MOST),
    tl.constexpr(eight_bits.LEAST),
    tl.constexpr(eight_bits.TURNED),
)
_WIDE = 8192  # a long sum is worth larger tiles
_EPILOGUE = 64  # the widest adapter that the product's kernel adds itself


# fmt: off
@triton.jit
def _to_int8(x):
    """Rounded, halves up."""
    return tl.floor(x + 0.5).to(tl.int8)


@triton.jit
def _rows(X, VALUES, SCALES, SX, N: tl.constexpr, BLOCK: tl.constexpr, FP8: tl.constexpr):
    """One row."""
    row = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK)
    x = tl.load(X + row * SX + c, mask=c < N, other=0.0).to(tl.float32)
    most = tl.maximum(tl.max(tl.abs(x), 0), _LEAST)
    if FP8:
        tl.store(VALUES + row * N + c, (x * tl.div_rn(_FP8_MOST, most)).to(tl.float8e4nv), mask=c < N)
        tl.store(SCALES + row, tl.div_rn(most, _FP8_MOST))
    else:
        tl.store(VALUES + row * N + c, _to_int8(x * tl.div_rn(_INT8_MOST, most)), mask=c < N)
        tl.store(SCALES + row, tl.div_rn(most, _INT8_MOST))


@triton.jit
def _turned_rows(X, VALUES, SCALES, HADAMARD, SX, N: tl.constexpr, PARTS: tl.constexpr):
    """One row, as parts of 64 columns."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, _TURNED)
    c = tl.arange(0, PARTS)[:, None] * _TURNED + i[None, :]
    x = tl.load(X + row * SX + c, mask=c < N, other=0.0)
    x = tl.dot(x, tl.load(HADAMARD + i[:, None] * _TURNED + i[None, :]))
    most = tl.maximum(tl.max(tl.max(tl.abs(x), 1), 0), _LEAST)
    tl.store(VALUES + row * N + c, _to_int8(x * tl.div_rn(_INT8_MOST, most)), mask=c < N)
    tl.store(SCALES + row, tl.div_rn(most, _INT8_MOST))


@triton.jit(do_not_specialize=["M"])
def _product(A, B, OUT, ROWS, COLUMNS, P, UP, M, N: tl.constexpr, K: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr,
             SP, R: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, TALL: tl.constexpr):
    """A tile; tiles of TALL blocks of rows follow one another, so that they share what they read of B."""
    tile = tl.program_id(0)
    blocks = tl.cdiv(M, BM)
    many = TALL * (N // BN)
    first = tile // many * TALL
    high = tl.minimum(blocks - first, TALL)
    block, column = first + (tile % many) % high, (tile % many) // high
    total = tl.zeros((BM, BN), tl.int32)
    for k in range(0, K, BK):
        total = tl.dot(A.load([block * BM, k]), B.load([column * BN, k]).T, total, out_dtype=tl.int32)
    rows, c = block * BM + tl.arange(0, BM), column * BN + tl.arange(0, BN)
    there = rows < M
    at = rows.to(tl.int64)[:, None]
    found = total.to(tl.float32) * tl.load(ROWS + rows, mask=there, other=0.0)[:, None] * tl.load(COLUMNS + c)[None, :]
    if R > 0:
        group = (column * BN >= N1).to(tl.int32) + (column * BN >= N2).to(tl.int32)
        r = tl.arange(0, R)
        p = tl.load(P + at * SP + group * R + r[None, :], mask=there[:, None], other=0.0)
        found = tl.dot(p, tl.load(UP + c[None, :] * R + r[:, None]), found)
    tl.store(OUT + at * N + c[None, :], found.to(OUT.dtype.element_ty), mask=there[:, None])

# fmt: on


def _room(x: torch.Tensor, dtype: torch.dtype) -> Rows:
    values = torch.empty(x.shape, dtype=dtype, device=x.device)
    return Rows(values, torch.empty(x.shape[0], dtype=torch.float32, device=x.device))


def _plain_rows(x: torch.Tensor, dtype: torch.dtype) -> Rows:
    made, columns = _room(x, dtype), x.shape[1]
    if x.shape[0]:
        block = triton.next_power_of_2(columns)
        _rows[(x.shape[0],)](
            x, *made, x.stride(0), columns, block, dtype != torch.int8,
            num_warps=16 if block > 16384 else 8, enable_fp_fusion=False,
        )  # fmt: skip
    return made


def fp8_rows(x: torch.Tensor) -> Rows:
    """As eight_bits.fp8_rows."""
    return _plain_rows(x, torch.float8_e4m3fn)


def int8_rows(x: torch.Tensor, turn: bool) -> Rows:
    """As eight_bits.int8_rows."""
    if not turn:
        return _plain_rows(x, torch.int8)
    made, columns = _room(x, torch.int8), x.shape[1]
    if x.shape[0]:
        # The matrix unit multiplies 16 rows at once.
        parts = max(16, triton.next_power_of_2(columns) // eight_bits.TURNED)
        turn_by = hadamard(eight_bits.TURNED, x.device, x.dtype)
        _turned_rows[(x.shape[0],)](
            x, *made, turn_by, x.stride(0), columns, parts, num_warps=8, enable_fp_fusion=False
        )
    return made


def fp8_product(a: Rows, b: Rows, dtype: torch.dtype) -> torch.Tensor:
    """As eight_bits.fp8_product, summed with the 14 bits that Hopper's matrix units keep."""
    if not a.values.shape[0]:
        return a.scales.new_empty(0, b.values.shape[0], dtype=dtype)
    found: torch.Tensor = torch._scaled_mm(
        a.values,
        b.values.t(),
        scale_a=a.scales[:, None],
        scale_b=b.scales[None],
        out_dtype=dtype,
        use_fast_accum=True,
    )
    return found


def int8_product(
    a: Rows, b: Rows, dtype: torch.dtype, narrow: Narrow | None = None
) -> torch.Tensor:
    """As eight_bits.int8_product."""
    (rows, inner), columns = a.values.shape, b.values.shape[0]
    found = a.scales.new_empty(rows, columns, dtype=dtype)
    if not rows:
        return found
    inside = narrow if narrow is not None and narrow.up.shape[1] <= _EPILOGUE else None
    p, up, bounds = inside or (found, found, (columns,))
    ends = [*bounds, *[columns] * (3 - len(bounds))]
    wide = inner >= _WIDE and all(end % 256 == 0 for end in ends)
    tile, stages, warps = ((128, 256, 128), 4, 8) if wide else ((128, 128, 128), 3, 4)
    _product[(triton.cdiv(rows, tile[0]) * (columns // tile[1]),)](
        TensorDescriptor.from_tensor(a.values, [tile[0], tile[2]]),
        TensorDescriptor.from_tensor(b.values, [tile[1], tile[2]]),
        found, a.scales, b.scales, p, up, rows, columns, inner, ends[0], ends[1], p.stride(0),
        0 if inside is None else up.shape[1], *tile, 8, num_warps=warps, num_stages=stages,
    )  # fmt: skip
    if inside is None and narrow is not None:
        for part, own_p, own_up in narrow.parts():
            found[:, part].addmm_(own_p, own_up.t())
    return found


def kernels() -> EightBits:
    """The four as eight_bits.py's callers take them."""
    return EightBits(fp8_rows, int8_rows, fp8_product, int8_product)
