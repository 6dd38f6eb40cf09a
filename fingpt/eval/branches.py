"""Attention of a pack that has stems or label trees: a node sees its prompt and its own ancestors.

Nodes look at their prompt by one kernel and at each other by small products; the two results are added with the
weights that the sums of their exponentials give (as FlashAttention adds blocks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from fingpt.train.fast.documents import Attention, Spans

Across = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""(q, k, v, spans: Reach, scale) → the output and the logarithms of its sums (queries × heads), not causal."""


@dataclass(frozen=True)
class Reach(Spans):
    """Spans of nodes as queries of their documents, of which they see the first `seen` keys each (int32)."""

    seen: torch.Tensor


@dataclass(frozen=True)
class Grown(Spans):
    """Spans of all that asks: stems, documents and nodes, or the scored rows of documents, and nodes.

    `rows`: see `Pack.keys`, None without stems. `skip`: how many of these the ones that ask begin after, `stems`: how
    many the documents do. `documents`: what asks but the nodes. `across`: nodes as queries of their prompts, None
    without trees. `sees`: (nodes × nodes). `split`: where nodes begin among queries and among keys.
    """

    rows: torch.Tensor | None
    skip: int
    stems: int
    documents: Spans
    across: Reach | None
    sees: torch.Tensor
    split: tuple[int, int]


class BranchAttention:
    """`Attention` over packs: `inner` for documents, `across` for nodes on documents."""

    def __init__(self, inner: Attention, across: Across, scale: float) -> None:
        self._inner, self._across, self._scale = inner, across, scale

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Spans
    ) -> tuple[torch.Tensor, Any]:
        """As Attention."""
        if not isinstance(spans, Grown):
            return self._inner.forward(q, k, v, spans)
        first, last = spans.split
        keys, values = k[:last], v[:last]
        if spans.rows is not None:
            keys, values = k[spans.rows], v[spans.rows]
        asked = spans.documents
        out, kept = self._inner.forward(q[:first], keys[spans.skip :], values[spans.skip :], asked)
        if spans.across is None:
            return out, kept
        keys, values = keys[spans.stems :], values[spans.stems :]
        above = self._across(q[first:], keys, values, spans.across, self._scale)
        beside = among(q[first:], k[last:], v[last:], spans.sees, self._scale)
        return torch.cat([out, added(above, beside)]), None

    def backward(
        self, gradient: torch.Tensor, made: tuple[torch.Tensor, ...], kept: Any, spans: Spans
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As Attention, of documents without trees."""
        return self._inner.backward(gradient, made, kept, spans)


def among(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sees: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What nodes see of their own tree: fp32 output (queries × heads × width) and logarithms of sums."""
    nodes, heads, width = sees.shape[0], q.shape[1], q.shape[2]
    groups = heads // k.shape[1]
    q, k, v = (
        part.reshape(-1, nodes, part.shape[1], width).float().transpose(1, 2) for part in (q, k, v)
    )
    k, v = (part.repeat_interleave(groups, dim=1) for part in (k, v))
    scores = (q @ k.transpose(2, 3) * scale).masked_fill(~sees, -torch.inf)
    sums = torch.logsumexp(scores, dim=-1)
    out = torch.exp(scores - sums[..., None]) @ v
    return out.transpose(1, 2).reshape(-1, heads, width), sums.transpose(1, 2).reshape(-1, heads)


def added(
    one: tuple[torch.Tensor, torch.Tensor], two: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """The attention over the keys of both, from each one's output and logarithms of sums; as `one`'s dtype."""
    share = torch.sigmoid(one[1] - two[1])[..., None]
    return (one[0].float() * share + two[0].float() * (1 - share)).to(one[0].dtype)


def plain_across(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Reach, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`Across` by plain products, document by document."""
    groups = q.shape[1] // k.shape[1]
    parts = (
        torch.split(part.transpose(0, 1).float(), borders.diff().tolist(), dim=1)
        for part, borders in ((q, spans.queries), (k, spans.keys), (v, spans.keys))
    )
    out, sums = [], []
    for asking, *pair, seen in zip(*parts, spans.seen.tolist(), strict=True):
        keys, values = (part[:, :seen].repeat_interleave(groups, 0) for part in pair)
        scores = asking @ keys.transpose(1, 2) * scale
        total = torch.logsumexp(scores, dim=-1)
        shares = torch.exp(scores - total[..., None])
        out.append((shares @ values).transpose(0, 1).to(q.dtype))
        sums.append(total.transpose(0, 1))
    return torch.cat(out), torch.cat(sums)


def flash_across(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, spans: Reach, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`Across` by PyTorch's FlashAttention over all documents at once."""
    lengths = (spans.queries, spans.keys, spans.most_queries, spans.most_keys)
    out, sums, *_ = torch.ops.aten._flash_attention_forward(
        q, k, v, *lengths, 0.0, False, False, scale=scale, seqused_k=spans.seen
    )
    return out, sums.transpose(0, 1)
