from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from fingpt.config import LoraConfig
from fingpt.errors import DataError, DivergedError, MissingInputError, NoSpaceError
from fingpt.models import spec
from fingpt.train.adapter import (
    CONFIG,
    WEIGHTS,
    adapter_tensors,
    check_adapter,
    check_base,
    load_adapter,
    save_adapter,
)
from fingpt.train.model import attach_adapter, load_base
from tests.full_disk import full_disk

SPEC = spec("tiny-llama31")


@pytest.fixture
def model(base_folder):
    torch.manual_seed(0)
    return attach_adapter(load_base(base_folder, "fp32"), LoraConfig(r=4, alpha=8), SPEC)


def trained(model) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.01)


def test_equal_weights_give_equal_bytes(model, tmp_path):
    for name in ("one", "two"):
        save_adapter(model, tmp_path / name)
    for name in (WEIGHTS, CONFIG):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_adapter_that_a_full_disk_does_not_take_says_so(model, tmp_path):
    with full_disk(), pytest.raises(NoSpaceError, match=f"No space left for .*{WEIGHTS}"):
        save_adapter(model, tmp_path)


def test_the_configuration_names_the_base_and_no_folder_of_this_machine(
    model, tmp_path, base_folder
):
    save_adapter(model, tmp_path)
    text = (tmp_path / CONFIG).read_text()
    settings = json.loads(text)
    assert settings["base_model_name_or_path"] == SPEC.base
    assert settings["revision"] == SPEC.revision
    assert settings["target_modules"] == sorted(SPEC.lora_targets)
    assert str(base_folder) not in text


def test_peft_itself_reads_a_saved_adapter(model, tmp_path, base_folder):
    from peft import PeftModel

    trained(model)
    save_adapter(model, tmp_path)
    again = PeftModel.from_pretrained(load_base(base_folder, "fp32"), tmp_path)
    ids = torch.arange(1, 9)[None]
    model.eval()
    assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)


def test_a_saved_adapter_loads_into_a_fresh_one(model, tmp_path, base_folder):
    trained(model)
    save_adapter(model, tmp_path)
    torch.manual_seed(9)
    fresh = attach_adapter(load_base(base_folder, "fp32"), LoraConfig(r=4, alpha=8), SPEC)
    load_adapter(fresh, tmp_path, SPEC)
    saved, loaded = adapter_tensors(model), adapter_tensors(fresh)
    assert all(torch.equal(saved[name], loaded[name]) for name in saved)


def test_an_adapter_of_another_base_is_refused(model, tmp_path):
    save_adapter(model, tmp_path)
    with pytest.raises(DataError, match=r"tiny-llama31@v2, not on .*deepseek"):
        check_base(tmp_path, spec("tiny-deepseek-r1"))
    with pytest.raises(DataError, match="only fits the base"):
        load_adapter(model, tmp_path, spec("llama31"))


def test_an_adapter_of_another_rank_is_refused(model, tmp_path, base_folder):
    save_adapter(model, tmp_path)
    other = attach_adapter(load_base(base_folder, "fp32"), LoraConfig(r=2), SPEC)
    with pytest.raises(DataError, match="other layers or ranks"):
        load_adapter(other, tmp_path, SPEC)


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    with pytest.raises(MissingInputError, match=CONFIG):
        check_base(tmp_path, SPEC)
    (tmp_path / CONFIG).write_text("[]")
    with pytest.raises(DataError, match="no PEFT configuration"):
        check_base(tmp_path, SPEC)


def spoil_nan(tensors):
    tensors[next(iter(tensors))][0, 0] = float("nan")


def spoil_missing(tensors):
    tensors.popitem()


def spoil_zero(tensors):
    for name, tensor in tensors.items():
        if "lora_B" in name:
            tensor.zero_()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_nan, "NaN or Inf"),
        (spoil_missing, "are missing from the saved adapter"),
        (spoil_zero, "is zero"),
    ],
)
def test_a_saved_adapter_that_is_broken_is_refused(model, tmp_path, spoil, message):
    start = adapter_tensors(model)
    trained(model)
    save_adapter(model, tmp_path)
    check_adapter(tmp_path, start)
    tensors = load_file(tmp_path / WEIGHTS)
    spoil(tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(DivergedError, match=message):
        check_adapter(tmp_path, start)


def test_an_adapter_that_did_not_change_is_refused(model, tmp_path):
    trained(model)
    save_adapter(model, tmp_path)
    with pytest.raises(DivergedError, match="as it was before"):
        check_adapter(tmp_path, adapter_tensors(model))
