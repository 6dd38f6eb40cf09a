"""FeatureConfig: which facts a prompt states, from how far back. It is hashed into the identity of what is built."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from fingpt.errors import ConfigError, nearest
from fingpt.record import Frozen
from fingpt.sources.calendar import DEFAULT


class Family(StrEnum):
    """A family of features, which can be switched off as a whole; prices of past weeks are always there."""

    INDICATORS = "indicators"
    MACRO = "macro"
    FUNDAMENTALS = "fundamentals"
    NEWS = "news"
    SIGNALS = "signals"


class AnswerConfig(Frozen):
    """Where a row's answer comes from; its prediction line is the outcome's label in any case.

    `none`: reasons by rules from the facts (rationale.py). `import`: the user's own, from `file` with the columns
    symbol, as_of and answer. `teacher`: a model behind an OpenAI-compatible `endpoint` (its base address, ending in
    /v1 mostly), asked `attempts` times at most; it does not see the outcome unless `hindsight`, which is recorded.
    """

    mode: Literal["none", "import", "teacher"] = "none"
    file: str = ""
    endpoint: str = ""
    model: str = ""
    hindsight: bool = False
    attempts: Annotated[int, Field(ge=1, le=10)] = 2
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    max_tokens: Annotated[int, Field(ge=64, le=8192)] = 1024
    parallel: Annotated[int, Field(ge=1, le=64)] = 4

    @model_validator(mode="after")
    def _mode_has_what_it_needs(self) -> Self:
        if self.mode == "import" and not self.file.strip():
            raise ValueError(
                "mode import needs file: a table with the columns symbol, as_of, answer"
            )
        if self.mode == "teacher" and not (self.endpoint.strip() and self.model.strip()):
            raise ValueError("mode teacher needs endpoint and model")
        if self.hindsight and self.mode != "teacher":
            raise ValueError("hindsight is for mode teacher: no other answer is asked for")
        return self


class FeatureConfig(Frozen):
    """What a prompt states.

    A family that is off leaves no trace in a prompt, so a configuration per arm is an ablation. `weeks`: past weeks
    with their prices and news. `news_per_week`: items of a week at most, drawn with `seed` from those that are no
    reprint.
    `horizon_days`: calendar days that a forecast looks ahead. `calendar`: the exchange, by its ISO 10383 code.
    `allow_degraded`: also build on parts of the sources that failed or look wrong; such rows are marked.
    `benchmark`: the symbol that excess returns are measured against; empty for the mean of the universe.
    `answers`: of rows; a forecast has none.
    """

    indicators: bool = True
    macro: bool = True
    fundamentals: bool = True
    news: bool = True
    signals: bool = True
    weeks: Annotated[int, Field(ge=1, le=12)] = 3
    news_per_week: Annotated[int, Field(ge=1, le=20)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    horizon_days: Annotated[int, Field(ge=1, le=28)] = 7
    calendar: str = DEFAULT
    allow_degraded: bool = False
    benchmark: str = ""
    answers: AnswerConfig = AnswerConfig()

    def has(self, family: Family) -> bool:
        """Whether prompts state this family."""
        return bool(getattr(self, family.value))


def parse_features(data: Mapping[str, Any], where: str) -> FeatureConfig:
    """Validate the section `features` of a file of settings; ConfigError with one sentence per fault."""
    try:
        return FeatureConfig.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_sentence(dict(fault)) for fault in error.errors())
        raise ConfigError(
            f"{where}: {faults.rstrip('.?')}{'?' if faults[-1] == '?' else '; correct it.'}"
        ) from None


def _sentence(fault: dict[str, Any]) -> str:
    name = ".".join(str(part)[:40] for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        model = AnswerConfig if len(fault["loc"]) > 1 else FeatureConfig
        return (
            f"'features.{name}' is no setting; {nearest(str(fault['loc'][-1]), model.model_fields)}"
        )
    what = str(fault["msg"]).removeprefix("Value error, ")
    if isinstance(fault["input"], dict):
        return f"features.{name}: {what}"
    given = f"features.{name}={str(fault['input'])[:40]!r}"
    if expected := _expected(fault):
        return f"{given}: expected {expected}"
    return f"{given}: {what[:1].lower()}{what[1:]}"


def _expected(fault: dict[str, Any]) -> str:
    """What a setting takes, in words; empty where the fault says it well enough itself."""
    kind, limits = fault["type"], fault.get("ctx", {})
    if kind.startswith("bool"):
        return "true or false"
    if kind.startswith("int"):
        return "a whole number"
    if kind.startswith("float"):
        return "a number"
    if kind == "string_type":
        return "a text"
    for name, words in (
        ("ge", "at least"),
        ("gt", "more than"),
        ("le", "at most"),
        ("lt", "less than"),
    ):
        if name in limits:
            return f"{words} {limits[name]}"
    if kind == "literal_error":
        return f"one of {limits['expected']}"
    return ""
