"""SweepDefinition: what a file of jobs/sweeps says of a search, checked as far as it can be without a model.

Pure but for `load_definition`, which reads the file. Whether each of its points is a configuration is space.py's.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fingpt.errors import ConfigError, MissingInputError, nearest
from fingpt.overrides import joined, sentence
from fingpt.reading import Unreadable, parse_yaml
from fingpt.record import Frozen, Section
from fingpt.sweeps.foreign import line_here, method_here, word_here
from fingpt.sweeps.keys import key_fault, kinds_of

Method = Literal["grid", "random", "tpe"]
Value = bool | int | float | str | tuple[str, ...] | None
Settings = dict[str, Value]
"""Settings of a point, each under its whole key: `train.lr`, `train.lora.r`."""

MOST_TRIALS = 10_000


class Range(Section):
    """Numbers from `low` to `high`, both included, evenly or, with `log`, evenly in their logarithms.

    `points`: how many of them a grid takes, ends included; other methods draw from all of them.
    """

    low: float
    high: float
    log: bool = False
    points: Annotated[int, Field(ge=2, le=MOST_TRIALS)] | None = None

    @model_validator(mode="after")
    def _it_is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(
                f"low {self.low:g} is not below high {self.high:g}, so there is nothing to search between them"
            )
        if self.log and self.low <= 0:
            raise ValueError(
                f"log: true needs low > 0, and it is {self.low:g}; raise low, or leave log out"
            )
        return self

    def at(self, share: float) -> float:
        """The number that lies `share` (0 to 1) of the way from `low` to `high`."""
        if share in (0.0, 1.0):
            return self.high if share else self.low
        if self.log:
            return math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)


class Parameter(Frozen):
    """One dimension of a space: a `range` of the setting `name`, or `choices`, each of them one or more settings.

    A choice of a single setting is `{name: value}`; a parameter whose `name` has no dot sets several keys together.
    """

    name: str
    range: Range | None = None
    choices: tuple[Settings, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The settings that it sets, in order."""
        return (self.name,) if self.range else tuple(self.choices[0])


class Pruning(Section):
    """Successive halving: of the trials at a rung the best 1/`reduction` goes on.

    `first`: the first rung, in epochs' worth of training tokens; every further one is `reduction` times as far.
    """

    reduction: Annotated[int, Field(ge=2, le=10)] = 3
    first: Annotated[float, Field(gt=0)] = 0.5


class SweepDefinition(Section):
    """One search: its method, its size, what it minimises, and its space, in the order in which the file names it.

    `trials`: per model; None is all points of a grid. `parallel`: so many at a time. `objective`: mean answer loss over
    the validation rows (`loss`), or the log-loss of the twelve labels there (`labels`), in nats both. `seed`: the
    sampler's. `final_seeds`: with so many seeds the chosen and the default setting are trained again.
    """

    method: Method
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    parallel: Annotated[int, Field(ge=1, le=MOST_TRIALS)] = 1
    objective: Literal["loss", "labels"] = "loss"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    final_seeds: Annotated[int, Field(ge=3, le=20)] = 3
    space: tuple[Parameter, ...]
    pruning: Pruning | None = None

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        faults = filter(None, (self._space_fault(), self._method_fault(), self._size_fault()))
        if fault := joined(faults, end=""):
            raise ValueError(fault)
        return self

    @property
    def count(self) -> int:
        """Trials per model."""
        return self.grid_size if self.trials is None else self.trials

    @property
    def grid_size(self) -> int:
        """Points of the grid; 0 where the space has a range without points, so that there are endlessly many."""
        return math.prod(
            (each.range.points or 0) if each.range else len(each.choices) for each in self.space
        )

    def _space_fault(self) -> str:
        if not self.space:
            return "space is empty: name a setting and its values, such as train.lr: [1e-4, 2e-4]"
        seen: set[str] = set()
        for parameter in self.space:
            for key in parameter.keys:
                if key in seen:
                    return f"space sets {key} twice; name it in one place"
                seen.add(key)
        return ""

    def _method_fault(self) -> str:
        if self.pruning and self.method != "tpe":
            return f"pruning needs method tpe, and it is {self.method}: take pruning out, or set method: tpe"
        unbounded = [each.name for each in self.space if each.range and not each.range.points]
        if self.method == "grid" and unbounded:
            return (
                f"method grid needs to know which numbers of {unbounded[0]} to try: give points, such as points: 5, or "
                "a list"
            )
        if self.method != "grid" and self.trials is None:
            return f"method {self.method} needs trials: so many are made for each model, such as trials: 20"
        return ""

    def _size_fault(self) -> str:
        points = self.grid_size
        if self.method != "grid":
            return ""
        if self.trials is not None and self.trials > points:
            return f"trials is {self.trials}, but the grid has {points} points; leave trials out for all of them"
        if self.count > MOST_TRIALS:
            return f"the grid has {points:,} points, and a sweep at most {MOST_TRIALS:,} trials; use method: random"
        return ""


def load_definition(path: Path) -> SweepDefinition:
    """Read a file of a search; ConfigError with one sentence per fault, or the nearest name where there is none.

    MissingInputError for a file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        known = sorted(file.stem for file in path.parent.glob("[!.]*.yaml"))
        hint = nearest(path.stem, known) if known else "it holds no search; SPACE=lora-grid is one."
        raise ConfigError(f"There is no search '{path.stem}' in {path.parent}; {hint}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"Search {path} is not UTF-8 (byte {error.start}); save it as UTF-8 text, as in jobs/sweeps."
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"Search {path} is a folder; name a file in it.") from None
    except OSError as error:
        raise MissingInputError(f"Search {path} cannot be read: {error}.") from None
    try:
        data = parse_yaml(text)
    except Unreadable as fault:
        raise ConfigError(f"{path} {fault}; write plain settings, as in jobs/sweeps.") from None
    return parse_definition(data, str(path))


def parse_definition(data: object, where: str) -> SweepDefinition:
    """Validate what a file holds; ConfigError with one sentence for each of its faults."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where} must hold a mapping with method, space, … at its top level.")
    # A file has a mapping of names; what is stored is a list, since JSON mappings have no order here.
    space, faults = data.get("space"), []
    if isinstance(space, dict):
        parameters = []
        for name, values in space.items():
            try:
                parameters.append(_parameter(name, values))
            except ValueError as fault:
                faults.append(str(fault))
        data = {**data, "space": parameters}
    elif isinstance(space, list):
        raise ConfigError(
            f"{where}: 'space' is a list; write each setting on a line of its own below space, without '-': train.lr: "
            "[1e-4, 2e-4]."
        )
    try:
        definition = SweepDefinition.model_validate(data)
    except ValidationError as error:
        # A space of which a part could not be read is no longer the file's own.
        more = [
            _sentence(dict(fault)) for fault in error.errors() if not (faults and not fault["loc"])
        ]
        faults = [*more, *faults]
    if faults:
        raise ConfigError(f"{where}: {joined(faults)}")
    return definition


def _sentence(fault: dict[str, Any]) -> str:
    """A fault in words; an unknown word of a choice is answered with the nearest."""
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "literal_error":
        known = [
            each.strip("' ")
            for each in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(",")
        ]
        given = str(fault["input"])
        meant = method_here(given) if place == "method" else given.lower()
        return f"'{place}' is {given[:40]!r}; {nearest(meant, known)}"
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        if meaning := word_here(place):
            return f"'{place}' is {meaning}"
        if not key_fault(place) or not key_fault(f"train.{place}"):
            return f"'{place}' is a setting; it belongs below 'space', with its values"
    if fault["loc"] == ("space",) and fault["type"] == "tuple_type":
        return (
            f"'space' is {str(fault['input'])[:40]!r}, and settings with their values are expected"
        )
    if fault["loc"] == ("pruning",) and fault["type"] == "model_type":
        return f"'pruning' is {str(fault['input'])[:40]!r}; write pruning: {{reduction: 3, first: 0.5}}"
    return sentence(fault, SweepDefinition)


def _parameter(name: object, values: object) -> dict[str, Any]:
    """A parameter as it is stored, from its line in the file; ValueError says what is wrong with it."""
    if not isinstance(name, str):
        raise ValueError(  # noqa: TRY004 - the caller makes a sentence of a ValueError only
            f"'space' names {name!r}, and a setting such as train.lr is expected"
        )
    where = f"'space.{name}'"
    if isinstance(values, dict):
        return _ranged(name, values)
    if not isinstance(values, list):
        line = line_here(name, values)
        raise ValueError(  # noqa: TRY004 - as above
            f"{where} is {str(values)[:60]!r}; "
            + (f"write {line}" if line else "a list of values, or low and high are expected")
        )
    if "." not in name and not any(isinstance(value, dict) for value in values):
        fault = key_fault(name)
        raise ValueError(
            f"{fault}"
            if "did you mean" in fault or "cannot be searched" in fault
            else f"{where} holds {str(values)[:60]}; mappings, such as {{train.lora.r: 8}}, are expected below a name "
            "without a dot"
        )
    if "." in name and (fault := key_fault(name)):
        raise ValueError(f"space: {fault}")
    if len(values) < 2:
        raise ValueError(
            f"{where} has {len(values)} value{'' if len(values) == 1 else 's'}, so there is nothing to search; "
            "name at least two, or set it in the configuration instead"
        )
    return {"name": name, "choices": _choices(name, values)}


def _ranged(name: str, values: dict[Any, Any]) -> dict[str, Any]:
    """A parameter that is a range; ValueError says what is wrong with it, and how to write what was meant."""
    fault = key_fault(name)
    inner = [f"{name}.{key}" for key in values]
    fits = [key for key in inner if not key_fault(key)]
    if fault and (fits or any(isinstance(value, dict) for value in values.values())):
        fits = fits or ["train.lr", "train.lora.r"]
        raise ValueError(
            f"'space.{name}' is a section; write each setting on a line of its own, by its whole key: "
            f"{', '.join(fits)}"
        )
    if fault:
        known = "." in name or "did you mean" in fault or "cannot be searched" in fault
        raise ValueError(
            f"space: {fault}"
            if known
            else f"'space.{name}' is a range, and '{name}' is no setting; write the whole key, such as train.lr"
        )
    if set(values) == {"value"}:
        raise ValueError(
            f"'space.{name}' has one value, so there is nothing to search; set it in the configuration instead"
        )
    try:
        return {"name": name, "range": Range.model_validate(values).model_dump()}
    except ValidationError as error:
        foreign = not set(values) <= set(Range.model_fields)
        line = line_here(name, values) if foreign else ""
        if line:
            raise ValueError(f"'space.{name}' is {str(values)[:80]}; write {line}") from None
        faults = [sentence(dict(fault), Range) for fault in error.errors()]
        raise ValueError(f"'space.{name}': {joined(faults, end='')}") from None


def _choices(name: str, values: list[object]) -> list[dict[str, object]]:
    choices: list[dict[str, object]] = []
    for value in values:
        if isinstance(value, dict) == ("." in name):
            form = f"values of {name}" if "." in name else "mappings, such as {train.lora.r: 8}"
            raise ValueError(f"'space.{name}' holds {str(value)[:60]!r}; {form} are expected")
        entries = value if isinstance(value, dict) else {name: value}
        choice = {str(key): _value(str(key), each) for key, each in entries.items()}
        if choices and set(choice) != set(choices[0]):
            raise ValueError(
                f"'space.{name}' sets {', '.join(map(str, choice)) or 'nothing'} in one place and "
                f"{', '.join(choices[0])} in another; every entry has to set the same keys"
            )
        for key in choice:
            if fault := key_fault(key):
                raise ValueError(f"space: {fault}")
        if not choice or choice in choices:
            raise ValueError(
                f"'space.{name}' holds {str(value)[:60]!r} twice (true and 1 are the same), or sets nothing by it"
            )
        choices.append({key: choice[key] for key in (choices[0] if choices else choice)})
    return choices


def _value(key: str, value: object) -> object:
    """A value of a list; `1e-4`, which YAML 1.1 takes for a text, as the number that people mean."""
    if isinstance(value, bool) and not _takes_truth(key):
        raise ValueError(
            f"'space.{key}' holds {str(value).lower()}, as YAML reads yes and no, and other values are expected"
        )
    if isinstance(value, str):
        text = value
        for kind in (float, int):
            with suppress(ValueError):
                value = kind(text)
        if value is text:
            return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"'space.{key}' holds {value}, and finite numbers are expected")
    return tuple(value) if isinstance(value, list) else value


def _takes_truth(key: str) -> bool:
    return bool(key_fault(key)) or bool in kinds_of(key)
