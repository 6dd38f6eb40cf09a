"""images/policy.toml: which licences and which known vulnerabilities may be in an image."""

from __future__ import annotations

import tomllib
from datetime import date
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from fingpt.errors import ConfigError
from fingpt.reading import first_fault

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Severity(IntEnum):
    """CVSS's ratings in their order, and UNKNOWN where nobody has rated."""

    UNKNOWN = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Ignored(_Record):
    """A vulnerability of one package that is accepted until the end of a day."""

    id: Words
    package: Words
    reason: Words
    until: date


class _Licences(_Record):
    allowed: tuple[Words, ...]
    exceptions: dict[Words, Words] = {}


class _Cves(_Record):
    fail_at: Severity = Field(alias="fail-at")
    ignore: tuple[Ignored, ...] = ()

    @field_validator("fail_at", mode="before")
    @classmethod
    def _named(cls, value: object) -> Severity:
        names = {each.name.lower(): each for each in Severity if each}
        if value not in names:
            raise ValueError(f"it must be one of {', '.join(names)}")
        return names[str(value)]


class Policy(_Record):
    """The whole file."""

    licences: _Licences
    cves: _Cves

    @property
    def allowed(self) -> tuple[str, ...]:
        """Licences that any Python distribution may have."""
        return self.licences.allowed

    @property
    def exceptions(self) -> tuple[str, ...]:
        """Patterns of names of distributions that may have another one."""
        return tuple(self.licences.exceptions)

    def reason(self, name: str) -> str:
        """Why this distribution is an exception; '' where it is none."""
        found = (
            why for pattern, why in self.licences.exceptions.items() if fnmatchcase(name, pattern)
        )
        return next(found, "")


def read_policy(path: Path) -> Policy:
    """The policy; ConfigError where the file is no TOML, or says what a policy cannot say."""
    try:
        return Policy.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} is no TOML: {fault}") from None
    except ValidationError as fault:
        raise ConfigError(
            f"{path}: {first_fault(fault)}. Correct it; docs/images.md shows an example."
        ) from None
