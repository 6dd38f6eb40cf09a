"""Answers and references → ParsedPairs, one per row, and their ParserScores: what is valid, what a failed parse means.

A pair is valid when the parser reads both sides: a direction is enough, and an answer without a size is a forecast of
0. Truth under `robust` is the label, which always reads. Under `strict` it is the reference answer's own text, as
published. Only valid pairs enter `binary_accuracy`, `mse` and ROUGE; the `_all` scores keep every row, with the label
as truth where a reference text does not parse. `valid` is decided here alone; the report reads it from
`scores.parquet`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingpt.eval.forecast import SECTIONS, Forecast, ParseResult, strip_reasoning
from fingpt.eval.metric_modules import MetricModules, mean_rouge
from fingpt.eval.robust import reference_sections, robust
from fingpt.eval.strict import strict
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
class ParsedPair:
    """One row under one parser: the forecast, the truth beside it, and ROUGE by section where both sides have text."""

    forecast: ParseResult
    true_direction: int
    true_margin: float
    valid: bool
    rouge: dict[str, RougeScores] | None


def score_robust(*, pairs: Sequence[Pair], metrics: MetricModules) -> list[ParsedPair]:
    """The pairs under `robust`; DataError for a label outside the grammar."""
    truths = [parse_label(pair.label) for pair in pairs]
    sections = [reference_sections(pair.reference) for pair in pairs]
    forecasts = [robust(pair.prediction) for pair in pairs]
    rouge = _rouge_rows(forecasts, sections, metrics)
    return [
        ParsedPair(forecast, truth.direction, truth.margin, forecast.ok, row)
        for forecast, truth, row in zip(forecasts, truths, rouge, strict=True)
    ]


def score_strict(
    *, pairs: Sequence[Pair], metrics: MetricModules, without_reasoning: bool = False
) -> list[ParsedPair]:
    """The pairs under `strict`, optionally after removing the reasoning block; DataError as above."""
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
    parsed = []
    for pair, forecast, reference, row in zip(pairs, forecasts, references, rouge, strict=True):
        truth = _truth(reference, parse_label(pair.label))
        parsed.append(
            ParsedPair(forecast, truth.direction, truth.margin, forecast.ok and reference.ok, row)
        )
    return parsed


def summarise(*, pairs: Sequence[ParsedPair], metrics: MetricModules) -> ParserScores:
    """Scores over pairs. `failures` counts each pair that is not valid by its reason, so it sums to n - valid."""
    valid = [pair for pair in pairs if pair.valid]
    failures = Counter(_reason(pair) for pair in pairs if not pair.valid)
    rated = [pair.rouge for pair in valid if pair.rouge is not None]
    return ParserScores(
        n=len(pairs),
        parsed=sum(pair.forecast.ok for pair in pairs),
        valid=len(valid),
        failures=dict(sorted(failures.items())),
        binary_accuracy=metrics.accuracy(
            predicted=[_direction(pair.forecast) for pair in valid],
            truth=[pair.true_direction for pair in valid],
        ),
        accuracy_all=metrics.accuracy(
            predicted=[_direction(pair.forecast) for pair in pairs],
            truth=[pair.true_direction for pair in pairs],
        )
        or 0.0,
        mse=metrics.mse(
            predicted=[_size(pair.forecast) for pair in valid],
            truth=[pair.true_margin for pair in valid],
        ),
        mse_all=metrics.mse(
            predicted=[_size(pair.forecast) for pair in pairs],
            truth=[pair.true_margin for pair in pairs],
        )
        or 0.0,
        rouge={name: mean_rouge([row[name] for row in rated]) for name in SECTIONS}
        if rated
        else {},
    )


def _rouge_rows(
    forecasts: Sequence[ParseResult],
    references: Sequence[dict[str, str] | None],
    metrics: MetricModules,
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


def _truth(reference: ParseResult, label: Label) -> Label:
    if not isinstance(reference, Forecast):
        return label
    return Label(reference.direction, reference.bin or 0, reference.margin or 0.0)


def _direction(forecast: ParseResult) -> int:
    return forecast.direction if isinstance(forecast, Forecast) else _WRONG


def _size(forecast: ParseResult) -> float:
    """A failed parse, and a direction without a size, count as a forecast of 0."""
    return (forecast.margin or 0.0) if isinstance(forecast, Forecast) else 0.0


def _reason(pair: ParsedPair) -> str:
    return REFERENCE_FAILED if isinstance(pair.forecast, Forecast) else pair.forecast.reason
