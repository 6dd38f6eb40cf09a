from __future__ import annotations

import pytest
import torch

from fingpt.train import attention


def documents(*sizes: int):
    torch.manual_seed(0)
    parts = [torch.randn(1, heads, sum(sizes), 8) for heads in (4, 2, 2)]
    borders = torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32)
    return parts, attention.document_arguments(borders, max(sizes))


@pytest.mark.parametrize("sizes", [(7,), (3, 1, 5)])
def test_plain_attention_is_softmax_over_what_lies_before_in_the_same_document(sizes):
    (query, key, value), options = documents(*sizes)
    got, weights = attention.plain_attention(None, query, key, value, None, scaling=0.5, **options)
    assert weights is None
    tokens = sum(sizes)
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    seen = (owner[:, None] == owner[None]) & torch.ones(tokens, tokens, dtype=torch.bool).tril()
    key, value = (part.repeat_interleave(2, dim=1) for part in (key, value))
    scores = (query @ key.transpose(-1, -2) * 0.5).masked_fill(~seen, float("-inf"))
    wanted = (scores.softmax(dim=-1) @ value).transpose(1, 2)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("grouped", [True, False])
def test_the_kernel_is_asked_for_causal_attention_between_the_borders(monkeypatch, grouped):
    (query, key, value), options = documents(3, 1, 5)
    asked = []

    def kernel(q, k, v, *rest, **more):
        asked.append((q.shape, k.shape, v.shape, rest, more))
        return q

    names = {"window_size", "scale", *(["enable_gqa"] if grouped else [])}
    monkeypatch.setattr(attention, "_KERNEL", kernel)
    monkeypatch.setattr(attention, "_KERNEL_PARAMETERS", names)
    got, _ = attention.varlen_attention(None, query, key, value, None, scaling=0.5, **options)
    assert torch.equal(got, query.transpose(1, 2))
    ((q, k, v, (borders, again, *longest), more),) = asked
    assert (q, k, v) == ((9, 4, 8), *[(9, 2 if grouped else 4, 8)] * 2)
    assert borders.tolist() == again.tolist() == [0, 3, 4, 9]
    assert longest == [5, 5]
    own = {"enable_gqa": True} if grouped else {}
    assert more == {"scale": 0.5, "window_size": (-1, 0), **own}


@pytest.mark.parametrize(
    ("cuda", "precision", "capability", "kernel", "name", "reason"),
    [
        (False, "bf16", None, True, attention.PLAIN, "no GPU"),
        (True, "fp32", (9, 0), True, attention.PLAIN, "wants bf16"),
        (True, "bf16", (7, 5), True, attention.PLAIN, "older than Ampere"),
        (True, "bf16", (8, 0), False, attention.PLAIN, "no kernel"),
        (True, "bf16", (8, 0), True, attention.VARLEN, "FlashAttention"),
    ],
)
def test_the_attention_follows_card_precision_and_torch(
    monkeypatch, cuda, precision, capability, kernel, name, reason
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    monkeypatch.setattr(attention, "_KERNEL", (lambda: None) if kernel else None)
    got, why = attention.choose_attention(precision)
    assert got == name
    assert reason in why
