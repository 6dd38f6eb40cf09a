"""scores.parquet as arrays: one record per variant, ordered by example id so that two variants can be paired.

What counts as read is eval's decision and stands in the column `valid`. An unread answer stays a row: over all answers
it counts as a wrong direction, a forecast of 0 and a ROUGE of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fingpt.errors import DataError
from fingpt.metrics import Floats, correct, squared_error
from fingpt.parquet import open_parquet, read_columns

SECTIONS: tuple[str, ...] = ("pros", "cons", "analysis")
ROUGES: tuple[str, ...] = ("rouge1", "rouge2", "rougeL")
_MAX_VARIANTS = 10
_FLOATS = (
    "truth",
    "nll",
    "answer_tokens",
    "new_tokens",
    "seconds",
    "direction",
    "margin",
    "parsed",
    "valid",
)


@dataclass(frozen=True, eq=False)
class ScoreArrays:
    """One variant's scored answers under `robust`; all fields have one entry per test example, sorted by example id.

    `truth` and `margin`: realised and forecast move, bin midpoints in percentage points. `valid`: 1 where the answer
    was read, as eval decided; elsewhere `direction` is NaN. `margin` is NaN where no size was read. `nll`: nats over
    the `answer_tokens` of the reference answer. `new_tokens`, `seconds`: of generation. `rouge`: `pros_rouge1` and so
    on → F-measure, NaN where unread.
    """

    example: tuple[str, ...]
    week: tuple[str, ...]
    truth: Floats
    nll: Floats
    answer_tokens: Floats
    new_tokens: Floats
    seconds: Floats
    parsed: Floats
    valid: Floats
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
        return correct(self.direction, np.sign(self.truth))

    @property
    def squared_error(self) -> Floats:
        """Squared percentage points between forecast and realised midpoint; without a size the forecast is 0."""
        return squared_error(self.margin, self.truth)

    def rouge_or_zero(self, name: str) -> Floats:
        """ROUGE column `name`, an unread answer counted as 0."""
        return np.nan_to_num(self.rouge[name])


def read_scores(data: bytes, where: str) -> dict[str, ScoreArrays]:
    """Variant → arrays from the bytes of a `scores.parquet`; DataError when it is not such a file."""
    rouge = [f"{section}_{name}" for section in SECTIONS for name in ROUGES]
    wanted = ("variant", "example", "week", *_FLOATS, *rouge)
    try:
        with open_parquet(data, wanted) as file:
            missing = sorted(set(wanted) - set(file.schema_arrow.names))
            if missing:
                raise DataError(
                    f"{where} lacks the column(s) {', '.join(missing)}: another version of eval wrote it; evaluate the "
                    "model with this version: make run MODEL=name."
                )
            columns = read_columns(file, where, wanted)
    except (pa.ArrowException, OSError, UnicodeDecodeError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise DataError(f"{where} is not a table of scores ({reason}); run eval again.") from None
    variants = {name for name in columns["variant"] if isinstance(name, str)}
    if len(variants) > _MAX_VARIANTS or not all(
        isinstance(name, str) for name in columns["variant"]
    ):
        raise DataError(f"{where} names variants that eval does not have; run eval again.")
    return {name: _variant(columns, name, rouge, where) for name in sorted(variants)}


def _variant(
    columns: Mapping[str, list[object]], variant: str, rouge: list[str], where: str
) -> ScoreArrays:
    picked = [i for i, name in enumerate(columns["variant"]) if name == variant]
    picked.sort(key=lambda i: str(columns["example"][i]))
    examples = tuple(str(columns["example"][i]) for i in picked)
    if len(set(examples)) != len(examples):
        raise DataError(f"{where} scores an example twice for '{variant}'; run eval again.")

    def floats(name: str) -> Floats:
        return np.array([_number(columns[name][i]) for i in picked], dtype=np.float64)

    return ScoreArrays(
        example=examples,
        week=tuple(str(columns["week"][i]) for i in picked),
        rouge={name: floats(name) for name in rouge},
        **{name: floats(name) for name in _FLOATS},
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
