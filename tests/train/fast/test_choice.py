from __future__ import annotations

import sys
from types import ModuleType

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.train.fast import choice
from fingpt.train.fast.documents import PlainAttention
from fingpt.train.fast.elementwise import PLAIN_ELEMENTWISE
from fingpt.train.fast.products import PLAIN_PRODUCTS
from tests.train.small_llama import PROJECTIONS


def tuned(targets=PROJECTIONS):
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    return peft.get_peft_model(LlamaForCausalLM(config), peft.LoraConfig(target_modules=targets))


@pytest.fixture
def able(monkeypatch):
    """A machine with kernels, whose place the plain twins take."""
    kernels = ModuleType("kernels")
    kernels.kernels = lambda: PLAIN_PRODUCTS
    monkeypatch.setitem(sys.modules, "fingpt.train.fast.kernels", kernels)
    monkeypatch.setattr(choice, "fused", lambda: PLAIN_ELEMENTWISE)
    monkeypatch.setattr(
        choice, "choose", lambda width, heads: (PlainAttention(width**-0.5), "plain")
    )
    return monkeypatch


def taken(model) -> bool:
    return "forward" in vars(model.get_base_model().model.layers[0])


def test_a_model_that_fits_is_taken_over_after_a_trial(able):
    model, tried = tuned(), []
    layers, attention, how = choice.take_over(model, tried.append)
    assert tried == [layers]
    assert attention == "plain"
    assert how.startswith("fast")
    assert taken(model)


def test_a_model_that_does_not_fit_is_not_touched(able):
    model, tried = tuned(["q_proj"]), []
    assert choice.take_over(model, tried.append) == (None, "", "k_proj has no adapter")
    assert tried == []
    assert not taken(model)


@pytest.mark.parametrize("fault", [RuntimeError("no\ncompiler"), OSError("no compiler")])
def test_layers_that_fail_are_given_back_and_said_once(able, fault):
    model, said = tuned(), []
    able.setattr(choice.log, "warning", lambda sentence, **fields: said.append(fields["reason"]))

    def attempt(layers) -> None:
        raise fault

    assert choice.take_over(model, attempt) == (None, "", "no compiler")
    assert said == ["no compiler"]
    assert not taken(model)


def test_a_triton_that_cannot_be_imported_is_told_of(able):
    model, said = tuned(), []
    able.setitem(sys.modules, "fingpt.train.fast.kernels", None)
    able.setattr(choice.log, "warning", lambda sentence, **fields: said.append(fields["reason"]))
    assert choice.take_over(model, lambda layers: None)[0] is None
    assert "fingpt.train.fast.kernels" in said[0]


def test_a_full_memory_is_no_fault_of_the_layers(able):
    def attempt(layers) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        choice.take_over(tuned(), attempt)


@pytest.mark.parametrize(
    ("capability", "reason"), [((8, 0), "older than Hopper"), ((9, 0), "without cuDNN's")]
)
def test_attention_without_cudnn_is_pytorch_s(monkeypatch, capability, reason):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setitem(sys.modules, "cudnn", None)
    attention, said = choice.choose(128)
    assert isinstance(attention, choice.FlashAttention)
    assert reason in said
