"""The weights of an adapter that was trained elsewhere: LoRA pairs of a Llama's linear layers, by the header."""

from __future__ import annotations

import re
from pathlib import Path

from fingpt.config import LoraConfig
from fingpt.errors import DataError

WEIGHTS = "adapter_model.safetensors"

_TENSOR = re.compile(
    r"base_model\.model\.model\.layers\.(\d{1,4})\.(?:self_attn|mlp)\.(\w+)\.lora_([AB])\.weight"
)
_LFS = b"version https://git-lfs"
_KINDS = ("F32", "F16", "BF16")


def check_tensors(path: Path, lora: LoraConfig, source: str) -> None:
    """DataError unless the weights are LoRA pairs of the rank and layers that the configuration names, all of them."""
    from safetensors import SafetensorError, safe_open

    found: dict[tuple[int, str, str], list[int]] = {}
    with path.open("rb") as weights:
        if weights.read(len(_LFS)) == _LFS:
            raise DataError(
                f"{WEIGHTS} of {source} is a Git LFS pointer and not the file itself; bring the file: git lfs pull."
            )
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                match, part = _TENSOR.fullmatch(name), file.get_slice(name)
                if match is None or part.get_dtype() not in _KINDS:
                    raise DataError(
                        f"{WEIGHTS} of {source} holds '{name[:100]}' ({part.get_dtype()}), which is no LoRA weight "
                        "of a linear layer of a Llama."
                    )
                found[int(match[1]), match[2], match[3]] = part.get_shape()
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{WEIGHTS} of {source} is no safetensors file: {str(error)[:120]}."
        ) from None
    layers = 1 + max((layer for layer, _, _ in found), default=-1)
    wanted = {(n, t, ab) for n in range(layers) for t in lora.targets for ab in "AB"}
    if not found or set(found) != wanted:
        layer, target, side = min(set(found) ^ wanted, default=(0, lora.targets[0], "A"))
        word = "lacks" if (layer, target, side) in wanted or not found else "has"
        raise DataError(
            f"{WEIGHTS} of {source} {word} lora_{side} of {target} in layer {layer}, other than target_modules says."
        )
    if any(0 in shape for shape in found.values()):
        raise DataError(
            f"{WEIGHTS} of {source} holds no numbers (tensors of size 0): it was saved while DeepSpeed ZeRO 3 had "
            "spread them over its ranks; save it again with stage3_gather_16bit_weights_on_model_save."
        )
    for (layer, target, side), shape in sorted(found.items()):
        if len(shape) != 2 or shape[0 if side == "A" else 1] != lora.r:
            raise DataError(
                f"{WEIGHTS} of {source}: lora_{side} of {target} in layer {layer} has the shape {shape}, which is not "
                f"rank {lora.r}."
            )
