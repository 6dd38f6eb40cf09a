"""A Triton kernel for causal attention within documents on Hopper, forward alone: for passes that no backward follows.

`fingpt.train.fast.documents.PlainAttention` is its twin. Keys and values come by the card's bulk copies, and the result
lies in memory as the next product wants it, with place for the adapters' part between its rows.
"""

# Parameters of kernels have no types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from triton.runtime.errors import TritonError
from triton.tools.tensor_descriptor import TensorDescriptor

from fingpt.train.fast.documents import FlashAttention, Spans

_QUERIES, _KEYS, _WARPS, _STAGES = 128, 128, 8, 3
_BESIDE = 64  # columns behind each row of the result


# fmt: off
@triton.jit
def _step(q, state, K, V, k0, column, start, nk, last, scale, BN: tl.constexpr, EDGE: tl.constexpr):
    """`state` (output, sums, maxima) after keys `start` and following; at an EDGE rows see keys up to `last` alone."""
    out, total, most = state
    scores = tl.dot(q, K.load([k0 + start, column]).T)
    if EDGE:
        n = start + tl.arange(0, BN)
        scores = tl.where((n[None, :] <= last[:, None]) & (n < nk)[None, :], scores, -1.0e30)
    higher = tl.maximum(most, tl.max(scores, 1) * scale)
    shares = tl.exp2(scores * scale - higher[:, None])
    less = tl.exp2(most - higher)
    out = tl.dot(shares.to(q.dtype), V.load([k0 + start, column]), out * less[:, None])
    return out, total * less + tl.sum(shares, 1), higher


@triton.jit
def _attend(Q, K, V, OUT, QUERIES, KEYS, SQ, SO, scale, blocks, GROUP: tl.constexpr, D: tl.constexpr, BM: tl.constexpr,
            BN: tl.constexpr):
    """A block of queries of one head and document; those with most keys begin first."""
    head, document, block = tl.program_id(0), tl.program_id(1), blocks - 1 - tl.program_id(2)
    q0, k0 = tl.load(QUERIES + document), tl.load(KEYS + document)
    nq, nk = tl.load(QUERIES + document + 1) - q0, tl.load(KEYS + document + 1) - k0
    if block * BM < nq:
        m, d = block * BM + tl.arange(0, BM), tl.arange(0, D)
        there = (m < nq)[:, None]
        row = (q0 + m).to(tl.int64)[:, None]
        q = tl.load(Q + row * SQ + head * D + d[None, :], mask=there, other=0.0)
        first = nk - nq + block * BM  # the last key that the first row sees
        last = nk - nq + m
        state = (tl.zeros([BM, D], tl.float32), tl.zeros([BM], tl.float32), tl.full([BM], -1.0e30, tl.float32))
        column = head // GROUP * D
        clear = tl.minimum((first + 1) // BN, nk // BN) * BN
        for start in range(0, clear, BN):
            state = _step(q, state, K, V, k0, column, start, nk, last, scale, BN, False)
        for start in range(clear, tl.minimum(nk, first + BM), BN):
            state = _step(q, state, K, V, k0, column, start, nk, last, scale, BN, True)
        out, total, _ = state
        tl.store(OUT + row * SO + head * D + d[None, :], (out / total[:, None]).to(OUT.dtype.element_ty), mask=there)
# fmt: on


class KernelAttention(FlashAttention):
    """As FlashAttention, faster on Hopper; it keeps nothing for `backward`."""

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Spans
    ) -> tuple[torch.Tensor, Any]:
        """As Attention."""
        (rows, heads, width), fewer = q.shape, k.shape[1]
        out = q.new_empty(rows, heads * width + _BESIDE)[:, : heads * width]
        pair = [
            TensorDescriptor(one, [one.shape[0], fewer * width], [one.stride(0), 1], [_KEYS, width])
            for one in (k, v)
        ]
        blocks = triton.cdiv(spans.most_queries, _QUERIES)
        _attend[(heads, spans.queries.numel() - 1, blocks)](
            q, *pair, out, spans.queries, spans.keys, q.stride(0), out.stride(0),
            self._scale * math.log2(math.e), blocks, heads // fewer, width, _QUERIES, _KEYS,
            num_warps=_WARPS, num_stages=_STAGES,
        )  # fmt: skip
        return out.view(rows, heads, width), None


def tried(scale: float, heads: tuple[int, int], width: int) -> KernelAttention:
    """The kernel for `heads` of queries and of keys, `width` wide, after a trial; RuntimeError where it does not work.

    It is held against FlashAttention over two documents, one of which is asked by its last rows alone.
    """
    asks, borders = (torch.tensor(ends, dtype=torch.int32, device="cuda") for ends in _TRIAL)
    spans = Spans(asks, borders, 200, 300)
    draw = torch.Generator("cuda").manual_seed(0)
    rows = int(asks[-1])
    q, k, v = (
        torch.randn(size, count, width, generator=draw, device="cuda").bfloat16()
        for size, count in ((rows, heads[0]), (400, heads[1]), (400, heads[1]))
    )
    kernel = KernelAttention(scale)
    try:
        found = kernel.forward(q, k, v, spans)[0]
    except TritonError as fault:
        raise RuntimeError(str(fault)) from fault
    wanted = FlashAttention(scale).forward(q, k, v, spans)[0]
    if not torch.allclose(found, wanted, rtol=0.02, atol=0.02):
        raise RuntimeError("the own attention kernel disagrees with FlashAttention")
    return kernel


_TRIAL = ([0, 200, 300], [0, 300, 400])
