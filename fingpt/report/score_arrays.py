"""Scored answers as arrays: one record per variant, rows ordered by example id so that two variants can be paired.

Reads `scores.parquet`; decides nothing about it. An unread answer stays a row: it counts as a wrong direction, a
forecast of 0 and a ROUGE of 0 wherever a headline figure is formed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fingpt.errors import DataError
from fingpt.report.stats import Floats

SECTIONS: tuple[str, ...] = ("pros", "cons", "analysis")
ROUGES: tuple[str, ...] = ("rouge1", "rouge2", "rougeL")
_FLOATS = (
    "truth",
    "nll",
    "answer_tokens",
    "new_tokens",
    "seconds",
    "direction",
    "margin",
    "parsed",
)


@dataclass(frozen=True, eq=False)
class Rows:
    """One variant's scored answers; all fields have one entry per test example, sorted by example id.

    `truth` and `margin`: realised and forecast move, bin midpoints in percentage points (`margin` is NaN where the
    answer could not be read, as is `direction`). `nll`: nats over the `answer_tokens` of the reference answer.
    `new_tokens`, `seconds`: of generation. `rouge`: `pros_rouge1` and so on → F-measure, NaN where unread.
    """

    example: tuple[str, ...]
    week: tuple[str, ...]
    truth: Floats
    nll: Floats
    answer_tokens: Floats
    new_tokens: Floats
    seconds: Floats
    parsed: Floats
    direction: Floats
    margin: Floats
    rouge: Mapping[str, Floats]

    @property
    def n(self) -> int:
        """Number of test examples, read or not."""
        return len(self.example)

    @property
    def correct(self) -> Floats:
        """1 where the forecast direction is the realised one; 0 where it is not, is flat, or could not be read."""
        right: Floats = (self.direction == np.sign(self.truth)).astype(np.float64)
        return right

    @property
    def squared_error(self) -> Floats:
        """Squared percentage points between forecast and realised midpoint; an unread answer forecasts 0."""
        return (np.nan_to_num(self.margin) - self.truth) ** 2

    @property
    def valid(self) -> Floats:
        """1 where a direction and a size could be read."""
        return (np.isfinite(self.direction) & np.isfinite(self.margin)).astype(np.float64)

    def rouge_or_zero(self, name: str) -> Floats:
        """ROUGE column `name`, an unread answer counted as 0."""
        return np.nan_to_num(self.rouge[name])


def read_rows(data: bytes, where: str) -> dict[str, Rows]:
    """Variant → rows from the bytes of a `scores.parquet`; DataError when it is not such a file."""
    rouge = [f"{section}_{name}" for section in SECTIONS for name in ROUGES]
    try:
        table = pq.read_table(
            io.BytesIO(data), columns=["variant", "example", "week", *_FLOATS, *rouge]
        )
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{where} is not a table of scores ({reason}); run eval again.") from None
    missing = {"variant", "example", "week", *_FLOATS, *rouge} - set(table.column_names)
    if missing:
        raise DataError(
            f"{where} lacks the column(s) {', '.join(sorted(missing))}; run eval again."
        )
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return {name: _variant(columns, name, rouge, where) for name in sorted(set(columns["variant"]))}


def _variant(
    columns: Mapping[str, list[object]], variant: str, rouge: list[str], where: str
) -> Rows:
    picked = [i for i, name in enumerate(columns["variant"]) if name == variant]
    picked.sort(key=lambda i: str(columns["example"][i]))
    examples = tuple(str(columns["example"][i]) for i in picked)
    if len(set(examples)) != len(examples):
        raise DataError(f"{where} scores an example twice for '{variant}'; run eval again.")

    def floats(name: str) -> Floats:
        return np.array([_number(columns[name][i]) for i in picked], dtype=np.float64)

    return Rows(
        example=examples,
        week=tuple(str(columns["week"][i]) for i in picked),
        rouge={name: floats(name) for name in rouge},
        **{name: floats(name) for name in _FLOATS},
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
