"""Where a setting lies on each parameter of a space: as words, and as a number for axes. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fingpt.config import RunConfig
from fingpt.models import MODELS
from fingpt.record import Frozen
from fingpt.report.titles import settings as all_settings
from fingpt.report.titles import short
from fingpt.sweeps.definition import Parameter, Settings, SweepDefinition, Value


@dataclass(frozen=True)
class Axis:
    """One parameter as an axis. `choices`: their words, in the file's order; empty for a range."""

    parameter: Parameter
    name: str
    choices: tuple[str, ...]

    def with_choices(self) -> Axis:
        """The axis with the words of its choices."""
        return replace(self, choices=tuple(self.words(choice) for choice in self.parameter.choices))

    @property
    def log(self) -> bool:
        """Whether the values are spread evenly in their logarithms."""
        if self.parameter.range:
            return self.parameter.range.log
        values = self.numbers()
        return bool(values) and min(values) > 0 and max(values) >= 8 * min(values)

    def numbers(self) -> tuple[float, ...]:
        """The numbers that it takes, ends of a range included; empty where it takes anything else."""
        if self.parameter.range:
            return self.parameter.range.low, self.parameter.range.high
        if len(self.parameter.keys) > 1:
            return ()
        values = [choice[self.parameter.keys[0]] for choice in self.parameter.choices]
        plain = [
            float(value)
            for value in values
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        return tuple(plain) if len(plain) == len(values) else ()

    def number(self, settings: Mapping[str, Value]) -> float | None:
        """A setting's value, where the axis takes numbers."""
        value = settings.get(self.parameter.keys[0])
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if numeric and self.numbers() else None  # type: ignore[arg-type]

    def index(self, settings: Mapping[str, Value]) -> int | None:
        """Which choice a setting takes, None for none of them."""
        mine = {key: settings.get(key) for key in self.parameter.keys}
        choices = list(self.parameter.choices)
        return choices.index(mine) if mine in choices else None

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that it sets, in the order in which a configuration has them: records hold them sorted."""
        order = list(all_settings(RunConfig(model=next(iter(MODELS)))))
        return tuple(sorted(self.parameter.keys, key=order.index))

    def words(self, settings: Mapping[str, Value]) -> str:
        """A setting's value as people write it; numbers of a range in three digits."""
        return _words({key: settings.get(key) for key in self.keys})

    def share(self, settings: Mapping[str, Value]) -> float | None:
        """How far along the axis a setting lies, 0 to 1; None where it lies outside."""
        if not self.parameter.range:
            index = self.index(settings)
            return None if index is None else index / max(len(self.choices) - 1, 1)
        value, (low, high) = self.number(settings), self.numbers()
        if value is None or not low <= value <= high:
            return None
        if self.log:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)


def axes(definition: SweepDefinition) -> tuple[Axis, ...]:
    """The parameters of a space, in the file's order."""
    return tuple(
        Axis(
            parameter=parameter,
            name=parameter.name.removeprefix("train."),
            choices=(),
        ).with_choices()
        for parameter in definition.space
    )


def in_order(settings: Mapping[str, Value], space: Sequence[Axis]) -> Settings:
    """The settings in the order of the space."""
    return {key: settings[key] for axis in space for key in axis.keys if key in settings}


def brief(value: Value) -> str:
    """A value in at most three digits, which is finer than any search can tell."""
    return short(float(f"{value:.3g}") if isinstance(value, float) else value)


def default_settings(config: Frozen, space: Sequence[Axis]) -> Settings:
    """What the configuration itself has for every key of the space."""
    every = all_settings(config)
    return {key: every[key] for axis in space for key in axis.keys}


def rate_axis(space: Sequence[Axis]) -> Axis | None:
    """The axis that a loss is drawn over: the learning rate, else the first one of numbers; None without any."""
    numeric = [axis for axis in space if axis.numbers()]
    rates = [axis for axis in numeric if axis.parameter.name == "train.lr"]
    return next(iter([*rates, *numeric]), None)


def second_axis(space: Sequence[Axis], first: Axis) -> Axis | None:
    """The axis that tells points apart: the rank, alone or with others, else the next one; None where there is none."""
    others = [axis for axis in space if axis is not first]
    ranks = [axis for axis in others if "train.lora.r" in axis.parameter.keys]
    return next(iter([*ranks, *others]), None)


def _words(choice: Mapping[str, Value]) -> str:
    if len(choice) == 1:
        return brief(next(iter(choice.values())))
    return ", ".join(f"{key.rpartition('.')[2]} {brief(value)}" for key, value in choice.items())
