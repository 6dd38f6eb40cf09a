"""Causal attention within the documents of a pack, for transformers: one kernel where the card has it, or a plain twin.

Both take the keyword arguments by which transformers names packed sequences (`cu_seq_lens_q`, `max_length_q`). The
plain one is PyTorch's scaled_dot_product_attention, called once per document.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own abbreviation

from fingpt.config import ResolvedPrecision

VARLEN = "documents_varlen"
PLAIN = "documents_plain"

_AMPERE = (8, 0)


def _kernel() -> tuple[Callable[..., Any] | None, frozenset[str]]:
    """PyTorch's attention over documents of different lengths and its parameters; None where torch has no such one."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None, frozenset()
    names = frozenset(inspect.signature(varlen_attn).parameters)
    return (varlen_attn if {"window_size", "scale"} <= names else None), names


_KERNEL, _KERNEL_PARAMETERS = _kernel()


def choose_attention(precision: ResolvedPrecision) -> tuple[str, str]:
    """Name of the attention for this machine and precision, as `load_base` takes it, and what and why it is."""
    plain = "PyTorch's, row by row"
    if not torch.cuda.is_available():
        return PLAIN, f"{plain}: no GPU"
    if precision == "fp32":
        return PLAIN, f"{plain}: the kernel for rows of different lengths wants bf16"
    if torch.cuda.get_device_capability() < _AMPERE:
        return PLAIN, f"{plain}: {torch.cuda.get_device_name()} is older than Ampere"
    if _KERNEL is None:
        return PLAIN, f"{plain}: torch {torch.__version__} has no kernel for different lengths"
    return VARLEN, "PyTorch's FlashAttention over rows of different lengths"


def register() -> None:
    """Make both known to transformers, which makes no masks for names other than its own."""
    from transformers import AttentionInterface

    AttentionInterface.register(VARLEN, varlen_attention)
    AttentionInterface.register(PLAIN, plain_attention)


def document_arguments(borders: torch.Tensor, longest: int) -> dict[str, Any]:
    """Keyword arguments of a transformers model for documents between `borders` (int32), the longest `longest` long."""
    return {
        "cu_seq_lens_q": borders,
        "cu_seq_lens_k": borders,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def plain_attention(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """`query` (1, heads, tokens, width), `key`, `value` (fewer heads) → (1, tokens, heads, width), and no weights."""
    sizes = options["cu_seq_lens_q"].diff().tolist()
    documents = [
        F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=options.get("scaling"), enable_gqa=True
        )
        for q, k, v in zip(
            torch.split(query, sizes, dim=2),
            torch.split(key, sizes, dim=2),
            torch.split(value, sizes, dim=2),
            strict=True,
        )
    ]
    return torch.cat(documents, dim=2).transpose(1, 2), None


def varlen_attention(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """The same by FlashAttention over all documents at once; its backward is deterministic where torch must be."""
    assert _KERNEL is not None
    more: dict[str, Any] = {}
    groups = query.shape[1] // key.shape[1]
    if "enable_gqa" in _KERNEL_PARAMETERS:
        more = {"enable_gqa": True}
    elif groups > 1:
        key, value = (part.repeat_interleave(groups, dim=1) for part in (key, value))
    q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
    borders, longest = options["cu_seq_lens_q"], options["max_length_q"]
    out = _KERNEL(
        q,
        k,
        v,
        borders,
        borders,
        longest,
        longest,
        scale=options.get("scaling"),
        window_size=(-1, 0),  # as far as one likes to the left, nothing to the right
        **more,
    )
    return out[None], None
