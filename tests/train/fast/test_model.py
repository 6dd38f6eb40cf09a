from __future__ import annotations

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.train.batching import Row, collate, collate_step
from fingpt.train.fast.documents import PlainAttention
from fingpt.train.fast.dropout import column_keys, kept, row_keys, threshold
from fingpt.train.fast.model import FastLayers, misfit
from fingpt.train.fast.run import SITES, Means
from fingpt.train.loop import answer_loss, pack_loss
from tests.train.small_llama import PROJECTIONS, gradients, tuned_llama

WIDTH = 8


def tuned(dropout: float = 0.0, rank: int = 4):
    return tuned_llama(3, dropout=dropout, rank=rank)


def fast(model) -> FastLayers:
    return FastLayers(model, Means(PlainAttention(WIDTH**-0.5)))


def assert_equal(got, wanted, tolerance: float = 1e-6) -> None:
    assert got.keys() == wanted.keys()
    for name, gradient in got.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_gradients_are_those_of_plain_peft_on_single_rows(invent, rank):
    rows = invent.rows(5)
    plain, model = tuned(rank=rank), tuned(rank=rank)
    plain.get_base_model().config._attn_implementation = "sdpa"
    losses = [
        answer_loss(plain, batch["input_ids"], batch["labels"])
        for batch in (collate([row], pad_id=0) for row in rows)
    ]
    tokens = sum(len(row.answer) for row in rows)
    layers = fast(model)
    packs = collate_step([rows[:2], rows[2:]])["packs"]
    loss = sum(layers.loss(model, pack) for pack in packs)
    torch.testing.assert_close(loss, sum(losses), rtol=1e-6, atol=1e-6)
    wanted = gradients(plain, sum(losses) / tokens)
    assert_equal(gradients(model, loss / tokens), wanted)


class Dropped(torch.nn.Module):
    """What dropout makes of an adapter's input, by the mask of one place."""

    def __init__(self, site: int, dropout: float, seed: int) -> None:
        super().__init__()
        self.site, self.dropout, self.seed = site, dropout, seed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[1:]
        keys = row_keys(self.seed, 3 * SITES, rows, x.device)[self.site, :rows]
        keep = kept(keys, column_keys(columns, x.device), threshold(self.dropout))
        return x * keep / (1 - self.dropout)


def test_gradients_are_those_of_plain_peft_where_the_same_inputs_are_dropped(invent):
    dropout, seed = 0.3, 77
    plain, model = tuned(dropout), tuned(dropout)
    (pack,) = collate_step([invent.rows(4)])["packs"]
    for index, layer in enumerate(plain.get_base_model().model.layers):
        for place, names in enumerate(
            (PROJECTIONS[:3], PROJECTIONS[3:4], PROJECTIONS[4:6], PROJECTIONS[6:])
        ):
            part = layer.self_attn if place < 2 else layer.mlp
            for name in names:
                dropped = Dropped(index * SITES + place, dropout, seed)
                getattr(part, name).lora_dropout["default"] = dropped
    layers = fast(model)
    layers._parts[-1][0].last = False
    # Masks of the last layer go by the rows that are computed there; here these are all.
    every = torch.arange(pack["input_ids"].shape[1])
    pack_all = {**pack, "predictors": every, "targets": pack["input_ids"][0]}
    wanted = pack_loss(plain, pack_all)
    got = layers.loss(model, {**pack_all, "seed": seed})
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
    # What is kept is scaled up, and with it what fp32 leaves over: 2.4e-6 at most over ten seeds.
    assert_equal(gradients(model, got / 30), gradients(plain, wanted / 30), tolerance=4e-6)


def test_equal_seeds_drop_the_same_and_others_do_not(invent):
    model = tuned(0.3)
    layers = fast(model)
    (pack,) = collate_step([invent.rows(4)])["packs"]
    first, again, other, none = (
        layers.loss(model, {**pack, "seed": seed}) for seed in (5, 5, 6, None)
    )
    assert first == again
    assert len({first.item(), other.item(), none.item()}) == 3


def test_copies_follow_before_the_next_pass_so_that_no_gpu_waits_for_them(invent):
    model = tuned()
    layers = fast(model)
    (pack,) = collate_step([invent.rows(4)])["packs"]
    layers.loss(model, pack).backward()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    optimizer.step()
    for copy, master in zip(layers._copies, layers._masters, strict=True):
        assert torch.equal(copy, master)
    copied = [copy._version for copy in layers._copies]
    layers.loss(model, pack)
    assert [copy._version for copy in layers._copies] == copied


@pytest.mark.parametrize("fused", [False, True])
def test_copies_of_the_adapter_follow_its_optimizer(invent, fused):
    plain, model = tuned(), tuned()
    layers = fast(model)
    (pack,) = collate_step([invent.rows(4)])["packs"]
    for each in (plain, model):
        trained = [p for p in each.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=0.01, fused=fused)
        loss = layers.loss(model, pack) if each is model else pack_loss(plain, pack)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    got, wanted = layers.loss(model, pack), pack_loss(plain, pack)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_a_loss_without_gradient_is_the_same_and_keeps_nothing(invent):
    model = tuned()
    layers = fast(model)
    (pack,) = collate_step([invent.rows(4)])["packs"]
    with torch.no_grad():
        silent = layers.loss(model, pack)
    assert silent.grad_fn is None
    torch.testing.assert_close(silent, layers.loss(model, pack).detach(), rtol=1e-6, atol=1e-6)


def test_a_filler_weighs_nothing_and_reaches_every_weight_of_the_adapter():
    model = tuned(0.1)
    layers = fast(model)
    (pack,) = collate_step([[Row("", (0,) * 16, ())]])["packs"]
    loss = layers.loss(model, {**pack, "seed": 3})
    assert loss.item() == 0
    found = gradients(model, loss)
    assert len(found) == 3 * 2 * 7
    assert not any(gradient.any() for gradient in found.values())


def test_what_does_not_fit_is_told_why():
    assert "multiple" in misfit(tuned())
    wide = LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    assert (
        misfit(
            peft.get_peft_model(LlamaForCausalLM(wide), peft.LoraConfig(target_modules=PROJECTIONS))
        )
        == ""
    )
    some = peft.LoraConfig(target_modules=["q_proj"])
    assert misfit(peft.get_peft_model(LlamaForCausalLM(wide), some)) == "k_proj has no adapter"
    wide.attention_bias = True
    biased = peft.get_peft_model(
        LlamaForCausalLM(wide), peft.LoraConfig(target_modules=PROJECTIONS)
    )
    assert misfit(biased) == "q_proj has a bias"
