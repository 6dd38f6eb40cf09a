"""Which settings may be searched, and what kind of value each of them takes. Pure.

A search changes the training and nothing else: rows, split, seed and scoring are the same for all of its trials, or
their values could not be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import ConfigError, nearest
from fingpt.overrides import synonym

_REFUSED = {
    "model": "a sweep takes models by MODEL or MODELS, each with the same trials",
    "seed": "trials keep the configuration's seed, and final_seeds trains the chosen setting with others",
    "prep": "all trials learn from the same rows and are measured on the same validation rows",
    "eval": "a trial is measured by the objective alone",
    "compare": "a report's question is no setting of a training",
    "train.processes": "it says how many GPUs a training has; set it in the configuration, for all trials alike",
    "train.nodes": "each trial trains on one node; take it out, and set train.processes to the GPUs of a node",
}


def settings_of_training() -> list[str]:
    """Every key that may be searched."""
    return [key for key in _leaves(TrainConfig, "train") if key not in _REFUSED]


def key_fault(key: str) -> str:
    """Why `key` cannot be searched, with the nearest that can; empty when it can."""
    for refused, why in _REFUSED.items():
        if key == refused or key.startswith(f"{refused}."):
            return f"'{key}' cannot be searched: {why}"
    known = settings_of_training()
    if key in known:
        return ""
    within = [name for name in known if name.startswith(f"{key}.")]
    if within:
        return f"'{key}' is a section, and a setting in it is expected: {', '.join(within)}"
    meant = synonym(key, RunConfig)
    hint = f"did you mean '{meant}'?" if meant in known else nearest(key, known)
    return f"'{key}' is no setting; {hint}"


def kinds_of(key: str) -> set[type]:
    """The plain types that a setting takes: int, float, str, bool; ConfigError when there is none of that name."""
    node: Any = RunConfig
    for part in key.split("."):
        fields = getattr(node, "model_fields", {})
        if part not in fields:
            raise ConfigError(f"space: {key_fault(key)}")
        node = fields[part].annotation
    return _kinds(node)


def is_integer(key: str) -> bool:
    """Whether a setting is a whole number; ConfigError when there is none of that name."""
    kinds = kinds_of(key)
    return int in kinds and float not in kinds


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}"


def _kinds(annotation: Any) -> set[type]:
    """The plain types in an annotation; those of literals are their values'."""
    if isinstance(annotation, type):
        return {annotation}
    parts = get_args(annotation)
    if not parts:
        return {type(annotation)}
    return set().union(*(_kinds(part) for part in parts))
