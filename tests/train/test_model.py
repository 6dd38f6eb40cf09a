"""The model that is trained: PyTorch's attention, the base's precision, and only the adapter trainable."""

from __future__ import annotations

import pytest
import torch

from fingpt.config import LoraConfig
from fingpt.errors import DataError
from fingpt.hardware import quiet_libraries
from fingpt.models import spec
from fingpt.train.adapter import adapter_tensors
from fingpt.train.model import attach_adapter, load_base, trainable_parameters

SPEC = spec("tiny-llama31")


def test_only_the_adapter_is_trainable(base_folder):
    model = attach_adapter(load_base(base_folder, "fp32"), LoraConfig(r=4, alpha=8), SPEC)
    assert trainable_parameters(model) == sum(t.numel() for t in adapter_tensors(model).values())
    assert {n.split(".")[-3] for n in adapter_tensors(model)} == set(LoraConfig().targets)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_attention_is_pytorchs_own(base_folder):
    assert load_base(base_folder, "fp32").config._attn_implementation == "sdpa"


def test_the_base_can_be_loaded_in_bf16_under_fp32_adapters(base_folder):
    model = attach_adapter(load_base(base_folder, "bf16"), LoraConfig(), SPEC)
    kinds = {parameter.requires_grad: parameter.dtype for parameter in model.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be loaded"):
        load_base(tmp_path, "fp32")


def test_loading_and_saving_a_model_shows_nothing_of_the_libraries(base_folder, tmp_path, capfd):
    quiet_libraries()
    base = load_base(base_folder, "fp32")
    base.save_pretrained(tmp_path)
    attach_adapter(base, LoraConfig(r=4, alpha=8), SPEC)
    assert capfd.readouterr() == ("", "")
