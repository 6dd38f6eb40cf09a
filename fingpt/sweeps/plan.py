"""The plan of a grid or random search: which settings trial n has, the same for every model. Pure.

A grid is walked in the order of the file: the last parameter changes fastest. Random points are drawn one after the
other from a generator of the definition's seed, and no point twice.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from random import Random

from fingpt.errors import ConfigError
from fingpt.sweeps.definition import Parameter, Settings, SweepDefinition, Value
from fingpt.sweeps.keys import is_integer
from fingpt.sweeps.space import edges, every_point, finite_size, number

_DRAWS = 50  # per trial; a finite space that is nearly used up is hit ever more rarely


def check_count(definition: SweepDefinition) -> None:
    """ConfigError when a sampler is to draw more points than the space has."""
    size = finite_size(definition.space)
    if definition.method != "grid" and size is not None and definition.count > size:
        raise ConfigError(
            f"trials is {definition.count}, but space has {size} points; set trials to {size} at most, or use method: "
            "grid."
        )


def plan(definition: SweepDefinition) -> tuple[Settings, ...]:
    """Settings of every trial, by number; ConfigError for a method whose points depend on what trials have found."""
    return _plan(definition.model_dump_json())


@lru_cache(maxsize=4)
def _plan(encoded: str) -> tuple[Settings, ...]:
    definition = SweepDefinition.model_validate_json(encoded)
    if definition.method == "tpe":
        raise ConfigError(
            "A search by tpe has no plan: each of its points follows from what was found."
        )
    if definition.method == "grid":
        options = [edges(each, grid=True) for each in definition.space]
        return tuple(itertools.islice(map(_joined, itertools.product(*options)), definition.count))
    return tuple(_drawn(definition))


def _drawn(definition: SweepDefinition) -> list[Settings]:
    generator = Random(definition.seed)
    found: dict[tuple[tuple[str, Value], ...], Settings] = {}
    for _ in range(_DRAWS * definition.count):
        if len(found) == definition.count:
            break
        point = _joined(_draw(each, generator) for each in definition.space)
        found.setdefault(tuple(point.items()), point)
    else:
        for point in every_point(definition.space):
            if len(found) == definition.count:
                break
            found.setdefault(tuple(point.items()), point)
    return list(found.values())


def _draw(parameter: Parameter, generator: Random) -> Settings:
    if parameter.range is None:
        return generator.choice(parameter.choices)
    if not is_integer(parameter.name):
        return {parameter.name: number(parameter.range, generator.random(), whole=False)}
    # Half a step beyond both ends, so that these are drawn as often as others.
    span = parameter.range
    wide = span.model_copy(update={"low": span.low - 0.5, "high": span.high + 0.5})
    if span.log:
        wide = wide.model_copy(update={"low": max(wide.low, 0.5)})
    value = min(max(number(wide, generator.random(), whole=True), int(span.low)), int(span.high))
    return {parameter.name: value}


def _joined(parts: object) -> Settings:
    return {key: value for part in parts for key, value in part.items()}  # type: ignore[attr-defined]
