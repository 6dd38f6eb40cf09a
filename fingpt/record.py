"""Frozen records, canonical JSON and sha256: the three things every identity in the project rests on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
)

_CHUNK_BYTES = 1 << 20


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:  # a day that UTC's calendar does not have
        raise ValueError("a moment in the years 1 to 9999 of UTC is expected") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A moment in UTC; any offset is taken, a time without one is refused."""


class Frozen(BaseModel):
    """Base of all stored records: immutable, unknown keys refused, NaN and Inf refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Section(Frozen):
    """A part of the configuration. `LATER` names settings that came after the first release: at their default they are
    neither written nor hashed, so that a run from before them keeps its identity.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`yes` in YAML is true, which pydantic would take for 1."""
        name = info.field_name or ""
        if isinstance(value, bool) and not _takes_truth(cls.model_fields[name].annotation):
            raise AssertionError(
                "a number is expected, and YAML reads yes and no as true and false"
            )
        return value

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = fields(self)
        for name in self.LATER:
            if getattr(self, name) == type(self).model_fields[name].get_default(
                call_default_factory=True
            ):
                del plain[name]
        return plain


def _takes_truth(annotation: Any) -> bool:
    """Whether a field may be true or false; only numbers take such a value by mistake."""
    kinds = {annotation, *get_args(annotation)}
    kinds |= {each for kind in kinds for each in get_args(kind) if isinstance(each, type)}
    inner = {type(each) for kind in kinds for each in get_args(kind)} | {type(k) for k in kinds}
    return bool in kinds or bool in inner or not ({int, float} & (kinds | inner))


class FileRef(Frozen):
    """A stored file: `name` relative to the prefix it lies under (POSIX), its size in bytes and hex sha256."""

    name: str
    size: int
    sha256: str


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no blanks: equal values give equal bytes.

    Raises ValueError on NaN or Inf, which JSON cannot hold.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in chunks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def tree_sha256(files: Iterable[tuple[str, str]]) -> str:
    """Hex sha256 of a set of files, given as (name, sha256) in their order: names and bytes, wherever they lie."""
    return sha256_bytes(canonical_json([[name, sha256] for name, sha256 in files]))
