"""The device, the precision that it allows, and the facts that manifests record."""

from __future__ import annotations

import pytest
import torch

from fingpt import hardware
from fingpt.errors import SetupError


def test_without_a_gpu_auto_is_fp32_and_bf16_stays_what_was_asked_for():
    assert hardware.resolve_precision("auto", "train.precision") == "fp32"
    assert hardware.resolve_precision("bf16", "train.precision") == "bf16"
    assert hardware.device() == torch.device("cpu")


def test_a_gpu_without_bf16_falls_back_only_when_nothing_was_asked_for(old_card):
    assert hardware.resolve_precision("auto", "eval.precision") == "fp32"
    with pytest.raises(SetupError, match=r"An Old GPU has no bf16; use eval\.precision=fp32"):
        hardware.resolve_precision("bf16", "eval.precision")


def test_fp16_without_a_gpu_is_refused_under_its_setting_s_name():
    with pytest.raises(SetupError, match=r"train\.precision=fp16 needs a GPU"):
        hardware.resolve_precision("fp16", "train.precision")


def test_the_facts_of_a_machine_without_a_gpu_are_device_processor_and_threads():
    assert hardware.hardware().keys() == {"device", "cpu", "threads"}
    assert hardware.hardware()["device"] == "cpu"
    assert hardware.peak_memory_bytes() > 1 << 20


def test_versions_are_those_of_python_and_of_the_named_libraries():
    assert hardware.versions(["torch", "numpy"]).keys() == {"python", "torch", "numpy"}
    assert hardware.versions(["torch"])["torch"] == torch.__version__
