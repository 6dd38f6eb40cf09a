"""Whether a space fits a configuration: that each of its points is one. Pure.

Which settings may be searched is keys.py's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fingpt.config import RunConfig
from fingpt.conflicts import TrainSettings
from fingpt.errors import ConfigError
from fingpt.overrides import joined
from fingpt.sweeps.definition import Parameter, Range, Settings, SweepDefinition, Value
from fingpt.sweeps.keys import is_integer, key_fault, kinds_of
from fingpt.sweeps.sweep import with_settings

MOST_CORNERS = 20_000

_CROSSING = frozenset(
    f"train.{name}" for name, kind in vars(TrainSettings).items() if isinstance(kind, property)
)
"""Settings that rules look at together (fingpt/conflicts.py): any of their combinations may be the one refused."""


def check_space(
    definition: SweepDefinition,
    config: RunConfig,
    more: Callable[[RunConfig], None] = lambda _: None,
) -> None:
    """ConfigError, with everything that is wrong, unless every key may be searched and every point is a configuration.

    All points of a grid are tried; of other spaces every combination of ends and choices, or, where those are more
    than MOST_CORNERS, every combination of the settings that exclude each other, and of any two parameters. `more`
    raises ConfigError for a configuration that this search cannot have.
    """
    faults = [fault for each in definition.space for key in each.keys if (fault := key_fault(key))]
    if not faults:
        faults = list(filter(None, map(_range_fault, definition.space)))
    if faults:
        raise ConfigError(f"space: {joined(faults)}")
    for settings in _corners(definition):
        more(with_settings(config, settings))


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
    """The value `share` (0 to 1) of the way through a range, as `said` says it."""
    return said(span, span.at(share), whole=whole)


def said(span: Range, value: float, *, whole: bool) -> float | int:
    """A value of a range as a setting: six digits are enough to say it, and within the ends."""
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


def every_point(space: Sequence[Parameter]) -> Iterator[Settings]:
    """All points of a space that has a `finite_size`, in order: the last parameter changes fastest."""
    yield from _combined(
        list(each.choices)
        if each.range is None
        else [{each.name: n} for n in range(int(each.range.low), int(each.range.high) + 1)]
        for each in space
    )


def differing(config: RunConfig, settings: Settings) -> dict[str, Value]:
    """Those of `settings` that `config` has other values for."""
    plain = config.model_dump(mode="json")

    def now(key: str) -> Any:
        node: Any = plain
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return tuple(node) if isinstance(node, list) else node

    return {key: value for key, value in settings.items() if now(key) != value}


def _range_fault(parameter: Parameter) -> str:
    span, name = parameter.range, parameter.name
    if span is None:
        return ""
    if not kinds_of(name) & {int, float}:
        return f"'{name}' is no number, so it has no range; name its values in a list"
    if not is_integer(name):
        return ""
    if not (span.low.is_integer() and span.high.is_integer()):
        return f"'{name}' is a whole number, and its range goes from {span.low:g} to {span.high:g}; give whole numbers"
    points = edges(parameter, grid=True)
    if span.points and len({each[name] for each in points}) < len(points):
        return (
            f"'{name}' has no {span.points} different whole numbers at equal distances between {span.low:g} and "
            f"{span.high:g}; give fewer points, or a list"
        )
    return ""


def _corners(definition: SweepDefinition) -> Iterator[Settings]:
    options = [edges(each, definition.method == "grid") for each in definition.space]
    if math.prod(map(len, options)) <= MOST_CORNERS:
        yield from _combined(options)
        return
    # Each corner is a whole point of the space: the other parameters have their first values.
    crossing = [n for n, each in enumerate(definition.space) if not _CROSSING.isdisjoint(each.keys)]
    if math.prod(len(options[n]) for n in crossing) <= MOST_CORNERS:
        yield from _points(options, crossing)
    for pair in itertools.combinations(range(len(options)), min(2, len(options))):
        yield from _points(options, pair)


def _points(options: Sequence[list[Settings]], free: Sequence[int]) -> Iterator[Settings]:
    """Points whose parameters of the numbers `free` take all of their values, the others their first."""
    yield from _combined(choices if n in free else choices[:1] for n, choices in enumerate(options))


def _combined(options: Iterable[list[Settings]]) -> Iterator[Settings]:
    for combination in itertools.product(*options):
        yield {key: value for each in combination for key, value in each.items()}
