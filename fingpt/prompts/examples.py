"""The Example: one forecasting question with its answer, free of any model's template, and its JSONL codec.

Labels follow the published grammar: `up|down by 0-1% … 4-5%|more than 5%`, in lower case. A label's margin is the
signed midpoint of its bin in percentage points (±0.5 … ±4.5, and ±5.5 for the open bin).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date
from functools import cached_property, lru_cache

from fingpt.errors import DataError
from fingpt.reading import LINE_BYTES, parse_object
from fingpt.record import canonical_json, sha256_bytes

_BINS = ("0-1%", "1-2%", "2-3%", "3-4%", "4-5%", "more than 5%")
LABELS: tuple[str, ...] = tuple(f"down by {b}" for b in reversed(_BINS)) + tuple(
    f"up by {b}" for b in _BINS
)
PREDICTION_HEADER = "[Prediction & Analysis]:\nPrediction:"
"""What stands before the label in an answer of the published form; a label follows after one blank."""
_DATE = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?:[T ]\s*(?P<time>\S.*))?",
    re.ASCII | re.IGNORECASE,
)
_MIDNIGHT = re.compile(r"00:00(:00(\.0+)?)? ?(Z|UTC|[+-]\d{2}:?\d{2})?", re.ASCII | re.IGNORECASE)
_PERIOD = re.compile(r"(\d{4}-\d{2}-\d{2}) to (\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True, slots=True)
class Label:
    """A parsed label: direction +1 or -1, bin 1 to 6 (6 is `more than 5%`), margin in percentage points."""

    direction: int
    bin: int
    margin: float


@lru_cache(maxsize=64)
def parse_label(text: str) -> Label:
    """Parse a label such as `up by 2-3%` in any spelling that `plain_label` reads; raises what that does."""
    folded = plain_label(text)
    direction = 1 if folded.startswith("up") else -1
    number = _BINS.index(folded.split(" by ", 1)[1]) + 1
    return Label(direction, number, direction * (number - 0.5))


def plain_label(text: str) -> str:
    """One of LABELS, whatever its case, blanks and kind of dash; DataError when it is none of the twelve."""
    folded = " ".join(text.lower().split())
    folded = re.sub(r" ?([-–—‒−]) ?", "-", folded).replace(" %", "%")
    if folded not in LABELS:
        raise DataError(
            f"Label '{text[:60]}' is none of the twelve labels 'up|down by 0-1% … 4-5%|more than 5%'."
        )
    return folded


def plain_period(text: str) -> str:
    """`YYYY-MM-DD to YYYY-MM-DD` of two dates that may be time stamps of midnight; DataError quoting what is wrong."""
    parts = re.split(r"\s+to\s+|\s+[-–—]\s+|\s*[–—]\s*", text.strip(), flags=re.IGNORECASE)
    if len(parts) != 2:
        raise DataError(f"Period '{text[:60]}' is not 'YYYY-MM-DD to YYYY-MM-DD'.")
    start, end = (_plain_date(part) for part in parts)
    if start >= end:
        raise DataError(f"Period '{text[:60]}' does not end after it starts.")
    return f"{start} to {end}"


def _plain_date(text: str) -> date:
    match = _DATE.fullmatch(text)
    try:
        if match is None or (match["time"] and not _MIDNIGHT.fullmatch(match["time"])):
            raise ValueError
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        why = "is no midnight" if match and match["time"] else "is no date YYYY-MM-DD"
        raise DataError(f"{text[:40]!r} {why}.") from None


@lru_cache(maxsize=4096)
def parse_period(text: str) -> tuple[date, date]:
    """Start and end date of a period `YYYY-MM-DD to YYYY-MM-DD`; DataError when malformed or reversed."""
    match = _PERIOD.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError
        start, end = date.fromisoformat(match[1]), date.fromisoformat(match[2])
        if start >= end:
            raise ValueError
    except ValueError:
        raise DataError(
            f"Period '{text[:60]}' is not 'YYYY-MM-DD to YYYY-MM-DD' with the first date before the second."
        ) from None
    return start, end


@dataclass(frozen=True)
class Example:
    """One row, model-neutral.

    `system` and `user` are the prompt's parts without template marks; `answer` is the text to learn. `prompt` and
    `raw_answer` are the published strings, byte for byte. `period` is the forecast week, `label` its published
    outcome, `notes` what the importer changed (for example `prediction-line-restored`).
    """

    system: str
    user: str
    answer: str
    symbol: str
    period: str
    label: str
    prompt: str
    raw_answer: str
    notes: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """Hex sha256 of the content: equal rows have equal ids."""
        return sha256_bytes(canonical_json(asdict(self)))

    @property
    def start(self) -> date:
        """First day of the forecast week: the information cut-off."""
        return parse_period(self.period)[0]

    @property
    def end(self) -> date:
        """Last day of the forecast week."""
        return parse_period(self.period)[1]

    @property
    def margin(self) -> float:
        """Signed midpoint of the label's bin in percentage points."""
        return parse_label(self.label).margin


def encode_jsonl(examples: Iterable[Example]) -> bytes:
    """One canonical JSON object per line, in the given order."""
    return b"".join(encode_line(example) for example in examples)


def encode_line(example: Example) -> bytes:
    """One example as a line of such a file."""
    return canonical_json(asdict(example)) + b"\n"


def decode_jsonl(data: bytes) -> list[Example]:
    """Inverse of `encode_jsonl`; DataError names the first line that is not an Example."""
    names = {field.name for field in fields(Example)}
    examples = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            row = parse_object(line, LINE_BYTES)
            notes = row.pop("notes")
            texts = [*row.values(), *notes]
            if {*row, "notes"} != names or not all(isinstance(text, str) for text in texts):
                raise ValueError
            examples.append(Example(**row, notes=tuple(notes)))
        except (ValueError, TypeError, KeyError):
            raise DataError(
                f"Line {number} of a data set file is not an example; run prep again to rebuild it."
            ) from None
    return examples
