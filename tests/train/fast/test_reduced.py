"""The fast layers in 8 bits, as plain PyTorch computes them: near the exact ones, and afterwards these again."""

from __future__ import annotations

import peft
import pytest
import torch

from fingpt.train.adapter import save_adapter
from fingpt.train.batching import collate_step
from fingpt.train.fast.documents import PlainAttention
from fingpt.train.fast.eight_bits import PLAIN_EIGHT_BITS, Rows
from fingpt.train.fast.model import FastLayers
from fingpt.train.fast.run import Handed, Means
from fingpt.train.loop import pack_loss
from tests.train.small_llama import gradients, tuned_llama

KINDS = [
    {"base": False, "gradient": True},
    {"base": True, "gradient": False},
    {"base": True, "gradient": True},
]


@pytest.fixture
def pack(invent):
    (found,) = collate_step([invent.rows(9)])["packs"]
    return {**found, "seed": 5}


def fast(dropout: float = 0.1, dtype: torch.dtype = torch.float32):
    model = tuned_llama(3, dropout=dropout, dtype=dtype)
    return model, FastLayers(model, Means(PlainAttention(8**-0.5)))


def step(model, layers, pack) -> tuple[torch.Tensor, torch.Tensor]:
    loss = layers.loss(model, pack)
    found = gradients(model, loss)
    return loss.detach(), torch.cat([found[name].flatten() for name in sorted(found)])


def cosine(one: torch.Tensor, two: torch.Tensor) -> float:
    return float(torch.cosine_similarity(one, two, dim=0))


def test_gradients_in_fp8_leave_the_loss_exact_and_point_the_same_way(pack):
    model, layers = fast()
    loss, gradient = step(model, layers, pack)
    layers.reduce(PLAIN_EIGHT_BITS, base=False, gradient=True)
    eight_loss, eight = step(model, layers, pack)
    assert torch.equal(loss, eight_loss)
    assert 0.99 < cosine(gradient, eight) < 0.999999


@pytest.mark.parametrize("gradient8", [False, True])
def test_a_base_in_int8_changes_loss_and_gradient_little(pack, gradient8):
    model, layers = fast()
    loss, gradient = step(model, layers, pack)
    layers.reduce(PLAIN_EIGHT_BITS, base=True, gradient=gradient8)
    eight_loss, eight = step(model, layers, pack)
    assert eight_loss != loss
    assert abs(eight_loss / loss - 1) < 0.005
    assert 0.99 < cosine(gradient, eight) < 0.999999


@pytest.mark.parametrize("kind", KINDS)
def test_layers_repeat_to_the_bit(pack, kind):
    found = []
    for _ in range(2):
        model, layers = fast()
        layers.reduce(PLAIN_EIGHT_BITS, **kind)
        found.append(step(model, layers, pack))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_are_restored_compute_as_before(pack, kind, dtype):
    model, layers = fast(dtype=dtype)
    before = step(model, layers, pack)
    weights = [each.clone() for each in model.parameters()]
    layers.reduce(PLAIN_EIGHT_BITS, **kind, park=True)
    assert not torch.equal(step(model, layers, pack)[1], before[1])
    layers.restore()
    after = step(model, layers, pack)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))


def test_int8_keeps_no_other_copy_of_the_frozen_weights(pack):
    model, layers = fast()
    layers.reduce(PLAIN_EIGHT_BITS, base=True, gradient=False, park=True)
    layers.settle()
    for each in model.get_base_model().model.layers.modules():
        base = getattr(each, "base_layer", None)
        assert base is None or base.weight.numel() == 0
    for one in layers._joined:
        kept = [value for value in vars(one).values() if isinstance(value, torch.Tensor)]
        frozen = 4 * one.inputs * one.outputs  # bytes
        assert sum(value.untyped_storage().nbytes() for value in kept) < frozen + 4 * 160 * 16 * 4
        assert all(value.untyped_storage().nbytes() < frozen or value is one.down for value in kept)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_of_the_adapter_follow_its_optimizer_in_8_bits(pack, kind):
    model, layers = fast(dropout=0)
    layers.reduce(PLAIN_EIGHT_BITS, **kind)
    first = layers.loss(model, pack)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    first.backward()
    optimizer.step()
    after = layers.loss(model, pack)
    twin = tuned_llama(3)
    twin.load_state_dict({n: p for n, p in model.state_dict().items() if "lora" in n}, strict=False)
    assert after < first
    torch.testing.assert_close(after, pack_loss(twin, pack), rtol=0.005, atol=0)


def test_an_adapter_trained_in_int8_is_one_that_plain_peft_loads(pack, tmp_path):
    model, layers = fast(dropout=0)
    layers.reduce(PLAIN_EIGHT_BITS, base=True, gradient=False)
    save_adapter(model, tmp_path)
    base = tuned_llama(3).unload()
    loaded = peft.PeftModel.from_pretrained(base, tmp_path)
    wanted = layers.loss(model, pack)
    torch.testing.assert_close(pack_loss(loaded, pack), wanted, rtol=0.005, atol=0)


def test_rows_without_an_answer_have_no_gradient_in_8_bits(pack):
    from fingpt.train.batching import Row

    (filler,) = collate_step([[Row("", (0,) * 16, ())]])["packs"]
    for kind in KINDS:
        model, layers = fast()
        layers.reduce(PLAIN_EIGHT_BITS, **kind)
        loss, gradient = step(model, layers, {**filler, "seed": 3})
        assert loss == 0
        assert not gradient.any()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_are_handed_on_in_8_bits_are_those_that_would_be_made(
    pack, kind, monkeypatch
):
    taken, found = [], []
    take = Handed.take

    def watched(self, gradient):
        made = take(self, gradient)
        taken.append(made is not gradient)
        return made

    for each in (watched, lambda self, gradient: gradient):
        monkeypatch.setattr(Handed, "take", each)
        model, layers = fast()
        layers.reduce(PLAIN_EIGHT_BITS, **kind)
        found.append(step(model, layers, pack)[1])
    # Of three layers two halves each, all but the last, whose gradient comes from the output layer.
    assert taken == [False, *[True] * 5]
    assert torch.equal(*found)


def test_8_bits_go_to_the_gradient_that_they_are_of_alone():
    handed, one, other = Handed(), torch.ones(2, 3), torch.ones(2, 3)
    rows = Rows(torch.ones(2, 3, dtype=torch.int8), torch.ones(2))
    handed.give(one, rows)
    assert handed.take(other) is other
    assert handed.take(one) is one
    handed.give(one, rows)
    assert handed.take(one.view(2, 3)).rows is rows
    handed.give(one, None)
    assert handed.take(one) is one
