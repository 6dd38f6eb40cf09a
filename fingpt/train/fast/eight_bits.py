"""Products with frozen weights in 8 bits: rows of numbers with one scale each, as fp8 (e4m3) or int8.

Plain PyTorch, and the twins of what eight_bit_kernels.py computes on a GPU, with the same rounding. A product of two
such matrices, a bᵀ, is the product of their 8-bit values times the scales of its row and its column.

Before int8, rows may be turned: 64 columns each by a Hadamard matrix, which spreads single large entries over others
(as QuaRot does, Ashkboos et al. 2024). Both factors turned alike, the product stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import gcd, sqrt
from typing import Any, NamedTuple

import torch

FP8_MOST, INT8_MOST = 448.0, 127.0
TURNED = 64  # columns that are turned together
LEAST = 1e-30
"""What a row of zeros is scaled by instead of 0."""


class Rows(NamedTuple):
    """A matrix in 8 bits: `values` (n × k) and what each row of them is to be multiplied with (`scales`, fp32, n)."""

    values: torch.Tensor
    scales: torch.Tensor


class Unscaled(NamedTuple):
    """A matrix (`values`, n × k) with the largest entry of each row (`most`, fp32, n), and place for it in 8 bits.

    Who reads the matrix next fills `rows`, which spares a pass over it.
    """

    values: torch.Tensor
    most: torch.Tensor
    rows: Rows


class Narrow(NamedTuple):
    """What adapters add to a product: group g of its columns, which end at `bounds`, gets p[:, g · r on] upᵀ.

    `up`: columns of the product × r.
    """

    p: torch.Tensor
    up: torch.Tensor
    bounds: tuple[int, ...]

    def parts(self) -> list[tuple[slice, torch.Tensor, torch.Tensor]]:
        """Columns, p and up of each group."""
        width = self.up.shape[1]
        return [
            (slice(start, stop), self.p[:, group * width :][:, :width], self.up[start:stop])
            for group, (start, stop) in enumerate(pairwise((0, *self.bounds)))
        ]


@cache
def hadamard(size: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The Hadamard matrix of Sylvester's construction, orthonormal; for 64 its entries, ±1/8, are exact in bf16."""
    found = torch.ones(1, 1)
    while found.shape[0] < size:
        found = torch.cat([torch.cat([found, found], 1), torch.cat([found, -found], 1)])
    return (found / sqrt(size)).to(device, dtype)


def turned(x: torch.Tensor) -> torch.Tensor:
    """`x` (n × k) with each 64 columns turned, in fp32; fewer where 64 does not divide k."""
    size = gcd(x.shape[1], TURNED)
    parts = x.float().reshape(x.shape[0], x.shape[1] // size, size)
    return torch.matmul(parts, hadamard(size, x.device, torch.float32)).flatten(1)


def fp8_rows(x: torch.Tensor) -> Rows:
    """`x` (n × k) in e4m3, the largest entry of each row becoming ±448."""
    return _rows(x.float(), _most(x), torch.float8_e4m3fn)


def int8_rows(x: torch.Tensor, turn: bool) -> Rows:
    """`x` (n × k), turned or not, in int8, the largest entry of each row becoming ±127; halves are rounded up."""
    wide = turned(x) if turn else x.float()
    return _rows(wide, _most(wide), torch.int8)


def most_of(dtype: torch.dtype) -> float:
    """What the largest entry of a row becomes in `dtype`."""
    return INT8_MOST if dtype == torch.int8 else FP8_MOST


def fill(matrix: Unscaled) -> None:
    """Bring a matrix to 8 bits."""
    made = _rows(matrix.values.float(), matrix.most, matrix.rows.values.dtype)
    for to, part in zip(matrix.rows, made, strict=True):
        to.copy_(part)


def _most(x: torch.Tensor) -> torch.Tensor:
    return x.float().abs().amax(1)


def _rows(wide: torch.Tensor, most: torch.Tensor, dtype: torch.dtype) -> Rows:
    most = most.clamp(min=LEAST)
    if dtype == torch.int8:
        values = torch.floor(wide * _over(INT8_MOST, most) + 0.5).to(dtype)
        return Rows(values, most / INT8_MOST)
    return Rows((wide * _over(FP8_MOST, most)).to(dtype), most / FP8_MOST)


def _over(top: float, most: torch.Tensor) -> torch.Tensor:
    """`top` over the largest entry of each row, rounded once: PyTorch takes a number over a tensor by reciprocals."""
    return (torch.full_like(most, top) / most)[:, None]


def fp8_product(a: Rows, b: Rows, dtype: torch.dtype) -> torch.Tensor:
    """The product a bᵀ in `dtype`."""
    return ((a.values.float() @ b.values.float().t()) * a.scales[:, None] * b.scales).to(dtype)


def int8_product(
    a: Rows, b: Rows, dtype: torch.dtype, narrow: Narrow | None = None
) -> torch.Tensor:
    """The product a bᵀ in `dtype`, with what adapters add to it; sums of 8-bit products are exact."""
    wide = (a.values.double() @ b.values.double().t()).float()
    found = wide * a.scales[:, None] * b.scales
    for columns, p, up in narrow.parts() if narrow else ():
        found[:, columns] += p.float() @ up.float().t()
    return found.to(dtype)


class EightBits(NamedTuple):
    """The functions above as a machine computes them."""

    fp8_rows: Callable[..., Any] = fp8_rows
    int8_rows: Callable[..., Any] = int8_rows
    fp8_product: Callable[..., Any] = fp8_product
    int8_product: Callable[..., Any] = int8_product


PLAIN_EIGHT_BITS = EightBits()
