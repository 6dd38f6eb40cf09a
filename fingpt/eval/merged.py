"""The weights of a base, plain or with an adapter added to them: name by name, as its files have them.

W + alpha/r · B A is summed in fp32 and rounded once, to the base's own dtype. That rounding is what tells a merged
model from one whose adapter is computed beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fingpt.config import LoraConfig
from fingpt.eval.model import check_weights
from fingpt.eval.weights_ahead import weights_ahead
from fingpt.weights.adapter import WEIGHTS

_PREFIX = "base_model.model."


def merged_weights(
    base: Path, adapter: Path, lora: LoraConfig, place: torch.device
) -> Iterator[tuple[str, torch.Tensor]]:
    """`weights_ahead` with the adapter of folder `adapter` added; DataError at once when the two do not fit."""
    saved = load_file(adapter / WEIGHTS, device=str(place))
    check_weights(saved, _shapes(base, lora), base.name)
    scale = lora.alpha / lora.r

    def found() -> Iterator[tuple[str, torch.Tensor]]:
        for name, weight in weights_ahead(base, place):
            down, up = (saved.get(key) for key in _pair(name))
            if down is None or up is None:
                yield name, weight
                continue
            more = up.float() @ down.float()
            yield name, (weight.float() + more * scale).to(weight.dtype)

    return found()


def _pair(name: str) -> tuple[str, str]:
    """PEFT's names of A and B for the base's weight `name`."""
    layer = _PREFIX + name.removesuffix(".weight")
    return f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"


def _shapes(base: Path, lora: LoraConfig) -> dict[str, tuple[int, ...]]:
    """What an adapter for `base` has to hold."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as held:
            for name in held.keys():  # noqa: SIM118 - it is no dict
                if name.removesuffix(".weight").endswith(lora.targets):
                    outputs, inputs = held.get_slice(name).get_shape()
                    down, up = _pair(name)
                    found |= {down: (lora.r, inputs), up: (outputs, lora.r)}
    return found
