"""Own kernels and both attentions against their plain twins; needs a GPU of compute capability 8.0 or more."""

from __future__ import annotations

import pytest
import torch

from fingpt.train.fast import elementwise, products
from fingpt.train.fast.choice import CUDNN, choose
from fingpt.train.fast.documents import FlashAttention, PlainAttention, Spans
from fingpt.train.fast.dropout import Mask, column_keys, row_keys, threshold

# Triton and cuDNN compute on a GPU alone. Their plain twins run anywhere: tests/train/fast holds those against PEFT.
pytestmark = [
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
        reason="no GPU with bf16",
    ),
    # The compiler's own.
    pytest.mark.filterwarnings(
        "ignore:`torch.jit.script(_method)?` is deprecated:DeprecationWarning"
    ),
]
ROWS, INPUTS, WIDTH = 1003, 4096, 16


def mask(dropout: float, columns: int = INPUTS) -> Mask | None:
    if not dropout:
        return None
    keys = row_keys(5, 2, ROWS, torch.device("cuda", 0))[1, :ROWS]
    return Mask(keys, column_keys(columns, keys.device), threshold(dropout))


def half(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def close(got, wanted, tolerance: float = 0.02) -> None:
    scale = wanted.float().abs().max()
    assert torch.isfinite(got).all()
    assert (got.float() - wanted.float()).abs().max() <= tolerance * scale


@pytest.mark.parametrize("dropout", [0.0, 0.05])
@pytest.mark.parametrize(
    ("bounds", "rank"),
    [((4096,), 16), ((4096, 5120, 6144), 16), ((14336, 28672), 8), ((4096,), 64)],
)
def test_kernels_agree_with_their_twins_and_repeat_to_the_bit(dropout, bounds, rank):
    from fingpt.train.fast.kernels import kernels

    torch.manual_seed(0)
    own, plain, dropped = kernels(), products.Products(), mask(dropout)
    width, groups = max(WIDTH, rank), products.padded(len(bounds))
    x = half(ROWS, INPUTS + len(bounds) * width)
    down = half(groups * width, INPUTS + 32)[:, :INPUTS]
    with_own, with_plain = x.clone(), x.clone()
    p = own.project(with_own, down, 1.5, dropped)
    close(p, plain.project(with_plain, down, 1.5, dropped))
    close(with_own, with_plain)
    dy, up = half(ROWS, bounds[-1]), half(bounds[-1], width)
    found = own.output_gradients(dy, up, p, bounds, 0.7, rank)
    for got, wanted in zip(
        found, plain.output_gradients(dy, up, p, bounds, 0.7, rank), strict=True
    ):
        close(got, wanted)
    d, normed = found[0], (half(ROWS, INPUTS), torch.rand(ROWS, device="cuda"), half(1, INPUTS))
    for given in (x[:, :INPUTS], normed):
        got = own.down_gradient(d, given, dropped)
        close(got, plain.down_gradient(d, given, dropped))
        assert torch.equal(got, own.down_gradient(d, given, dropped))
    again = own.output_gradients(dy, up, p, bounds, 0.7, rank)
    assert all(torch.equal(one, two) for one, two in zip(found, again, strict=True))


@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_compiled_functions_agree_with_plain_ones(dropout):
    torch.manual_seed(0)
    dropped = mask(dropout)
    a, b, c = (half(ROWS, INPUTS) for _ in range(3))
    inverse = 1 + torch.rand(ROWS, device="cuda")
    halves = [half(ROWS, 64) for _ in range(2)]
    weight, turn = half(1, INPUTS), tuple(torch.cat([part, part], 1) for part in halves)
    heads = half(ROWS, 48, 128)
    through = [
        products.Through(half(ROWS, rank), half(rank, INPUTS + 32)[:, :INPUTS], dropped)
        for rank in (WIDTH, 4 * WIDTH)
    ]
    # More columns than a kernel reads at once, and no multiple of them.
    logits = 4 * half(ROWS, 9000) - 30
    targets = torch.randint(0, 9000, (ROWS,), device="cuda")
    found = []
    for each in (elementwise.fused(), elementwise.Elementwise()):
        normed, active = torch.zeros_like(a), torch.zeros(ROWS, 2048 + WIDTH).to(a)[:, :2048]
        found.append(
            [
                each.add_norm(a, None, weight, 1e-5, normed)[1],
                normed,
                *(each.norm_gradient(a.clone(), t, (a, inverse, weight.abs()), b) for t in through),
                *(each.add_through(a.clone(), t) for t in through),
                each.add_norm(a, b, weight, 1e-5, normed)[0],
                each.rotate(heads.clone(), *turn, 40),
                each.rotate_gradient((heads[:, :32], heads[:, 32:40]), (heads[:, 40:],), *turn),
                each.swiglu(a, active) or active,
                *each.swiglu_gradient(torch.cat([a, b], 1), c.clone(), through[0]),
                each.losses(logits, targets),
                *each.loss_gradient(logits.clone(), targets),
            ]
        )
    for got, wanted in zip(*found, strict=True):
        close(got, wanted)


@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_gradients_through_two_ways_repeat_to_the_bit(dropout):
    torch.manual_seed(0)
    each, dropped = elementwise.fused(), mask(dropout)
    base, other, inverse = half(ROWS, INPUTS), half(ROWS, INPUTS), torch.rand(ROWS, device="cuda")
    through = products.Through(half(ROWS, 64), half(64, INPUTS + 32)[:, :INPUTS], dropped)
    narrow = products.Through(half(ROWS, WIDTH), half(WIDTH, INPUTS), dropped)
    both, weight, results = half(ROWS, 2 * INPUTS), half(1, INPUTS), []
    for _ in range(25):
        active = torch.zeros_like(base)
        results.append(
            [
                each.norm_gradient(base.clone(), through, (other, inverse, weight), other),
                each.add_through(base.clone(), through),
                each.swiglu(both, active) or active,
                *each.swiglu_gradient(both.clone(), base.clone(), narrow),
            ]
        )
    for again in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], again, strict=True))


@pytest.mark.parametrize("sizes", [(5, 9), (700, 3, 1200, 257), (64,) * 9])
@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("which", ["cudnn", "flash"])
def test_attention_agrees_with_its_plain_twin_and_repeats_to_the_bit(sizes, trimmed, which):
    torch.manual_seed(0)
    scale = 128**-0.5
    fast, said = choose(128) if which == "cudnn" else (FlashAttention(scale), "")
    if which == "cudnn" and said != CUDNN:
        pytest.skip(said)
    queries = tuple(-(-size // 3) for size in sizes) if trimmed else sizes
    edges = [
        torch.tensor([0, *torch.tensor(part).cumsum(0)], dtype=torch.int32, device="cuda")
        for part in (queries, sizes)
    ]
    spans = Spans(edges[0] if trimmed else edges[1], edges[1], max(queries), max(sizes))
    q, kv = half(sum(queries), 48, 128)[:, :32], half(sum(sizes), 16, 128)
    parts, gradient = (q, kv[:, :8], kv[:, 8:]), half(sum(queries), 32, 128)
    torch.use_deterministic_algorithms(True)
    try:
        found = []
        for compute, dtype in (
            (PlainAttention(scale), torch.float32),
            (PlainAttention(scale), torch.bfloat16),
            (fast, torch.bfloat16),
            (fast, torch.bfloat16),
        ):
            own = [part.to(dtype) if dtype == torch.float32 else part for part in parts]
            out, kept = compute.forward(*own, spans)
            found.append([out, *compute.backward(gradient.to(dtype), (*own, out), kept, spans)])
    finally:
        torch.use_deterministic_algorithms(False)
    exact, plain, first, again = found
    for truth, one, two in zip(exact, plain, first, strict=True):
        size = truth.abs().max()
        assert (two - truth).abs().max() <= 2 * (one - truth).abs().max() + 0.002 * size
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
