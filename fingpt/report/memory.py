"""What a model may know by heart: the map of cutoffs and dates, and how much names and memory tell. Pure.

Three signs (Lopez-Lira, Tang and Zhu 2025, "The Memorization Problem"): the forecast gets worse without names and
dates; the bare question is answered better than the base rate; rows that may have been in the training data are
forecast better than later ones. None of them proves that a model does not remember.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fingpt.models import ModelSpec
from fingpt.prompts.examples import Example
from fingpt.record import Frozen
from fingpt.report.lines import Metric
from fingpt.report.probabilities import (
    LABEL_ACCURACY,
    LABEL_LOG_LOSS,
    anonymous,
    base_rate,
    recalled,
)
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Columns, Estimate, WeekBootstrap


class CutoffBar(Frozen):
    """A model in the map; `stated` is None where the vendor says nothing. Days are ISO dates."""

    model: str
    stated: str | None
    clean_from: str
    source: str


class SplitBar(Frozen):
    """A split in the map: its first as-of day, the last day of its last week, its rows."""

    split: str
    first: str
    last: str
    rows: int


class CutoffMap(Frozen):
    """Models that have read something of the world, and splits that have rows."""

    models: tuple[CutoffBar, ...]
    splits: tuple[SplitBar, ...]


class Memory(Frozen):
    """One variant on rows that its base may know (`before` the clean day) and on those that it cannot (`after`).

    `without_names`: log-loss without names and dates minus that with them; above 0, names tell something. `recall`:
    log-loss of the bare question minus that of the base rate; below 0, the model remembers. The others are None where
    a side has no rows.
    """

    before: int
    after: int
    without_names: Estimate | None
    recall: Estimate | None
    log_loss_before: Estimate | None
    log_loss_after: Estimate | None
    accuracy_before: Estimate | None
    accuracy_after: Estimate | None


def cutoff_map(models: Sequence[ModelSpec], splits: Mapping[str, Sequence[Example]]) -> CutoffMap:
    """The map for models and the examples of each split."""
    return CutoffMap(
        models=tuple(
            CutoffBar(
                model=model.title,
                stated=cutoff.stated.isoformat() if cutoff.stated else None,
                clean_from=cutoff.clean_from.isoformat(),
                source=cutoff.source,
            )
            for model in models
            if (cutoff := model.cutoff)
        ),
        splits=tuple(
            SplitBar(
                split=name,
                first=min(example.start for example in rows).isoformat(),
                last=max(example.end for example in rows).isoformat(),
                rows=len(rows),
            )
            for name, rows in splits.items()
            if rows
        ),
    )


def memory(
    model: ModelSpec, scores: ScoreArrays, train: Sequence[Example], seed: int = 0
) -> Memory | None:
    """The signs of memory in `scores`; None for a base that knows nothing of the world, or without label scores."""
    if model.cutoff is None or scores.label_logp is None:
        return None
    # ISO dates sort as days do.
    known = np.array([week < model.cutoff.clean_from.isoformat() for week in scores.week])
    masked, bare = anonymous(scores), recalled(scores)

    def gap(first: ScoreArrays, second: ScoreArrays) -> Estimate:
        return WeekBootstrap(scores.week, seed).difference(
            LABEL_LOG_LOSS.statistic, LABEL_LOG_LOSS.columns(first), LABEL_LOG_LOSS.columns(second)
        )

    return Memory(
        before=int(known.sum()),
        after=int((~known).sum()),
        without_names=gap(scores, masked) if masked else None,
        recall=gap(base_rate(scores, train), bare) if bare else None,
        log_loss_before=_over(LABEL_LOG_LOSS, scores, known, seed),
        log_loss_after=_over(LABEL_LOG_LOSS, scores, ~known, seed),
        accuracy_before=_over(LABEL_ACCURACY, scores, known, seed),
        accuracy_after=_over(LABEL_ACCURACY, scores, ~known, seed),
    )


def _over(metric: Metric, scores: ScoreArrays, pick: np.ndarray, seed: int) -> Estimate | None:
    """The metric over the picked rows and their weeks."""
    if not pick.any():
        return None
    weeks = [week for week, kept in zip(scores.week, pick, strict=True) if kept]
    columns: Columns = {name: column[pick] for name, column in metric.columns(scores).items()}
    return WeekBootstrap(weeks, seed).estimate(metric.statistic, columns)
