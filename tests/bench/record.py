"""A benchmark that make bench or make bench-gpu has kept, read within bounds and held against its own figures."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fingpt.errors import ConfigError
from fingpt.reading import Unreadable, first_fault, parse_object

_BYTES = 1 << 20
"""The longest benchmark; those that are kept have less than 10 kB."""
_BOM = b"\xef\xbb\xbf"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Repetitions(_Closed):
    """Rates of each repetition, in the order they were taken."""

    ours: list[Positive] = Field(min_length=1)
    peer: list[Positive] = Field(min_length=1)


class Figure(_Closed):
    """A line as `lines.Line` has it, whose ratio and spread are those of its rates."""

    name: str = Field(min_length=1)
    ours: Positive
    peer: Positive
    unit: str
    ratio: Positive
    limit: Positive | None
    spread: tuple[Positive, Positive]
    rates: Repetitions | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not _alike(self.ratio, self.ours / self.peer):
            raise ValueError(
                f"its ratio is {self.ratio:.4g}, but that of its rates {self.ours:.4g} and {self.peer:.4g} is "
                f"{self.ours / self.peer:.4g}"
            )
        if self.spread[0] > self.spread[1]:
            raise ValueError("its least ratio is above its most")
        if self.rates is not None:
            self._check(self.rates)
        return self

    def _check(self, rates: Repetitions) -> None:
        if len(rates.ours) != len(rates.peer):
            raise ValueError("its repetitions are no pairs")
        for said, each in ((self.ours, rates.ours), (self.peer, rates.peer)):
            if not _alike(said, statistics.median(each)):
                raise ValueError(f"its rate {said:.4g} is not the median of its repetitions")
        pairs = [one / other for one, other in zip(rates.ours, rates.peer, strict=True)]
        if not all(map(_alike, self.spread, (min(pairs), max(pairs)))):
            raise ValueError("its least and most ratio are not those of its repetitions")


class Benchmark(_Closed):
    """What `lines.write` keeps; commit, date and seconds are None in what was kept before they were.

    The last five are those of a GPU: rates that whole runs are reckoned from, and what the training told.
    """

    benchmark: Literal["cpu", "gpu"]
    commit: str | None = None
    date: str | None = None
    machine: dict[str, str]
    versions: dict[str, str]
    lines: list[Figure] = Field(min_length=1)
    left_out: list[str]
    seconds: Positive | None = None
    matrix_tflops: Positive | None = None
    ours: dict[str, Any] | None = None
    rates: dict[str, Any] | None = None
    answers: str | None = None
    headline: dict[str, Positive] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.machine.get("name"):
            raise ValueError("its machine has no name")
        name, often = Counter(each.name for each in self.lines).most_common(1)[0]
        if often > 1:
            raise ValueError(f"it has {often} lines of one name, {name}")
        return self


def read(variable: str, path: str) -> Benchmark:
    """The benchmark at `path`, which `variable` names; ConfigError where it is none or its figures disagree."""
    if not path:
        raise ConfigError(
            f"{variable} names no benchmark; give both, such as make bench-check BEFORE=docs/benchmarks/a.json "
            "AFTER=docs/benchmarks/b.json."
        )
    try:
        with Path(path).open("rb") as file:
            data = file.read(_BYTES + len(_BOM) + 1).removeprefix(_BOM)
    except OSError as error:
        # A path from a command line: no such file, a folder, no right to read.
        raise ConfigError(
            f"{variable}={path} cannot be read ({error.strerror}); name the JSON of a benchmark."
        ) from None
    if len(data) > _BYTES:
        reason = f"has more than {_BYTES:,} bytes"
    else:
        try:
            found = parse_object(data)
            if (kind := found.get("benchmark")) in ("scale", "losses"):
                raise ConfigError(
                    f"{variable}={path} is a benchmark of {kind}, which bench-check does not compare; it holds two of "
                    "make bench or make bench-gpu together, whose lines are all rates beside a peer."
                )
            return Benchmark.model_validate(found)
        except Unreadable as fault:
            reason = str(fault)
        except ValidationError as fault:
            reason = f"is not the JSON of a benchmark ({first_fault(fault)})"
    raise ConfigError(
        f"{variable}={path} {reason}; make bench and make bench-gpu keep such a JSON in docs/benchmarks."
    )


def _alike(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)  # they are written with all their digits
