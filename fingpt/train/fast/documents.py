"""Causal attention within documents, forward and backward by hand: FlashAttention of PyTorch, or one call a document.

Queries may be the last rows of their documents alone; each then sees what is left of its own place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own abbreviation


@dataclass(frozen=True)
class Spans:
    """Where documents begin and end among queries and among keys (int32, documents + 1), and their longest."""

    queries: torch.Tensor
    keys: torch.Tensor
    most_queries: int
    most_keys: int

    @property
    def trimmed(self) -> bool:
        """Queries are not all rows."""
        return self.queries is not self.keys


class Attention(Protocol):
    """`q`: queries × heads × width; `k`, `v`: keys × fewer heads × width; rows may lie apart."""

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Spans
    ) -> tuple[torch.Tensor, Any]:
        """→ queries × heads × width, rows perhaps with free memory between them, and what `backward` needs of it."""
        ...

    def backward(
        self, gradient: torch.Tensor, made: tuple[torch.Tensor, ...], kept: Any, spans: Spans
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """→ gradients of q, k and v; `made`: q, k, v and the output, `kept`: forward's second part."""
        ...


class PlainAttention:
    """PyTorch's scaled_dot_product_attention, document by document; for CPUs and fp32."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Spans
    ) -> tuple[torch.Tensor, Any]:
        """As Attention."""
        borders = zip(spans.queries.tolist(), spans.keys.tolist(), strict=True)
        found, (start, first) = [], next(borders)
        for stop, last in borders:
            found.append(self._one(q[start:stop], k[first:last], v[first:last]))
            start, first = stop, last
        return torch.cat(found), None

    def _one(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        lines, columns = q.shape[0], k.shape[0]
        sees = torch.ones(lines, columns, dtype=torch.bool, device=q.device)
        out = F.scaled_dot_product_attention(
            q.transpose(0, 1)[None],
            k.transpose(0, 1)[None],
            v.transpose(0, 1)[None],
            attn_mask=sees.tril(columns - lines),
            scale=self._scale,
            enable_gqa=True,
        )
        return out[0].transpose(0, 1)

    def backward(
        self,
        gradient: torch.Tensor,
        made: tuple[torch.Tensor, ...],
        kept: Any,  # noqa: ARG002 - nothing is kept
        spans: Spans,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As Attention; computes the output again."""
        with torch.enable_grad():
            q, k, v = (part.detach().requires_grad_() for part in made[:3])
            out, _ = self.forward(q, k, v, spans)
            dq, dk, dv = torch.autograd.grad(out, (q, k, v), gradient)
        return dq, dk, dv


class FlashAttention:
    """PyTorch's FlashAttention over all documents at once; its backward is deterministic where torch must be."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Spans
    ) -> tuple[torch.Tensor, Any]:
        """As Attention."""
        lengths = (spans.queries, spans.keys, spans.most_queries, spans.most_keys)
        out, *kept, _ = torch.ops.aten._flash_attention_forward(
            q, k, v, *lengths, 0.0, True, False, scale=self._scale
        )
        return out, kept

    def backward(
        self, gradient: torch.Tensor, made: tuple[torch.Tensor, ...], kept: Any, spans: Spans
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As Attention."""
        lengths = (spans.queries, spans.keys, spans.most_queries, spans.most_keys)
        sums, state, unused = kept
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = (
            torch.ops.aten._flash_attention_backward(
                gradient, *made, sums, *lengths, 0.0, True, state, unused, scale=self._scale
            )
        )
        return found
