"""scores.parquet: one row per variant and example: what was measured of it, and what both parsers read in its answer.

A column is one entry of `SCHEMA` and one of `_record`. Columns of the parser `strict` begin with its name; `parsed`,
`valid`, `failure`, `flags`, `direction`, `margin` and the ROUGE columns are of `robust`. `valid` is as in
`fingpt.eval.score`; a row that is not parsed has no direction, and one that states no size has no margin. A row for
which no answer was asked has no `new_tokens`, and nothing else of an answer.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from fingpt.eval.forecast import SECTIONS, Forecast
from fingpt.eval.generate import Answer
from fingpt.eval.prompts import Prompt
from fingpt.eval.score import ParsedPair
from fingpt.eval.text import TextFacts

_KINDS = ("rouge1", "rouge2", "rougeL")
_ROUGE = [(f"{section}_{kind}", pa.float64()) for section in SECTIONS for kind in _KINDS]

SCHEMA = pa.schema(
    [
        ("example", pa.string()),
        ("symbol", pa.string()),
        ("week", pa.string()),
        ("variant", pa.string()),
        ("label", pa.string()),
        ("truth", pa.float64()),
        ("nll", pa.float64()),
        ("answer_tokens", pa.int64()),
        ("new_tokens", pa.int64()),
        ("prompt_tokens", pa.int64()),
        ("truncated", pa.bool_()),
        ("seconds", pa.float64()),
        ("strict_parsed", pa.bool_()),
        ("strict_valid", pa.bool_()),
        ("strict_direction", pa.int64()),
        ("strict_margin", pa.float64()),
        ("parsed", pa.bool_()),
        ("valid", pa.bool_()),
        ("failure", pa.string()),
        ("flags", pa.string()),
        ("direction", pa.int64()),
        ("margin", pa.float64()),
        *_ROUGE,
        ("realised", pa.float64()),
        ("answer_words", pa.int64()),
        ("numbers", pa.int64()),
        ("numbers_in_prompt", pa.int64()),
        ("label_logp", pa.list_(pa.float64())),
        ("anonymous_logp", pa.list_(pa.float64())),
        ("recall_logp", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True, slots=True)
class Prose:
    """An answer in prose, scored; `seconds` is its share of its batch's time."""

    answer: Answer
    seconds: float
    strict: ParsedPair
    robust: ParsedPair
    text: TextFacts


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One row of one variant; `prose` is None where no answer was asked for (`eval.answer_rows`).

    `realised`: the week's return in percent, None where no prompt states it. `label_logp` and the two after it:
    log-likelihoods of the twelve labels in nats by arm (`fingpt.eval.arms`), None where they were not measured.
    """

    variant: str
    prompt: Prompt
    nll: float
    prose: Prose | None
    realised: float | None = None
    label_logp: tuple[float, ...] | None = None
    anonymous_logp: tuple[float, ...] | None = None
    recall_logp: tuple[float, ...] | None = None


def encode_scores(rows: Sequence[ScoredAnswer]) -> bytes:
    """Parquet bytes of `rows` in the given order."""
    table = pa.Table.from_pylist([_record(row) for row in rows], schema=SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _record(scored: ScoredAnswer) -> dict[str, object]:
    example = scored.prompt.example
    record: dict[str, object] = {
        "example": example.id,
        "symbol": example.symbol,
        "week": example.start.isoformat(),
        "variant": scored.variant,
        "label": example.label,
        "truth": example.margin,
        "nll": scored.nll,
        "answer_tokens": len(scored.prompt.answer_ids),
        "prompt_tokens": len(scored.prompt.prompt_ids),
        "realised": scored.realised,
        "label_logp": scored.label_logp,
        "anonymous_logp": scored.anonymous_logp,
        "recall_logp": scored.recall_logp,
    }
    unread = dict.fromkeys(("strict_parsed", "strict_valid", "parsed", "valid"), False)
    return record | (unread if scored.prose is None else _prose_record(scored.prose))


def _prose_record(prose: Prose) -> dict[str, object]:
    strict, robust = prose.strict.forecast, prose.robust.forecast
    record: dict[str, object] = {
        "new_tokens": prose.answer.new_tokens,
        "truncated": prose.answer.truncated,
        "seconds": prose.seconds,
        "strict_parsed": strict.ok,
        "strict_valid": prose.strict.valid,
        "parsed": robust.ok,
        "valid": prose.robust.valid,
        "flags": ",".join(robust.flags),
        "answer_words": prose.text.words,
        "numbers": prose.text.numbers,
        "numbers_in_prompt": prose.text.numbers_in_prompt,
    }
    if isinstance(strict, Forecast):
        record |= {"strict_direction": strict.direction, "strict_margin": strict.margin}
    if isinstance(robust, Forecast):
        record |= {"direction": robust.direction, "margin": robust.margin}
    else:
        record["failure"] = robust.reason
    for section, scores in (prose.robust.rouge or {}).items():
        record |= {f"{section}_{kind}": getattr(scores, kind) for kind in _KINDS}
    return record
