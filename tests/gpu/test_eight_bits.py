"""Kernels for 8 bits against their plain twins, and fast layers that use them; needs a Hopper GPU or a newer one."""

from __future__ import annotations

import pytest
import torch

from fingpt.train.batching import Row, collate_step
from fingpt.train.fast import eight_bits
from fingpt.train.fast.eight_bits import PLAIN_EIGHT_BITS, Narrow, Rows, Unscaled
from fingpt.train.fast.products import Through

# The products are those of Hopper's matrix units. Plain twins run anywhere: tests/train/fast looks after them.
pytestmark = [
    pytest.mark.skipif(
        not torch.cuda.is_available() or torch.cuda.get_device_capability() < (9, 0),
        reason="no GPU that multiplies in fp8",
    ),
    # The compiler's own.
    pytest.mark.filterwarnings(
        "ignore:`torch.jit.script(_method)?` is deprecated:DeprecationWarning"
    ),
]
ROWS = 1003
KINDS = [
    {"base": False, "gradient": True},
    {"base": True, "gradient": False},
    {"base": True, "gradient": True},
]


def half(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


@pytest.fixture
def own():
    from fingpt.train.fast.eight_bit_kernels import kernels

    torch.manual_seed(0)
    return kernels()


def alike(got: Rows, wanted: Rows, share: float) -> None:
    """Scales agree to the last bits, and all but a `share` of the values, which are one step off."""
    torch.testing.assert_close(got.scales, wanted.scales, rtol=1e-5, atol=0)
    one, two = (rows.values.view(torch.int8).int() for rows in (got, wanted))
    assert (one - two).abs().max() <= 1
    assert (one != two).float().mean() <= share


@pytest.mark.parametrize("columns", [128, 4096, 6144, 14336, 28672])
def test_rows_are_those_of_their_twins(own, columns):
    # A row of zeros, sizes far apart, and rows that do not lie side by side.
    x = half(ROWS, columns + 48)[:, :columns] * torch.logspace(-9, 5, ROWS, device="cuda")[:, None]
    x = torch.nn.functional.pad(x.bfloat16(), (0, 48))[:, :columns]
    x[5] = 0
    alike(own.fp8_rows(x), eight_bits.fp8_rows(x), 0)
    alike(own.int8_rows(x, turn=False), eight_bits.int8_rows(x, turn=False), 0)
    if columns <= 14336:
        turned = own.int8_rows(x, turn=True)
        # Sums of 64 numbers in another order: what lies at a half goes either way.
        alike(turned, eight_bits.int8_rows(x, turn=True), 0.001)
        assert torch.equal(turned.values, own.int8_rows(x, turn=True).values)


@pytest.mark.parametrize(
    ("bounds", "inner", "width"),
    [
        ((4096, 5120, 6144), 4096, 16),
        ((14336, 28672), 4096, 16),
        ((4096,), 14336, 16),
        ((4096,), 28672, 0),
        ((256, 384, 640), 8192, 64),
        ((4096,), 4096, 128),
    ],
)
def test_products_are_those_of_their_twins_and_repeat_to_the_bit(own, bounds, inner, width):
    columns = bounds[-1]
    a, b = own.int8_rows(half(ROWS, inner), turn=True), own.int8_rows(half(columns, inner), True)
    narrow = None
    if width:
        p = half(ROWS, 4 * width + 16)[:, 16 : 16 + len(bounds) * width]
        narrow = Narrow(p, half(columns, width), bounds)
    found = [own.int8_product(a, b, torch.bfloat16, narrow) for _ in range(5)]
    exact = eight_bits.int8_product(a, b, torch.float32, narrow)
    assert (found[0].float() - exact).abs().max() <= 0.008 * exact.abs().max()
    assert all(torch.equal(found[0], other) for other in found)
    eight = own.fp8_rows(half(ROWS, inner)), own.fp8_rows(half(columns, inner))
    found = [own.fp8_product(*eight, torch.bfloat16) for _ in range(5)]
    exact = eight_bits.fp8_product(*eight, torch.float32)
    assert (found[0].float() - exact).norm() <= 0.01 * exact.norm()
    assert all(torch.equal(found[0], other) for other in found)


def test_parts_of_a_weight_s_columns_are_multiplied_alone(own):
    dy, weight = half(ROWS, 2048), half(4096, 6144)
    for make, product in (
        (own.fp8_rows, own.fp8_product),
        (lambda x: own.int8_rows(x, turn=False), own.int8_product),
    ):
        every = make(weight)
        part = Rows(every.values[:, 4096:], every.scales)
        got = product(make(dy), part, torch.bfloat16)
        exact = dy.float() @ weight[:, 4096:].float().t()
        assert torch.cosine_similarity(got.float().flatten(), exact.flatten(), dim=0) > 0.998


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
@pytest.mark.parametrize(
    ("bounds", "rank"), [((4096,), 16), ((14336, 28672), 16), ((4096, 5120, 6144), 64)]
)
def test_gradients_of_adapters_bring_what_they_read_to_8_bits(own, dtype, bounds, rank):
    from fingpt.train.fast import kernels, products

    dy, up, p = half(ROWS, bounds[-1]), half(bounds[-1], rank), half(ROWS, 4 * rank)
    most = dy.float().abs().amax(1)

    def place() -> Unscaled:
        return Unscaled(dy, most, Rows(torch.zeros_like(dy, dtype=dtype), torch.zeros_like(most)))

    plain = place()
    wanted = products.output_gradients(plain, up, p, bounds, 0.7, rank)
    without = kernels.output_gradients(dy, up, p, bounds, 0.7, rank)
    for _ in range(25):
        given = place()
        found = kernels.output_gradients(given, up, p, bounds, 0.7, rank)
        assert all(torch.equal(one, two) for one, two in zip(found, without, strict=True))
        alike(given.rows, plain.rows, 0.001)
    for one, two in zip(found, wanted, strict=True):
        assert (one.float() - two.float()).abs().max() <= 0.02 * two.float().abs().max()


def test_swiglu_s_gradient_tells_the_largest_entry_of_each_row(own):
    from fingpt.train.fast import between

    both, base = half(ROWS, 28672), half(ROWS, 14336)
    through = Through(half(ROWS, 16), half(16, 14400)[:, :14336], None)
    most = torch.zeros(ROWS, device="cuda")
    silent = between.swiglu_gradient(both.clone(), base.clone(), through)
    found = between.swiglu_gradient(both.clone(), base.clone(), through, most)
    assert all(torch.equal(one, two) for one, two in zip(found, silent, strict=True))
    assert torch.equal(most, found[0].float().abs().amax(1))


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_a_norm_s_gradient_comes_in_8_bits_as_rows_would_be_made_of_it(own, dtype):
    from fingpt.train.fast.norms import norm_gradient

    base, other = half(ROWS, 4096), half(ROWS, 4096)
    normed = (half(ROWS, 4096), torch.rand(ROWS, device="cuda"), half(1, 4096))
    through = Through(half(ROWS, 64), half(64, 4160)[:, :4096], None)
    results = []
    for _ in range(25):
        rows = Rows(torch.zeros_like(base, dtype=dtype), torch.zeros(ROWS, device="cuda"))
        results.append(norm_gradient(base.clone(), through, normed, other, rows))
        found = results[0]
        assert torch.equal(results[-1], found)
        alike(rows, own.int8_rows(found, False) if dtype == torch.int8 else own.fp8_rows(found), 0)
    # Sums along a row are in another order where 8 bits are written too.
    silent = norm_gradient(base.clone(), through, normed, other).float()
    assert (found.float() - silent).abs().max() <= 0.01 * silent.abs().max()


def test_no_rows_make_no_rows(own):
    for columns in (4096, 6144):
        nothing, weight = half(0, columns), half(256, columns)
        fp8 = own.fp8_product(own.fp8_rows(nothing), own.fp8_rows(weight), torch.bfloat16)
        int8 = own.int8_product(
            own.int8_rows(nothing, True), own.int8_rows(weight, True), torch.bfloat16
        )
        assert fp8.shape == int8.shape == (0, 256)


def llama():
    """Two layers that are wide enough for the kernels, with an adapter that does something."""
    import peft
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.train.small_llama import PROJECTIONS

    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    lora = peft.LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules=PROJECTIONS)
    model = peft.get_peft_model(LlamaForCausalLM(config).bfloat16(), lora)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.cuda().train()


def test_layers_in_8_bits_are_near_exact_ones_and_their_twins_and_are_restored(own):
    from fingpt.train.fast.choice import choose
    from fingpt.train.fast.elementwise import fused
    from fingpt.train.fast.kernels import kernels
    from fingpt.train.fast.model import FastLayers
    from fingpt.train.fast.run import Means

    model = llama()
    ids = torch.randint(1, 500, (6, 150)).tolist()
    rows = [Row(f"{n}", tuple(one[: 60 + n]), tuple(one[100:])) for n, one in enumerate(ids)]
    (pack,) = collate_step([rows])["packs"]
    pack = {k: v.cuda() if isinstance(v, torch.Tensor) else v for k, v in pack.items()}
    layers = FastLayers(model, Means(choose(128)[0], fused(), kernels()))

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        loss = layers.loss(model, {**pack, "seed": 7})
        loss.backward()
        trained = [each for each in model.parameters() if each.requires_grad]
        gradient = torch.cat([each.grad.flatten() for each in trained])
        model.zero_grad()
        return loss.detach(), gradient

    def cosine(one, two) -> float:
        return float(torch.cosine_similarity(one[1], two[1], dim=0))

    exact = step()
    assert torch.equal(exact[1], step()[1])
    for kind in KINDS:
        found = []
        for eight in (own, own, PLAIN_EIGHT_BITS):
            layers.reduce(eight, **kind, park=True)
            found.append(step())
            if eight is own and len(found) == 1:
                again = step()
                assert torch.equal(found[0][0], again[0])
                assert torch.equal(found[0][1], again[1])
            layers.restore()
        assert torch.equal(found[0][1], found[1][1])
        assert cosine(found[0], found[2]) > 0.999
        assert 0.98 < cosine(found[0], exact) < 0.99999
        assert abs(found[0][0] / exact[0] - 1) < 0.005
        assert torch.equal(found[0][0], exact[0]) is not kind["base"]
        back = step()
        assert torch.equal(back[0], exact[0])
        assert torch.equal(back[1], exact[1])
