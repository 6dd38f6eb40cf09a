"""The kernel for rows of different lengths against its plain twin; needs a GPU of compute capability 8.0 or more."""

from __future__ import annotations

import pytest
import torch

from fingpt.train import attention

# CUDA alone has the kernel. Its twin runs anywhere: tests/train/test_attention.py holds that against a plain softmax.
pytestmark = pytest.mark.skipif(
    attention.choose_attention("bf16")[0] != attention.VARLEN, reason="no GPU with the kernel"
)


@pytest.mark.parametrize("sizes", [(5,), (700, 3, 1200, 257), (64,) * 9])
@pytest.mark.parametrize("deterministic", [False, True])
def test_the_kernel_agrees_with_its_plain_twin(sizes, deterministic):
    torch.manual_seed(0)
    tokens = sum(sizes)
    borders = torch.tensor([0, *torch.tensor(sizes).cumsum(0)], dtype=torch.int32, device="cuda")
    parts = [torch.randn(1, heads, tokens, 128, device="cuda") for heads in (32, 8, 8)]
    options = attention.document_arguments(borders, max(sizes))
    weight = torch.randn(1, tokens, 32, 128, device="cuda")
    found = []
    torch.use_deterministic_algorithms(deterministic)
    try:
        for compute, dtype in (
            (attention.plain_attention, torch.float32),
            (attention.plain_attention, torch.bfloat16),
            (attention.varlen_attention, torch.bfloat16),
            (attention.varlen_attention, torch.bfloat16),
        ):
            own = [part.to(dtype, copy=True).requires_grad_() for part in parts]
            out, _ = compute(None, *own, None, scaling=128**-0.5, **options)
            (out.float() * weight).sum().backward()
            found.append([out.float(), *(part.grad.float() for part in own)])
    finally:
        torch.use_deterministic_algorithms(False)
    exact, plain, fast, again = found
    for truth, one, two in zip(exact, plain, fast, strict=True):
        scale = truth.abs().max()
        assert (two - truth).abs().max() <= 2 * (one - truth).abs().max() + 0.002 * scale
    if deterministic:
        assert all(torch.equal(one, two) for one, two in zip(fast, again, strict=True))
