"""One model object, two variants: `tuned` with its adapter, `base` with the adapter switched off.

Both share the base weights, so that "base" really is the base and both are measured under one load. Only safetensors
and JSON are read from an adapter; nothing that could run code.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from fingpt import hardware
from fingpt.errors import DataError, DivergedError

Variant = Literal["base", "tuned"]
_ADAPTER_FILES = {".safetensors", ".json", ".md"}


def load(base: Path, adapter: Path, place: torch.device, kind: torch.dtype) -> PeftModel:
    """Base weights with the adapter of folder `adapter` on `place`; DataError when the two do not fit."""
    alien = sorted(path.name for path in adapter.iterdir() if path.suffix not in _ADAPTER_FILES)
    if alien:
        raise DataError(
            f"The adapter holds {', '.join(alien)}; only safetensors and JSON files are loaded."
        )
    hardware.quiet_libraries()
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=kind, local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
    )
    try:
        tuned = PeftModel.from_pretrained(model.to(place), str(adapter), is_trainable=False)
    except (RuntimeError, ValueError, KeyError, TypeError) as fault:
        raise DataError(
            f"The adapter does not fit the base in {base.name}: {str(fault).splitlines()[0][:200]}; train it again."
        ) from None
    tuned.eval()
    return tuned


@contextmanager
def active(model: PeftModel, variant: Variant) -> Iterator[Any]:
    """The causal language model of `variant`, for as long as the block lasts."""
    if variant == "tuned":
        yield model.get_base_model()
        return
    with model.disable_adapter():
        yield model.get_base_model()


@contextmanager
def translate_out_of_memory(batch_size: int) -> Iterator[None]:
    """Turn an out-of-memory error of the GPU into one sentence."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise DivergedError(
            f"Out of GPU memory with eval.batch_size={batch_size} on {torch.cuda.get_device_name()}; "
            "submit the run again with a smaller one, such as SET=eval.batch_size="
            f"{max(1, batch_size // 2)}."
        ) from None
