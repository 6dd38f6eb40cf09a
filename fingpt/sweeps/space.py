"""Whether a space fits a configuration: which settings may be searched, and that each of its points is one.

Pure. A search changes the training and nothing else: rows, split, seed and scoring are the same for all of its trials,
or their values could not be compared.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import ConfigError, nearest
from fingpt.sweeps.definition import Parameter, Range, Settings, SweepDefinition, Value
from fingpt.sweeps.sweep import with_settings

MOST_CORNERS = 20_000

_REFUSED = {
    "model": "a sweep takes models by MODEL or MODELS, each with the same trials",
    "seed": "trials keep the configuration's seed, and final_seeds trains the chosen setting with others",
    "prep": "all trials learn from the same rows and are measured on the same validation rows",
    "eval": "a trial is measured by the objective alone",
    "compare": "a report's question is no setting of a training",
    "train.processes": "it says how many GPUs a training has; set it in the configuration, for all trials alike",
    "train.nodes": "it says how many machines a training has; set it in the configuration, for all trials alike",
}


def check_space(definition: SweepDefinition, config: RunConfig) -> None:
    """ConfigError unless every key may be searched and every point is a configuration.

    All points of a grid are tried; of other spaces every combination of ends and choices, or, where those are more
    than MOST_CORNERS, every combination of any two parameters.
    """
    for parameter in definition.space:
        for key in parameter.keys:
            _check_key(key)
        _check_range(parameter)
    options = [edges(each, definition.method == "grid") for each in definition.space]
    for settings in _corners(options):
        with_settings(config, settings)


def edges(parameter: Parameter, grid: bool) -> list[Settings]:
    """All choices of a parameter; of a range its points in a `grid`, else its ends."""
    if parameter.range is None:
        return list(parameter.choices)
    points = parameter.range.points if grid and parameter.range.points else 2
    whole = is_integer(parameter.name)
    return [
        {parameter.name: number(parameter.range, n / (points - 1), whole=whole)}
        for n in range(points)
    ]


def number(span: Range, share: float, *, whole: bool) -> float | int:
    """The value `share` (0 to 1) of the way through a range: six digits are enough to say it, and within the ends."""
    value = span.at(share)
    if whole:
        return round(value)
    return min(max(float(f"{value:.6g}"), span.low), span.high)


def distinct(parameter: Parameter) -> int | None:
    """How many values a parameter has; None for endlessly many."""
    if parameter.range is None:
        return len(parameter.choices)
    return (
        int(parameter.range.high - parameter.range.low) + 1 if is_integer(parameter.name) else None
    )


def finite_size(space: Sequence[Parameter]) -> int | None:
    """How many points a space has for a sampler that draws them; None for endlessly many."""
    sizes = [distinct(each) for each in space]
    return None if None in sizes else math.prod(each for each in sizes if each)


def is_integer(key: str) -> bool:
    """Whether a setting is a whole number; ConfigError when there is none of that name."""
    kinds = _kinds(_annotation(key))
    return int in kinds and float not in kinds


def settings_of_training() -> list[str]:
    """Every key that may be searched."""
    return [key for key in _leaves(TrainConfig, "train") if key not in _REFUSED]


def differing(config: RunConfig, settings: Settings) -> dict[str, Value]:
    """Those of `settings` that `config` has other values for."""
    plain = config.model_dump(mode="json")

    def now(key: str) -> Any:
        node: Any = plain
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return tuple(node) if isinstance(node, list) else node

    return {key: value for key, value in settings.items() if now(key) != value}


def _check_key(key: str) -> None:
    for refused, why in _REFUSED.items():
        if key == refused or key.startswith(f"{refused}."):
            raise ConfigError(f"space: '{key}' cannot be searched: {why}.")
    known = settings_of_training()
    if key not in known:
        raise ConfigError(f"space: '{key}' is no setting; {nearest(key, known)}")


def _check_range(parameter: Parameter) -> None:
    span = parameter.range
    if span is None:
        return
    kinds = _kinds(_annotation(parameter.name))
    if not kinds & {int, float}:
        raise ConfigError(
            f"space: '{parameter.name}' is no number, so it has no range; name its values in a list."
        )
    if not is_integer(parameter.name):
        return
    if not (span.low.is_integer() and span.high.is_integer()):
        raise ConfigError(
            f"space: '{parameter.name}' is a whole number, and its range goes from {span.low:g} to {span.high:g}; give "
            "whole numbers."
        )
    points = edges(parameter, grid=True)
    if span.points and len({each[parameter.name] for each in points}) < len(points):
        raise ConfigError(
            f"space: '{parameter.name}' has no {span.points} different whole numbers at equal distances between "
            f"{span.low:g} and {span.high:g}; give fewer points, or a list."
        )


def _corners(options: Sequence[list[Settings]]) -> Iterator[Settings]:
    if math.prod(map(len, options)) <= MOST_CORNERS or len(options) == 1:
        yield from _combined(options)
        return
    for pair in itertools.combinations(options, 2):
        yield from _combined(pair)


def _combined(options: Iterable[list[Settings]]) -> Iterator[Settings]:
    for combination in itertools.product(*options):
        yield {key: value for each in combination for key, value in each.items()}


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _leaves(kind, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}"


def _annotation(key: str) -> Any:
    node: Any = RunConfig
    for part in key.split("."):
        fields = getattr(node, "model_fields", {})
        if part not in fields:
            raise ConfigError(
                f"space: '{key}' is no setting; {nearest(key, settings_of_training())}"
            )
        node = fields[part].annotation
    return node


def _kinds(annotation: Any) -> set[type]:
    """The plain types in an annotation: int, float, str, bool; those of literals are their values'."""
    if isinstance(annotation, type):
        return {annotation}
    parts = get_args(annotation)
    if not parts:
        return {type(annotation)}
    return set().union(*(_kinds(part) for part in parts))
