"""One model object, two variants: `tuned` with its adapter, `base` with the adapter switched off.

Both share the base weights, so that "base" really is the base and both are measured under one load. Only safetensors
and JSON are read from an adapter; nothing that could run code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

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
    disable_progress_bar()  # type: ignore[no-untyped-call]  # no lines of a log, and over in a second
    model: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=kind, local_files_only=True, use_safetensors=True, attn_implementation="sdpa"
    )
    try:
        with warnings.catch_warnings():
            # peft 0.21 asks transformers 5 by a name that it is about to drop.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # refused below
            tuned = PeftModel.from_pretrained(model.to(place), str(adapter), is_trainable=False)
    except (RuntimeError, ValueError, KeyError, TypeError) as fault:
        raise DataError(
            f"The adapter does not fit the base in {base.name}: {str(fault).splitlines()[0][:200]}; train it again."
        ) from None
    _check_loaded(tuned, adapter)
    tuned.eval()
    return tuned


def _check_loaded(tuned: PeftModel, adapter: Path) -> None:
    """DataError unless every weight of the file is in the model, none is missing there, and all are finite.

    PEFT itself warns of missing weights and leaves them at their random start.
    """
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        saved = set(file.keys())
    state = get_peft_model_state_dict(tuned, save_embedding_layers=False)
    differ = sorted(saved ^ set(state))
    if differ:
        raise DataError(
            f"The adapter has other layers than its base ({len(differ)} differ, first {differ[0][:100]}); it was "
            "trained on another base."
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
        raise DataError("The adapter holds NaN or Inf; train it again.")


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
