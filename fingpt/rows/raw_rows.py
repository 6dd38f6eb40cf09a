"""What passes between the source and the importer: a raw row, or a reject with its place and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from fingpt.record import canonical_json

COLUMNS = ("prompt", "answer", "period", "label", "symbol")
"""The published columns, all text."""

HINDSIGHT = "answer-with-hindsight"
"""In the footer of a file of rows: who wrote the answers was told what came of the week; beside the columns of a row,
and among an example's notes, the same.
"""

MAX_ROW_BYTES = 1 << 20
"""A row above 1 MiB is refused: published rows have under 20 KiB, and a table of huge rows would fill the memory."""


class Reason(StrEnum):
    """Why a row was refused; each is counted in the manifest."""

    ROW_TOO_LARGE = "row-too-large"
    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    NOT_CSV = "not-csv"
    MISSING_COLUMN = "missing-column"
    NOT_TEXT = "not-text"
    NO_MARKS = "prompt-without-marks"
    EMPTY_PROMPT = "empty-prompt"
    EMPTY_ANSWER = "empty-answer"
    NO_PREDICTION = "answer-without-prediction-section"
    LABEL = "label-outside-grammar"
    PERIOD = "malformed-period"
    SYMBOL = "malformed-symbol"
    DUPLICATE = "duplicate-row"


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as published: `line` counts from 1 within `file`, `split` is what the file calls itself.

    A value that is not UTF-8 stays `bytes`.
    """

    split: str
    file: str
    line: int
    values: Mapping[str, object]

    def reject(self, reason: Reason, detail: str) -> Reject:
        """This row, refused; `detail` is one short sentence for a person."""
        return Reject(self.split, self.file, self.line, reason, detail)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken: where it stands and why."""

    split: str
    file: str
    line: int
    reason: Reason
    detail: str


def encode_rejects(rejects: Sequence[Reject]) -> bytes:
    """One canonical JSON object per line, in the given order."""
    return b"".join(canonical_json(asdict(reject)) + b"\n" for reject in rejects)


def quote(text: str) -> str:
    """The first 40 characters of foreign text, safe in a sentence: escapes shown, nothing UTF-8 cannot hold."""
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    return f"'{shown}'" if shown.isprintable() else ascii(shown)
