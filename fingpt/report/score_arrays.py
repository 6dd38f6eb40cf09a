"""scores.parquet as arrays: one record per variant, ordered by example id so that two variants can be paired.

What counts as read is eval's decision and stands in the column `valid`. An unread answer stays a row: over all answers
it counts as a wrong direction, a forecast of 0 and a ROUGE of 0. A row for which no answer was asked is another thing:
it has label probabilities and no part in any score of text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fingpt.errors import DataError
from fingpt.metrics import Floats, correct, squared_error
from fingpt.parquet import open_parquet, read_columns
from fingpt.prompts.examples import LABELS

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
_ADDED_FLOATS = ("truncated", "answer_words", "numbers", "numbers_in_prompt", "realised")
_ADDED_LABELS = ("label_logp", "anonymous_logp", "recall_logp")
"""Columns that tables of earlier versions do not have."""


@dataclass(frozen=True, eq=False)
class ScoreArrays:
    """One variant's scored answers under `robust`; all fields have one entry per test example, sorted by example id.

    `truth` and `margin`: realised and forecast move, bin midpoints in percentage points. `valid`: 1 where the answer
    was read, as eval decided; elsewhere `direction` is NaN. `margin` is NaN where no size was read. `nll`: nats over
    the `answer_tokens` of the reference answer. `new_tokens`, `seconds`: of generation. `rouge`: `pros_rouge1` and so
    on → F-measure, NaN where unread.

    `label_logp`: (n, 12), the log-likelihood in nats of each label after the fixed header, in the order of
    `fingpt.prompts.examples.LABELS`, not normalised. `anonymous_logp`: the same after a prompt with names replaced and
    dates shifted; `recall_logp`: after a question that gives nothing but symbol and dates. `realised`: the return of
    the week in percent, NaN where no prompt states it. Of the answer: `truncated` (1: it was cut off), `answer_words`,
    `numbers` and how many of them the prompt has (`numbers_in_prompt`). None where the table lacks the column.
    `calibrated_logp`: `label_logp` as sure as the model may be; `anchored_logp`: what it adds to the training labels'
    shares (`metrics.anchored`). Both with temperatures of validation rows, None without such rows.
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
    label_logp: Floats | None = None
    anonymous_logp: Floats | None = None
    recall_logp: Floats | None = None
    realised: Floats | None = None
    truncated: Floats | None = None
    answer_words: Floats | None = None
    numbers: Floats | None = None
    numbers_in_prompt: Floats | None = None
    calibrated_logp: Floats | None = None
    anchored_logp: Floats | None = None

    @property
    def asked(self) -> Floats:
        """1 where the model was asked for an answer in prose, 0 where its label probabilities alone were measured."""
        return (~np.isnan(self.new_tokens)).astype(np.float64)

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
    added = (*_ADDED_FLOATS, *_ADDED_LABELS)
    try:
        with open_parquet(data, wanted) as file:
            there = set(file.schema_arrow.names)
            missing = sorted(set(wanted) - there)
            if missing:
                raise DataError(
                    f"{where} lacks the column(s) {', '.join(missing)}: another version of eval wrote it; evaluate the "
                    "model with this version: make run MODEL=name."
                )
            columns = read_columns(
                file, where, (*wanted, *(name for name in added if name in there))
            )
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

    def labels(name: str) -> Floats | None:
        cells = [columns[name][i] for i in picked] if name in columns else []
        return _labels(cells, f"{where}, column {name},")

    return ScoreArrays(
        example=examples,
        week=tuple(str(columns["week"][i]) for i in picked),
        rouge={name: floats(name) for name in rouge},
        label_logp=labels("label_logp"),
        anonymous_logp=labels("anonymous_logp"),
        recall_logp=labels("recall_logp"),
        **{name: floats(name) for name in (*_FLOATS, *_ADDED_FLOATS) if name in columns},
    )


def _labels(cells: list[object], where: str) -> Floats | None:
    """Cells of twelve log-likelihoods as (n, 12), None where no cell holds any; DataError for anything else."""
    if all(cell is None for cell in cells):
        return None
    rows = [[_number(value) for value in cell] if isinstance(cell, list) else [] for cell in cells]
    if (
        any(len(row) != len(LABELS) for row in rows)
        or not np.isfinite(found := np.array(rows)).all()
    ):
        raise DataError(f"{where} does not hold {len(LABELS)} numbers per row; run eval again.")
    return found


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
