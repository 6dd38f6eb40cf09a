"""Evaluation's kernel for attention against its plain twin; needs a GPU of compute capability 9.0 or more."""

from __future__ import annotations

import pytest
import torch

from fingpt.train.fast.card import HOPPER, lack
from fingpt.train.fast.documents import FlashAttention, PlainAttention, Spans

# Bulk copies are Hopper's. What stands in the kernel's place elsewhere is tested everywhere, and so is which one is
# taken: tests/eval/test_scoring_fast.py.
pytestmark = pytest.mark.skipif(bool(lack(HOPPER, "bf16")), reason="no GPU for the kernel")

SCALE = 128**-0.5


def borders(sizes) -> torch.Tensor:
    return torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32, device="cuda")


@pytest.mark.parametrize(
    ("asking", "sizes"),
    [((5,), (5,)), ((700, 3, 1200, 257),) * 2, ((384, 1, 128, 130), (1900, 64, 128, 1500))],
)
@pytest.mark.parametrize("beside", [0, 2])
def test_the_kernel_is_as_near_to_its_twin_in_fp32_as_flash_attention_is(asking, sizes, beside):
    """`beside`: keys and values may be columns of a wider matrix."""
    from fingpt.eval.attention_kernel import tried

    torch.manual_seed(0)
    spans = Spans(borders(asking), borders(sizes), max(asking), max(sizes))
    q = torch.randn(sum(asking), 32, 128, device="cuda").bfloat16()
    pair = torch.randn(sum(sizes), 16 + beside, 128, device="cuda").bfloat16()[:, beside:]
    k, v = pair[:, :8], pair[:, 8:]
    found, flash = (
        way.forward(q, k, v, spans)[0].float()
        for way in (tried(SCALE, (32, 8), 128), FlashAttention(SCALE))
    )
    exact, _ = PlainAttention(SCALE).forward(q.float(), k.float(), v.float(), spans)
    assert (found - exact).abs().max() <= 1.5 * (flash - exact).abs().max() + 0.002
