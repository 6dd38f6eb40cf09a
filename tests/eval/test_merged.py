"""Merged weights are what PEFT merges in fp32, rounded once; base weights are the files' own bytes."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from fingpt.errors import DataError
from fingpt.eval import model
from fingpt.eval.merged import merged_weights
from fingpt.eval.model import load
from fingpt.eval.weights_ahead import weights_ahead
from fingpt.weights.adapter import WEIGHTS, peft_arguments
from tests.eval.conftest import LORA

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def half(tmp_path_factory, small_model, tokenizer):
    """The small base in bf16, in several files, and an adapter for all linear layers."""
    base, adapter = tmp_path_factory.mktemp("half"), tmp_path_factory.mktemp("adapter")
    lora = LORA.model_copy(update={"targets": type(LORA)().targets, "r": 3, "alpha": 7})
    small_model.save_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    for file in base.glob("*.safetensors"):
        file.unlink()
    model.save_pretrained(base, max_shard_size="5KB")
    torch.manual_seed(4)
    tuned = get_peft_model(model, LoraConfig(**peft_arguments(lora)))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    tuned.save_pretrained(adapter)
    return base, adapter, lora


def test_merged_weights_are_those_that_peft_merges_in_fp32_rounded_once(half):
    base, adapter, lora = half
    assert len(list(base.glob("*.safetensors"))) > 1
    exact = load(base, adapter, CPU, torch.float32, lora).merge_and_unload().state_dict()
    plain = dict(weights_ahead(base, CPU))
    found = dict(merged_weights(base, adapter, lora, CPU))
    assert found.keys() == plain.keys()
    changed = {name for name in found if not torch.equal(found[name], plain[name])}
    assert changed == {name for name in found if "_proj." in name}
    for name, weight in found.items():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, exact[name].to(torch.bfloat16)), name


def test_layers_that_have_no_adapter_keep_their_bytes(base_folder, adapter_folder):
    plain = dict(weights_ahead(base_folder, CPU))
    found = dict(merged_weights(base_folder, adapter_folder, LORA, CPU))
    for name, weight in found.items():
        adapted = name.endswith(tuple(f"{target}.weight" for target in LORA.targets))
        assert torch.equal(weight, plain[name]) is not adapted, name


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda saved, key: saved.pop(key), "other layers than its base"),
        (lambda saved, key: saved.update({key: saved[key][:, :-1].clone()}), "other shapes"),
        (lambda saved, key: saved[key].fill_(float("nan")), "NaN or Inf"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_a_weight_is_read(
    half, tmp_path, change, says
):
    base, adapter, lora = half
    saved = load_file(adapter / WEIGHTS)
    change(saved, sorted(saved)[0])
    save_file(saved, tmp_path / WEIGHTS)
    with pytest.raises(DataError, match=says):
        merged_weights(base, tmp_path, lora, CPU)


@pytest.mark.parametrize(("place", "threads"), [("cuda", [1]), ("cpu", [])])
def test_a_process_whose_gpu_computes_keeps_one_thread(place, threads, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    model._spare_processor(torch.device(place))
    assert asked == threads
