from __future__ import annotations

import importlib.util

import pytest
import torch

from fingpt.config import RunConfig
from fingpt.doctor.checks import Grade
from fingpt.doctor.examine import examine
from fingpt.doctor.training import training_check


def config(**train) -> RunConfig:
    return RunConfig(model="llama31", train=train)


def test_a_cpu_says_how_it_would_train():
    check = training_check(config())
    assert check.grade is Grade.OK
    assert check.message == (
        "precision: fp32; attention: PyTorch's, row by row: no GPU; layers: not compiled: no GPU"
    )


@pytest.mark.parametrize(
    ("settings", "layers"),
    [
        ({"gradient_checkpointing": True}, "not compiled: train.gradient_checkpointing"),
        ({"zero_stage": 1}, "not compiled: DeepSpeed"),
    ],
)
def test_settings_that_keep_layers_as_they_are_are_named(settings, layers):
    assert training_check(config(**settings)).message.endswith(layers)


def test_a_card_with_kernel_and_compiler_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr("fingpt.train.machine.obstacle", lambda: "")
    check = training_check(config())
    assert "precision: bf16; attention: PyTorch's FlashAttention" in check.message
    assert check.message.endswith("layers: fast or compiled, if Triton's compiler works")


@pytest.mark.parametrize("settings", [{"gradient_precision": "fp8"}, {"base_precision": "int8"}])
def test_products_in_8_bits_are_said_to_depend_on_the_first_rows(settings):
    check = training_check(config(**settings))
    ((name, value),) = settings.items()
    assert check.grade is Grade.OK
    assert check.message.endswith(
        "layers: plain PyTorch: no GPU, products in 8 bits are simulated; "
        f"products: train.{name}={value}, if the first rows of the run allow it (simulated without a GPU, and slower "
        "there than bf16)"
    )


def test_a_card_that_cannot_multiply_in_8_bits_fails_before(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A100")
    check = training_check(config(gradient_precision="fp8"))
    assert (check.grade, check.code) == (Grade.FAIL, 78)
    assert "cannot be computed here: NVIDIA A100 is older than Hopper" in check.message


def test_what_training_would_refuse_fails_before():
    check = training_check(config(precision="fp16", zero_stage=0))
    assert (check.grade, check.code) == (Grade.FAIL, 78)
    assert "needs a GPU" in check.message


def test_a_machine_without_torch_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert training_check(config()).grade is Grade.WARN


def test_doctor_says_it_where_the_store_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FINGPT_STORE", str(tmp_path))
    from fingpt.config import read_environment

    names = [check.name for check in examine(config(), read_environment())]
    assert names[-2:] == ["training on this machine", "evaluation on this machine"]
