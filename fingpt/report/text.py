"""Metrics of an answer's text beside ROUGE: numbers that its prompt has, length, truncation.

Rows for which no answer was asked do not count. A table from before these were measured has none of them.
"""

from __future__ import annotations

import numpy as np

from fingpt.metrics import Floats
from fingpt.report.lines import Metric
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Columns

_GROUP = "text"


def _per_answer(scores: ScoreArrays, values: Floats | None) -> Columns:
    """The columns of a mean over the answers that were asked for."""
    if values is None:
        return {"total": np.zeros(scores.n), "count": np.zeros(scores.n)}
    return {"total": np.nan_to_num(values) * scores.asked, "count": scores.asked}


def _faithfulness_columns(scores: ScoreArrays) -> Columns:
    if scores.numbers is None or scores.numbers_in_prompt is None:
        return _per_answer(scores, None)
    return {
        "total": np.nan_to_num(scores.numbers_in_prompt),
        "count": np.nan_to_num(scores.numbers),
    }


FAITHFULNESS = Metric(
    key="faithfulness",
    group=_GROUP,
    title="numbers of the answers that their prompts have",
    unit="%",
    higher_is_better=True,
    columns=_faithfulness_columns,
    scale=100,
    digits=1,
)
ANSWER_WORDS = Metric(
    key="answer_words",
    group=_GROUP,
    title="words per answer",
    unit="words",
    higher_is_better=False,
    columns=lambda scores: _per_answer(scores, scores.answer_words),
    digits=0,
)
TRUNCATED = Metric(
    key="truncated",
    group=_GROUP,
    title="answers that were cut off",
    unit="%",
    higher_is_better=False,
    columns=lambda scores: _per_answer(scores, scores.truncated),
    scale=100,
    digits=1,
)
TEXT_METRICS: tuple[Metric, ...] = (FAITHFULNESS, ANSWER_WORDS, TRUNCATED)
"""In the order of a table; of the length it is only said that it differs, no length is better than another."""
