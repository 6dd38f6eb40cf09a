"""The LoRA adapter's files: saved with the same bytes every time, loaded, checked, refused for another base."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from fingpt.errors import DataError, DivergedError
from fingpt.models import ModelSpec
from fingpt.reading import Loading
from fingpt.train.state import save_tensors
from fingpt.weights.adapter import CONFIG, WEIGHTS, check_base

_UNSTABLE_SETTINGS = ("peft_version",)  # differs between images without meaning another adapter


def adapter_tensors(model: Any) -> dict[str, torch.Tensor]:
    """The adapter's weights by their name in a PEFT file: fp32 copies on the CPU."""
    from peft import get_peft_model_state_dict

    state: Mapping[str, torch.Tensor] = get_peft_model_state_dict(
        model, save_embedding_layers=False
    )
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous().clone()
        for name, tensor in sorted(state.items())
    }


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapter as PEFT reads it; equal weights give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(adapter_tensors(model), folder / WEIGHTS, metadata={"format": "pt"})
    settings = model.peft_config["default"].to_dict()
    plain = {
        name: sorted(value) if isinstance(value, set) else value
        for name, value in settings.items()
        if name not in _UNSTABLE_SETTINGS
    }
    plain["target_modules"] = sorted(plain["target_modules"])
    text = json.dumps({**plain, "inference_mode": True}, indent=2, sort_keys=True, default=str)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    for path in (folder / WEIGHTS, folder / CONFIG):
        with path.open("rb") as file:
            os.fsync(file.fileno())


def load_adapter(model: Any, folder: Path, spec: ModelSpec) -> None:
    """Put saved weights into `model`'s adapter; DataError when they belong to another base or another shape."""
    from peft import set_peft_model_state_dict

    check_base(folder, spec)
    with Loading(f"The adapter in {folder.name}", "train it again"):
        saved = load_file(folder / WEIGHTS)
    own = {name: tensor.shape for name, tensor in adapter_tensors(model).items()}
    if {name: tensor.shape for name, tensor in saved.items()} != own:
        raise DataError(
            f"The adapter in {folder.name} has other layers or ranks than this run's; it was trained with another "
            "configuration."
        )
    set_peft_model_state_dict(model, saved)


def check_adapter(folder: Path, start: Mapping[str, torch.Tensor]) -> None:
    """DivergedError unless the saved adapter is complete, finite, and differs from `start`, its weights at step 0.

    Saved adapters that are empty or untouched are a known silent failure (peft issue 1402).
    """
    saved = load_file(folder / WEIGHTS)
    if set(saved) != set(start) or any(saved[n].shape != start[n].shape for n in start):
        raise DivergedError(
            "Layers that were trained are missing from the saved adapter; it is not used."
        )
    broken = [name for name, tensor in saved.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise DivergedError(
            f"The trained adapter holds NaN or Inf in {len(broken)} of {len(saved)} tensors (first: {broken[0]}); "
            "lower train.lr."
        )
    if not any(bool(saved[name].any()) for name in saved if "lora_B" in name):
        raise DivergedError(
            "The trained adapter is zero: training changed nothing; raise train.lr."
        )
    if all(torch.equal(saved[name], start[name]) for name in start):
        raise DivergedError("Training left the adapter as it was before its first step.")
