"""Answers and references → outcomes per row and ParserScores: which rows count, and what a failed parse means.

Truth under `robust` is the label. Under `strict` it is the reference answer's own text, as published: a pair is valid
when both sides parse, and only valid pairs enter `binary_accuracy`, `mse` and ROUGE. The `_all` scores keep every row,
with the label as truth where a reference text does not parse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingpt.eval.metrics import Metrics, mean_rouge
from fingpt.eval.robust import (
    SECTIONS,
    Forecast,
    Parsed,
    reference_sections,
    robust,
    strict,
    strip_reasoning,
)
from fingpt.prompts.examples import Label, parse_label
from fingpt.runs.manifest import ParserScores, RougeScores

REFERENCE_FAILED = "reference does not parse"
_WRONG = 9  # a direction code that no truth has: a failed parse is never right


@dataclass(frozen=True, slots=True)
class Pair:
    """One answer with its published reference answer and the published label (such as `up by 2-3%`)."""

    prediction: str
    reference: str
    label: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row under one parser; `valid` when both sides parse, and then `rouge` holds a row for each section."""

    forecast: Parsed
    direction: int
    margin: float
    valid: bool
    rouge: dict[str, RougeScores] | None


def score_robust(*, pairs: Sequence[Pair], metrics: Metrics) -> list[Outcome]:
    """Outcomes under our parser; DataError for a label outside the grammar."""
    truths = [parse_label(pair.label) for pair in pairs]
    sections = [reference_sections(pair.reference) for pair in pairs]
    forecasts = [robust(pair.prediction) for pair in pairs]
    rouge = _rouge_rows(forecasts, sections, metrics)
    return [
        Outcome(forecast, truth.direction, truth.margin, forecast.ok, row)
        for forecast, truth, row in zip(forecasts, truths, rouge, strict=True)
    ]


def score_strict(
    *, pairs: Sequence[Pair], metrics: Metrics, without_reasoning: bool = False
) -> list[Outcome]:
    """Outcomes under the published parser, optionally after removing the reasoning block; DataError as above."""
    prepare: Callable[[str], str] = (
        (lambda text: strip_reasoning(text)[0]) if without_reasoning else str
    )
    forecasts = [strict(prepare(pair.prediction)) for pair in pairs]
    references = [strict(pair.reference) for pair in pairs]
    sections = [
        {name: reference.section(name) for name in SECTIONS}
        if isinstance(reference, Forecast)
        else None
        for reference in references
    ]
    rouge = _rouge_rows(forecasts, sections, metrics)
    outcomes = []
    for pair, forecast, reference, row in zip(pairs, forecasts, references, rouge, strict=True):
        truth = _truth(reference, parse_label(pair.label))
        outcomes.append(
            Outcome(forecast, truth.direction, truth.margin, forecast.ok and reference.ok, row)
        )
    return outcomes


def summarise(*, outcomes: Sequence[Outcome], metrics: Metrics) -> ParserScores:
    """Scores over rows. `failures` counts every row that is not valid by its reason, so it sums to n - valid."""
    valid = [row for row in outcomes if row.valid]
    failures = Counter(_reason(row) for row in outcomes if not row.valid)
    rated = [row.rouge for row in valid if row.rouge is not None]
    return ParserScores(
        n=len(outcomes),
        parsed=sum(row.forecast.ok for row in outcomes),
        valid=len(valid),
        failures=dict(sorted(failures.items())),
        binary_accuracy=metrics.accuracy(
            predicted=[_direction(row.forecast) for row in valid],
            truth=[row.direction for row in valid],
        ),
        accuracy_all=metrics.accuracy(
            predicted=[_direction(row.forecast) for row in outcomes],
            truth=[row.direction for row in outcomes],
        )
        or 0.0,
        mse=metrics.mse(
            predicted=[_size(row.forecast) for row in valid], truth=[row.margin for row in valid]
        ),
        mse_all=metrics.mse(
            predicted=[_size(row.forecast) for row in outcomes],
            truth=[row.margin for row in outcomes],
        )
        or 0.0,
        rouge={name: mean_rouge([row[name] for row in rated]) for name in SECTIONS}
        if rated
        else {},
    )


def _rouge_rows(
    forecasts: Sequence[Parsed], references: Sequence[dict[str, str] | None], metrics: Metrics
) -> list[dict[str, RougeScores] | None]:
    """ROUGE by section where both sides have sections, None elsewhere."""
    both = [
        (index, forecast, reference)
        for index, (forecast, reference) in enumerate(zip(forecasts, references, strict=True))
        if isinstance(forecast, Forecast) and reference is not None
    ]
    rows: list[dict[str, RougeScores] | None] = [None] * len(forecasts)
    by_section = {
        name: metrics.rouge(
            predictions=[forecast.section(name) for _, forecast, _ in both],
            references=[reference[name] for _, _, reference in both],
        )
        for name in SECTIONS
    }
    for place, (index, _, _) in enumerate(both):
        rows[index] = {name: by_section[name][place] for name in SECTIONS}
    return rows


def _truth(reference: Parsed, label: Label) -> Label:
    if not isinstance(reference, Forecast):
        return label
    return Label(reference.direction, reference.bin or 0, reference.margin or 0.0)


def _direction(forecast: Parsed) -> int:
    return forecast.direction if isinstance(forecast, Forecast) else _WRONG


def _size(forecast: Parsed) -> float:
    """A failure, and a forecast that states no size, count as a forecast of 0."""
    return (forecast.margin or 0.0) if isinstance(forecast, Forecast) else 0.0


def _reason(row: Outcome) -> str:
    return REFERENCE_FAILED if isinstance(row.forecast, Forecast) else row.forecast.reason
