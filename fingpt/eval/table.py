"""scores.parquet: one row per variant and example, with loss, answer counts and outcomes under both parsers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from fingpt.eval.forecast import SECTIONS, Forecast
from fingpt.eval.generate import Answer
from fingpt.eval.prompts import Row
from fingpt.eval.score import Outcome

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
        ("strict_direction", pa.int64()),
        ("strict_margin", pa.float64()),
        ("parsed", pa.bool_()),
        ("failure", pa.string()),
        ("flags", pa.string()),
        ("direction", pa.int64()),
        ("margin", pa.float64()),
        *_ROUGE,
    ]
)


@dataclass(frozen=True, slots=True)
class Scored:
    """Everything known of one example under one variant; `seconds` is its share of its batch's time."""

    variant: str
    row: Row
    nll: float
    answer: Answer
    seconds: float
    strict: Outcome
    robust: Outcome


def encode_table(rows: Sequence[Scored]) -> bytes:
    """Parquet bytes of `rows` in the given order."""
    table = pa.Table.from_pylist([_record(row) for row in rows], schema=SCHEMA)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _record(scored: Scored) -> dict[str, object]:
    example, answer = scored.row.example, scored.answer
    strict, robust = scored.strict.forecast, scored.robust.forecast
    record: dict[str, object] = {
        "example": example.id,
        "symbol": example.symbol,
        "week": example.start.isoformat(),
        "variant": scored.variant,
        "label": example.label,
        "truth": example.margin,
        "nll": scored.nll,
        "answer_tokens": len(scored.row.answer_ids),
        "new_tokens": answer.new_tokens,
        "prompt_tokens": answer.prompt_tokens,
        "truncated": answer.truncated,
        "seconds": scored.seconds,
        "strict_parsed": strict.ok,
        "parsed": robust.ok,
        "flags": ",".join(robust.flags),
    }
    if isinstance(strict, Forecast):
        record |= {"strict_direction": strict.direction, "strict_margin": strict.margin}
    if isinstance(robust, Forecast):
        record |= {"direction": robust.direction, "margin": robust.margin}
    else:
        record["failure"] = robust.reason
    for section, scores in (scored.robust.rouge or {}).items():
        record |= {f"{section}_{kind}": getattr(scores, kind) for kind in _KINDS}
    return record
