"""What a run sets otherwise than the file of its configuration: `SET` as it would have to be written. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from fingpt.config import RunConfig

Configurations = Sequence[tuple[str, RunConfig]]
"""Named configurations, as jobs/configs has them."""

# Shown in columns of their own, or following from DATA: a file allows the leaks of the rows that it names.
_ELSEWHERE = {"model", "seed", "prep.source", "prep.origin", "prep.allow_leaks"}


def differences(config: RunConfig, configurations: Configurations) -> str:
    """`train.lr=0.0002 train.epochs=1.0`: against the file of that model that differs least.

    Of files that differ equally, that which has the model's name; another one is named first, as `llama31-report:`.
    Empty where no file is of that model.
    """
    own = dict(_flat(config.model_dump(mode="json")))
    best: tuple[int, bool, str] | None = None
    text = ""
    for name, known in configurations:
        if known.model != config.model:
            continue
        other = dict(_flat(known.model_dump(mode="json")))
        differing = sorted(
            key for key in own.keys() | other.keys() if own.get(key) != other.get(key)
        )
        rank = (len(differing), name != config.model, name)
        if best is None or rank < best:
            best = rank
            words = [f"{key}={_value(own.get(key))}" for key in differing]
            text = " ".join([f"{name}:", *words] if name != config.model else words)
    return text


def _flat(data: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        path = f"{before}{key}"
        if path in _ELSEWHERE:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{path}.")
        else:
            yield path, value


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
