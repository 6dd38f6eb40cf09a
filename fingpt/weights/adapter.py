"""What an adapter's configuration file says, compared with what it must say: PEFT's own reading of it is not used.

`adapter_config.json` can hold patterns, other layers, and settings that change what a model computes. The configuration
is built from the run; the file of a stored adapter has to say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fingpt.config import LoraConfig
from fingpt.errors import DataError, MissingInputError
from fingpt.models import ModelSpec
from fingpt.reading import Unreadable, first_fault, parse_object
from fingpt.storage.files import translate_os_errors

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

_CONFIG_BYTES = 1 << 20

# What says where the adapter came from, and not what it computes. The base is checked by `check_base`.
_ORIGIN = frozenset(
    "base_model_name_or_path revision peft_version inference_mode auto_mapping".split()
)


def peft_arguments(lora: LoraConfig) -> dict[str, Any]:
    """The arguments of `peft.LoraConfig` for a run's adapter; all else keeps PEFT's default."""
    return {
        "r": lora.r,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": list(lora.targets),
        "bias": "none",
        "task_type": "CAUSAL_LM",
    }


def read_settings(folder: Path) -> dict[str, Any]:
    """The configuration file of the adapter in `folder`; MissingInputError where there is none."""
    path = folder / CONFIG
    if not path.is_file():
        raise MissingInputError(f"{folder} holds no adapter: {CONFIG} is missing.")
    with translate_os_errors(path):
        if path.stat().st_size > _CONFIG_BYTES:
            raise DataError(f"{path} is far too long for the configuration of an adapter.")
        data = path.read_bytes()
    try:
        return parse_object(data)
    except Unreadable as fault:
        raise DataError(f"{path} {fault}; it is no PEFT configuration.") from None


def read_lora(folder: Path) -> LoraConfig:
    """Rank, scale and layers of an adapter whose run is not known; DataError for layers that are no list of Llama's."""
    stored = read_settings(folder)
    names = {
        "r": "r",
        "alpha": "lora_alpha",
        "dropout": "lora_dropout",
        "targets": "target_modules",
    }
    try:
        return LoraConfig.model_validate({ours: stored.get(key) for ours, key in names.items()})
    except ValidationError as fault:
        raise DataError(
            f"{folder / CONFIG} describes no adapter that is used here ({first_fault(fault)}); ranks of linear layers "
            "by name are."
        ) from None


def check_base(folder: Path, spec: ModelSpec) -> None:
    """DataError unless the adapter in `folder` was trained on `spec`'s base at its revision."""
    settings = read_settings(folder)
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    if not isinstance(base, str) or not isinstance(revision, str):
        raise DataError(f"{folder / CONFIG} is no PEFT configuration with a base model.")
    if (base, revision) != (spec.base, spec.revision):
        raise DataError(
            f"The adapter was trained on {base[:100]}@{revision[:60]}, not on {spec.base}@{spec.revision}; "
            "an adapter only fits the base it was trained on."
        )


def check_settings(folder: Path, expected: Mapping[str, Any]) -> None:
    """DataError when the file of the adapter in `folder` says anything else than `expected`, PEFT's view of the run.

    A key that this version of PEFT does not know must be unset; one that the file lacks has its default.
    """
    stored = read_settings(folder)
    for key in sorted(stored.keys() - _ORIGIN):
        if _comparable(stored[key]) != _comparable(expected.get(key)):
            raise DataError(
                f"{CONFIG} of the adapter says {key} = {str(stored[key])[:80]!r} where the run has "
                f"{str(expected.get(key))[:80]!r}; it was changed or belongs to another run: train it again."
            )


def _comparable(value: Any) -> Any:
    """A value as it compares: enumerations by their value, lists and sets without order, unset in any form as None."""
    value = getattr(value, "value", value)
    if value is False or (isinstance(value, list | dict | tuple | set) and not value):
        return None
    return sorted(map(str, value)) if isinstance(value, list | tuple | set) else value
