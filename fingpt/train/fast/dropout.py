"""Dropout whose mask is computed where it is needed: a hash of row, column and seed instead of stored random bits.

Each row and each column of a matrix has a 32-bit key; an entry is kept where the mixed keys of its row and column
reach a threshold. Forward and backward compute the same mask, and a resumed run the same as one that was never stopped,
since the seed is made of what is computed and not of what was computed before. `_mix` is the finaliser of MurmurHash3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import torch

FACTOR = -1640531527
"""Odd multiplier by which keys of row and column are mixed; the kernels use the same."""

_COUNT = 739982445  # odd, for keys of what is counted

_MIX = ((16, -2048144789), (13, -1028477387))  # of MurmurHash3, as signed numbers
_ALIGNED = 32  # rows of keys begin where kernels may read several at once


@dataclass(frozen=True)
class Mask:
    """Which entries of a matrix are kept: keys of its rows (int32, n) and columns (int32, 1 × m), and the threshold."""

    rows: torch.Tensor
    columns: torch.Tensor
    threshold: int

    @property
    def keep(self) -> torch.Tensor:
        """The mask itself (bool, n × m), for machines without the kernels."""
        return kept(self.rows, self.columns, self.threshold)


def threshold(dropout: float) -> int:
    """Signed 32-bit number below which hashes of a share `dropout` (0 ≤ dropout < 1) of all entries are."""
    return round(dropout * 2**32) - 2**31


def kept(rows: torch.Tensor, columns: torch.Tensor, limit: int) -> torch.Tensor:
    """Bool (n × m): the hash of keys `rows` (int32, n) and `columns` (int32, 1 × m) is `limit` or more."""
    return (rows[:, None] ^ columns) * FACTOR >= limit


def seed_of(*parts: int) -> int:
    """A seed (signed, 32 bits) for one pack, from numbers that name it: the run's seed, step, rank, place."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)


def row_keys(seed: int, sites: int, rows: int, device: torch.device) -> torch.Tensor:
    """Keys (int32, sites × at least `rows`) of the rows that are dropped from, apart for every place in the model."""
    wide = -(-rows // _ALIGNED) * _ALIGNED
    places = torch.arange(1, sites + 1, dtype=torch.int32, device=device) * FACTOR + seed
    counted = torch.arange(wide, dtype=torch.int32, device=device) * _COUNT
    return _mix(_mix(places)[:, None] + counted)


@cache
def column_keys(columns: int, device: torch.device) -> torch.Tensor:
    """Keys (int32, 1 × columns) of the columns; the same everywhere."""
    counted = torch.arange(1, columns + 1, dtype=torch.int32, device=device)
    return _mix(counted * _COUNT)[None]


def _mix(values: torch.Tensor) -> torch.Tensor:
    for shift, factor in _MIX:
        values = (values ^ _shifted(values, shift)) * factor
    return values ^ _shifted(values, 16)


def _shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Shifted to the right as unsigned numbers are, which PyTorch cannot multiply."""
    return (values >> bits) & ((1 << (32 - bits)) - 1)
