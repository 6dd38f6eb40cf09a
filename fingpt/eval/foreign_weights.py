"""The weights of an adapter that was trained elsewhere: LoRA pairs of a Llama's linear layers, of numbers that a model
can compute with.

Names and shapes are read from the header, numbers a piece at a time, so that memory does not grow with the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from fingpt.config import LoraConfig
from fingpt.errors import DataError
from fingpt.eval.base_sizes import BaseSizes

WEIGHTS = "adapter_model.safetensors"

_TENSOR = re.compile(
    r"base_model\.model\.model\.layers\.(\d{1,4})\."
    r"(?:self_attn\.([qkvo]_proj)|mlp\.(gate_proj|up_proj|down_proj))\.lora_([AB])\.weight"
)
_LFS = b"version https://git-lfs"
_READ_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}  # numpy has no bf16
_MOST = 2.0**64
"""From here on a square is more than fp32 and bf16 can hold. A layer multiplies what its adapters add by its like
(queries by keys, values by o_proj), and all is NaN.
"""
_PIECE = 8 << 20  # bytes

Name = tuple[int, str, str]
"""Layer, target and side (A or B) of a tensor."""


def check_tensors(path: Path, lora: LoraConfig, source: str, base: BaseSizes | None = None) -> None:
    """DataError unless the weights are LoRA pairs of the rank and layers that the configuration names, all numbers are
    finite, and what a pair adds to its layer is less than _MOST.

    `base`: of the model they are for, whose layers and sizes they have to have; None where the base is not there yet,
    and then evaluation finds out when it loads both.
    """
    _refuse_pointer(path, source)
    found = _header(path, source)
    if not found or any(0 in shape for shape in found.values()):
        raise DataError(
            f"{WEIGHTS} of {source} holds no numbers (no tensors, or some of size 0): it was saved while DeepSpeed "
            "ZeRO 3 had spread them over its ranks; save it again with stage3_gather_16bit_weights_on_model_save."
        )
    _check_names(found, lora, source, base)
    for (layer, target, side), shape in sorted(found.items()):
        if len(shape) != 2 or shape[0 if side == "A" else 1] != lora.r:
            raise DataError(
                f"{WEIGHTS} of {source}: lora_{side} of {target} in layer {layer} has the shape {shape}, which is not "
                f"rank {lora.r}."
            )
        size = shape[1 if side == "A" else 0]
        if base and size != base.of(target, side):
            raise DataError(
                f"{WEIGHTS} of {source}: lora_{side} of {target} in layer {layer} has the shape {shape}, and the base "
                f"has {base.of(target, side)} there: it was trained on another base."
            )
    _check_numbers(path, source, lora.alpha / lora.r)


def _refuse_pointer(path: Path, source: str) -> None:
    with path.open("rb") as weights:
        if weights.read(len(_LFS)) == _LFS:
            raise DataError(
                f"{WEIGHTS} of {source} is a Git LFS pointer and not the file itself; bring the file: git lfs pull."
            )


def _header(path: Path, source: str) -> dict[Name, list[int]]:
    """The shape of each tensor."""
    from safetensors import SafetensorError, safe_open

    found: dict[Name, list[int]] = {}
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                match, part = _TENSOR.fullmatch(name), file.get_slice(name)
                if match is None or part.get_dtype() not in _READ_AS:
                    raise DataError(
                        f"{WEIGHTS} of {source} holds '{name[:100]}' ({part.get_dtype()}), which is no LoRA weight "
                        "of a linear layer of a Llama."
                    )
                found[_name(match)] = part.get_shape()
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{WEIGHTS} of {source} is no safetensors file: {str(error)[:120]}."
        ) from None
    return found


def _check_names(
    found: Mapping[Name, list[int]],
    lora: LoraConfig,
    source: str,
    base: BaseSizes | None,
) -> None:
    """DataError unless each layer has both sides of each target, and the layers are those of the base."""
    layers = 1 + max(layer for layer, _, _ in found)
    wanted = {(n, t, ab) for n in range(layers) for t in lora.targets for ab in "AB"}
    if set(found) != wanted:
        layer, target, side = min(set(found) ^ wanted)
        word = "lacks" if (layer, target, side) in wanted else "has"
        raise DataError(
            f"{WEIGHTS} of {source} {word} lora_{side} of {target} in layer {layer}, other than target_modules says."
        )
    if base and layers != base.num_hidden_layers:
        raise DataError(
            f"{WEIGHTS} of {source} is for {layers} layers, and the base has {base.num_hidden_layers}: it was trained "
            "on another base, or on a part of its layers alone, which is not supported."
        )


def _check_numbers(path: Path, source: str, scale: float) -> None:
    """DataError where a file whose header was checked holds NaN or Inf, or a pair that adds _MOST or more."""
    norms: dict[Name, float] = {}
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for name, tensor in header.items():
            first, end = tensor["data_offsets"]
            file.seek(8 + length + first)
            norm = _norm(file, end - first, _READ_AS[tensor["dtype"]])
            if not math.isfinite(norm):
                raise DataError(
                    f"'{name}' in {WEIGHTS} of {source} holds NaN or Inf; train it again."
                )
            if match := _TENSOR.fullmatch(name):
                norms[_name(match)] = norm
    for layer, target in sorted({each[:2] for each in norms}):
        added = scale * norms[layer, target, "A"] * norms[layer, target, "B"]
        if added >= _MOST:
            raise DataError(
                f"{WEIGHTS} of {source}: what lora_A and lora_B of {target} in layer {layer} add is as large as "
                f"{added:.0e}, and no model can compute with more than {_MOST:.0e}: it was scaled or is damaged."
            )


def _name(match: re.Match[str]) -> Name:
    return int(match[1]), match[2] or match[3], match[4]


def _norm(file: BinaryIO, size: int, kind: str) -> float:
    """The root of the sum of squares of the next `size` bytes, which is not finite where a number is not."""
    import numpy as np

    total = 0.0
    with np.errstate(all="ignore"):  # of NaN and Inf, which the sum tells
        while size and (piece := file.read(min(size, _PIECE))):
            size -= len(piece)
            found = np.frombuffer(piece, kind)
            if kind == "<u2":  # the upper half of an fp32
                found = (found.astype("<u4") << 16).view("<f4")
            numbers = found.astype(np.float64)
            total += float(numbers @ numbers)
    return math.sqrt(total) if total >= 0 else math.nan
