"""Answers of people and of models: whether one fits its row, and those of a file. Decides; asks nobody.

An answer that is empty, has not the three parts, or forecasts the other direction than the outcome's is rejected with a
reason that manifests count. Where it forecasts another size, its prediction line becomes the outcome's label: rows
teach the label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fingpt.errors import DataError
from fingpt.features.model import Facts
from fingpt.features.rows import Rejected
from fingpt.prompts.examples import PREDICTION_HEADER, parse_label
from fingpt.rows.raw_rows import Reject
from fingpt.rows.readers import read_file

MAX_CHARACTERS = 20_000

_HEADERS = tuple(
    re.compile(rf"\s*\[{name}\]:?\s*", re.IGNORECASE)
    for name in ("Positive Developments", "Potential Concerns", "Prediction (?:&|and) Analysis")
)
_STATED = re.compile(r"\s*Prediction:([^\n]*)", re.IGNORECASE)
_ANALYSIS = re.compile(r"\s*Analysis:", re.IGNORECASE)
_COLUMNS = ("symbol", "as_of", "answer")


def fitted(answer: str, label: str) -> str:
    """`answer` in the published layout with `label` as its prediction; Rejected where it does not fit."""
    if not answer.strip():
        raise Rejected("empty")
    if len(answer) > MAX_CHARACTERS:
        raise Rejected("too long")
    pros, cons, stated, analysis = _parts(answer)
    try:
        direction = parse_label(stated.strip(" *_.\t")).direction
    except DataError:
        raise Rejected("no label") from None
    if direction != parse_label(label).direction:
        raise Rejected("contradicts the outcome")
    return (
        f"[Positive Developments]:\n{pros}\n\n[Potential Concerns]:\n{cons}\n\n"
        f"{PREDICTION_HEADER} {label.capitalize()}\nAnalysis: {analysis}"
    )


def _parts(answer: str) -> tuple[str, str, str, str]:
    """Developments, concerns, what the prediction line states, analysis; Rejected unless each stands in its place."""
    lines = answer.replace("\r\n", "\n").strip().split("\n")
    places = [
        place for header in _HEADERS for place, line in enumerate(lines) if header.fullmatch(line)
    ]
    if len(places) != len(_HEADERS) or places != sorted(places) or places[0] != 0:
        raise Rejected("not in three parts")
    _, second, third = places
    pros, cons = "\n".join(lines[1:second]), "\n".join(lines[second + 1 : third])
    told = [line for line in lines[third + 1 :] if line.strip()]
    stated = _STATED.fullmatch(told[0]) if told else None
    if stated is None or len(told) < 2 or not _ANALYSIS.match(told[1]):
        raise Rejected("not in three parts")
    rest = "\n".join(lines[lines.index(told[1], third) :])
    analysis = _ANALYSIS.sub("", rest, count=1).strip()
    if not (pros.strip() and cons.strip() and analysis):
        raise Rejected("not in three parts")
    return pros.strip(), cons.strip(), stated[1], analysis


@dataclass(frozen=True)
class ImportedAnswers:
    """The answers of a file, by symbol and day of the as-of close (YYYY-MM-DD)."""

    by_row: Mapping[tuple[str, str], str]

    def __call__(self, facts: Facts, label: str) -> str:
        """The answer of a row; Rejected where the file has none, or one that does not fit."""
        found = self.by_row.get((facts.symbol, facts.day.isoformat()))
        if found is None:
            raise Rejected("not in the file")
        return fitted(found, label)


def import_answers(path: Path) -> ImportedAnswers:
    """Read symbol, as_of and answer from a CSV, JSON lines or Parquet file.

    Raises what `read_file` raises, and DataError naming the first line that is no answer, or a second one of its row.
    """
    found: dict[tuple[str, str], str] = {}
    for row in read_file(path, "train", _COLUMNS):
        if isinstance(row, Reject):
            raise DataError(f"{path.name}, line {row.line}: {row.detail}; correct it.")
        symbol, day, answer = (row.values.get(name) for name in _COLUMNS)
        if not (isinstance(symbol, str) and isinstance(day, str) and isinstance(answer, str)):
            raise DataError(
                f"{path.name}, line {row.line}: symbol, as_of (YYYY-MM-DD) and answer are expected as text."
            )
        key = symbol.strip(), day.strip()[:10]
        if key in found:
            raise DataError(
                f"{path.name}, line {row.line}: a second answer for {key[0]} at {key[1]}; keep one."
            )
        found[key] = answer
    return ImportedAnswers(found)
