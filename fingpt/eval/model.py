"""One model object, two variants: `tuned` with its adapter, `base` with the adapter switched off.

Both share the base weights, so that "base" really is the base and both are measured under one load. Only safetensors
and JSON are read from an adapter; nothing that could run code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import peft
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from fingpt import hardware
from fingpt.config import LoraConfig
from fingpt.errors import DataError, DivergedError
from fingpt.reading import Loading
from fingpt.weights.adapter import WEIGHTS, check_settings, peft_arguments, read_lora

Variant = Literal["base", "tuned"]
_ADAPTER_FILES = {".safetensors", ".json", ".md"}


def load(
    base: Path,
    adapter: Path,
    place: torch.device,
    kind: torch.dtype,
    lora: LoraConfig | None = None,
) -> PeftModel:
    """Base weights with the adapter of folder `adapter` on `place`; DataError when the two do not fit.

    `lora` is the run's own; the adapter's configuration file has to agree with it, and is not obeyed.
    """
    hardware.quiet_libraries()
    _spare_processor(place)
    config = adapter_config(adapter, lora)
    with Loading(f"The base in {base.name}", "bring the base weights again"):
        model: Any = AutoModelForCausalLM.from_pretrained(
            base,
            dtype=kind,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation="sdpa",
            trust_remote_code=False,
        )
    with Loading(f"The adapter for the base in {base.name}", "train it again"):
        tuned = peft.PeftModel(model.to(place), config)
        _set_weights(tuned, load_file(adapter / WEIGHTS), base.name)
    tuned.eval()
    return tuned


def _spare_processor(place: torch.device) -> None:
    """Leave this process one thread where a GPU computes: dozens are woken for each of a thousand small copies.

    Where the processor has other work, a model with its adapter takes seconds longer for that.
    """
    if place.type == "cuda":
        torch.set_num_threads(1)


def adapter_config(adapter: Path, lora: LoraConfig | None = None) -> peft.LoraConfig:
    """How the adapter of folder `adapter` is used; DataError when its files say otherwise, or could hold code."""
    alien = sorted(path.name for path in adapter.iterdir() if path.suffix not in _ADAPTER_FILES)
    if alien:
        raise DataError(
            f"The adapter holds {', '.join(alien)}; only safetensors and JSON files are loaded."
        )
    config = peft.LoraConfig(**peft_arguments(lora or read_lora(adapter)), inference_mode=True)
    check_settings(adapter, config.to_dict())  # type: ignore[no-untyped-call]
    return config


def _set_weights(model: PeftModel, saved: dict[str, torch.Tensor], base: str) -> None:
    """Put `saved` into the adapter; DataError unless they are all of its layers, with its shapes, and finite.

    PEFT itself warns of missing weights and leaves them at their random start.
    """
    own = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    check_weights(saved, {name: tuple(tensor.shape) for name, tensor in own.items()}, base)
    peft.set_peft_model_state_dict(model, saved)


def check_weights(
    saved: Mapping[str, torch.Tensor], shapes: Mapping[str, tuple[int, ...]], base: str
) -> None:
    """DataError unless an adapter's tensors `saved` are those of `shapes` and finite; `base`: its base's folder."""
    differ = sorted(set(saved) ^ set(shapes))
    if differ:
        raise DataError(
            f"The adapter has other layers than its base ({len(differ)} differ, first {differ[0][:100]}); it was "
            "trained on another base."
        )
    if any(tuple(saved[name].shape) != shape for name, shape in shapes.items()):
        raise DataError(
            f"The adapter does not fit the base in {base}: its weights have other shapes; train it again."
        )
    if not all(bool(torch.isfinite(tensor).all()) for tensor in saved.values()):
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
