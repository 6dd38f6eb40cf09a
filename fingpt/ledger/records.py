"""The records of a ledger: what was fixed at its start, a week's forecasts of one run, and what happened.

All are kept as canonical JSON, so that a record has exactly one form and its sha256 can be named by others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fingpt.errors import StorageError
from fingpt.prompts.examples import LABELS
from fingpt.reading import first_fault
from fingpt.record import Frozen, Moment, canonical_json, sha256_bytes

VERSION = 1


_SUM_TOLERANCE = 1e-3
Probability = Annotated[float, Field(ge=0, le=1)]


R = TypeVar("R", bound=Frozen)


def decode(kind: type[R], data: bytes, where: str) -> R:
    """The record of `kind` whose canonical JSON `data` is; StorageError naming `where` for any other bytes.

    There is one form of a record, so nothing can hide in it: no key twice, no other blanks, no unknown field.
    """
    try:
        found = kind.model_validate_json(data)
    except ValidationError as fault:
        raise StorageError(
            f"{where} is no {kind.__name__} ({first_fault(fault)}); it was changed."
        ) from None
    if canonical_json(found) != data:
        raise StorageError(
            f"{where} was changed: its bytes are not those that a {kind.__name__} has."
        )
    return found


class Status(StrEnum):
    """What came of one forecast; only OK has a return."""

    OK = "ok"
    MISSING = "missing"
    HALTED = "halted"
    DELISTED = "delisted"
    RENAMED = "renamed"
    SOURCE_DOWN = "source down"
    WAITING = "waiting"
    """The week is not over, or nobody has scored it yet."""

    @property
    def may_change(self) -> bool:
        """Whether a later attempt may find more: also what looks delisted may only be late."""
        return self is not Status.OK


class Genesis(Frozen):
    """What a ledger fixed before its first forecast, so that nobody can choose it afterwards.

    `runs`: run ids in the order of the command line, the first is the champion. `universe`: the symbols that count.
    `horizon_days`: calendar days from the close that is known to the one that is forecast.
    """

    version: int = VERSION
    name: str
    created_at: Moment
    runs: tuple[str, ...]
    universe: tuple[str, ...]
    horizon_days: int

    def encode(self) -> bytes:
        """The bytes of genesis.json."""
        return canonical_json(self)


class Forecast(Frozen):
    """One symbol's forecast, tied to the record it was taken from.

    `key`, `sha256`: of the forecast's own object in the bucket. `direction`: +1, −1, or 0 where the answer could not be
    read or names none (`failure` says why). `late`: the record itself says that it was made when something of the
    outcome could be known. `probabilities`: of the twelve labels in the order of LABELS; `calibrated`: whether a
    temperature of validation weeks went into them. `degraded`: parts that its sources could not deliver.
    """

    symbol: str
    key: str
    sha256: str
    created_at: Moment
    late: bool = False
    prompt_sha256: str
    facts_sha256: str
    available_at_max: Moment | None = None
    direction: Annotated[int, Field(ge=-1, le=1)] = 0
    label: str | None = None
    failure: str = ""
    probabilities: tuple[Probability, ...] | None = None
    calibrated: bool = False
    degraded: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _probabilities_fit(self) -> Self:
        found = self.probabilities
        if found is not None and (
            len(found) != len(LABELS) or abs(sum(found) - 1) > _SUM_TOLERANCE
        ):
            raise ValueError(f"probabilities are {len(LABELS)} numbers that sum to 1")
        return self


class _Naming(Frozen):
    """A record that names scores: key → sha256 of scores, of any chain, that were there before it."""

    scores: dict[str, str] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_empty_scores(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records of before scores were named keep their bytes, and so their hashes."""
        found: dict[str, Any] = plain(self)
        if not self.scores:
            del found["scores"]
        return found


class Entry(_Naming):
    """A week's forecasts of one chain.

    `number` counts from 1; `previous` is the sha256 of the entry before, of genesis.json for the first. `created_at` is
    the writer's clock. `restates`: symbols that an earlier entry of this week had already; the earlier one counts.
    `scores`: those that the ledger had by then and no earlier entry names.
    """

    version: int = VERSION
    ledger: str
    chain: str
    number: Annotated[int, Field(ge=1)]
    previous: str
    run: str
    model: str
    adapter_sha256: str
    base_sha256: str
    code_version: str
    verdict: str
    as_of: Moment
    horizon_end: Moment
    created_at: Moment
    restates: tuple[str, ...] = ()
    forecasts: tuple[Forecast, ...]

    def encode(self) -> bytes:
        """The bytes of the entry's object."""
        return canonical_json(self)

    @property
    def sha256(self) -> str:
        """The hash that the next entry and the scores name."""
        return sha256_bytes(self.encode())


class Outcome(Frozen):
    """What happened to one symbol between `as_of` and `horizon_end`.

    `realised_return`: total return as a decimal; `excess_return`: less that of the universe's mean or the benchmark.
    `label`: one of LABELS. All are None unless the status is OK; `reason` says why there is none.
    """

    symbol: str
    status: Status
    realised_return: float | None = None
    excess_return: float | None = None
    label: str | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _only_what_happened_has_a_return(self) -> Self:
        there = self.realised_return is not None and self.label is not None
        if there != (self.status is Status.OK):
            raise ValueError(
                "an outcome has a return and a label if, and only if, its status is ok"
            )
        if self.label is not None and self.label not in LABELS:
            raise ValueError(f"'{self.label}' is none of the twelve labels")
        return self


class Score(_Naming):
    """One attempt to say what came of an entry; the last attempt counts.

    `entry_sha256` ties it to the entry's bytes, `snapshot_sha256` to the prices that it was computed from.
    `degraded`: what could not be had, empty for none. `final`: no later attempt may find more. `scores`: the ones
    before it that nothing named yet, so that none but the newest can go unseen.
    """

    version: int = VERSION
    ledger: str
    chain: str
    number: int
    attempt: int
    entry_sha256: str
    scored_at: Moment
    snapshot_sha256: str
    degraded: dict[str, str] = Field(default_factory=dict)
    final: bool
    outcomes: tuple[Outcome, ...]

    def encode(self) -> bytes:
        """The bytes of the score's object."""
        return canonical_json(self)
