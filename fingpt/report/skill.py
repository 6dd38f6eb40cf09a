"""A model against the whole family of trivial forecasts: does it beat every one of them, or does one beat the model?

To have skill a model must beat each trivial forecast, so its smallest lead decides (an intersection-union test, which
needs no correction and picks no rival on the rows that it is tested on). Whether some trivial forecast is better than
the model is Hansen's (2005) test of superior predictive ability over the same family. Pure, seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from fingpt.metrics import Floats, mean
from fingpt.record import Frozen
from fingpt.report.baselines import Baseline
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.flips import Difference, intervals
from fingpt.report.lines import Variant
from fingpt.report.measures import relative_direction
from fingpt.report.paired import paired, parts
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Estimate, per_row
from fingpt.report.verdict import Verdict

ALPHA = 0.05
_SPA_DRAWS = 1000

Question = Literal["direction", "relative", "size"]


class Skill(Frozen):
    """One model against all trivial forecasts in one question.

    `gain` is the lead over the `rival` that is hardest to beat (95 % interval): a share of rows, for size squared
    percentage points. `spa`: p-value that no trivial forecast is better than the model; None for too few weeks. `why`:
    what forbids a verdict.
    """

    model: str
    question: Question
    rivals: int
    rival: str
    gain: Estimate
    verdict: Verdict
    spa: float | None
    why: str = ""


_MODEL: dict[Question, Callable[[ScoreArrays], Floats]] = {
    "direction": lambda scores: scores.correct,
    "relative": lambda scores: relative_direction(scores.margin, scores.truth, scores.week),
    "size": lambda scores: -scores.squared_error,
}
_RIVAL: dict[Question, Callable[[Baseline], Floats | None]] = {
    "direction": lambda baseline: baseline.correct,
    "relative": lambda baseline: baseline.relative,
    "size": lambda baseline: -baseline.squared_error,
}


def skill(
    title: str, question: Question, variant: Variant, found: Sequence[Baseline], why: str = ""
) -> Skill:
    """The model `title` against the trivial ones of `found`, which were made for the same rows in the same order.

    An unread answer is a wrong direction and a forecast of 0. `why`: a reason to say nothing.
    """
    rivals = _family(question, found)
    gaps = differences(question, variant, [scores for _, scores in rivals])
    leads = intervals(gaps, ALPHA, variant.block, together=False)
    hardest = min(
        range(len(gaps)),
        key=lambda k: gaps[k].value if (lead := leads[k]) is None else lead.low,
    )
    gap, lead = gaps[hardest], leads[hardest]
    if lead is None and not why:
        why = f"{gap.weeks} test weeks; an interval needs {MIN_CLUSTERS}"
    word = Verdict.BETTER if lead is not None and lead.low > 0 else Verdict.NO_SKILL
    return Skill(
        model=title,
        question=question,
        rivals=len(rivals),
        rival=rivals[hardest][0],
        gain=Estimate(
            value=gap.value,
            low=lead and lead.low,
            high=lead and lead.high,
            n=gap.n,
            weeks=gap.weeks,
        ),
        verdict=Verdict.NOT_COMPARABLE if why else word,
        spa=None if lead is None else superior_p(gaps, variant.block),
        why=why,
    )


def differences(question: Question, variant: Variant, rivals: Sequence[Floats]) -> list[Difference]:
    """The model's lead over each rival's per-row scores, by week and seed; at least one row is needed."""
    weeks = int(variant.codes.max()) + 1
    everything = np.ones(len(variant.codes))
    own = parts(
        mean,
        [per_row(_MODEL[question](scores)) for scores in variant.seeds],
        variant.codes,
        weeks,
    )
    gaps = []
    for rival in rivals:
        theirs = parts(mean, [per_row(rival)] * len(variant.seeds), variant.codes, weeks)
        gap = paired(theirs, own, variant.codes, everything)
        assert gap is not None, "a mean over rows is defined"
        gaps.append(gap)
    return gaps


def superior_p(gaps: Sequence[Difference], block: int) -> float:
    """Hansen's consistent p-value that no trivial forecast is better, over the weeks' mean scores."""
    from arch.bootstrap import SPA

    used = gaps[0].share > 0
    lead = np.column_stack([gap.weekly[used] / gap.share[used] for gap in gaps])
    lead = lead[:, np.abs(lead).max(axis=0) > 0]  # a rival that forecasts what the model does
    if not lead.shape[1]:
        return 1.0
    # Only losses' differences count: the model's are 0, a rival's are the model's lead over it.
    test = SPA(
        np.zeros(len(lead)), lead, block_size=block, reps=_SPA_DRAWS, bootstrap="circular", seed=0
    )
    test.compute()
    return float(test.pvalues["consistent"])


def _family(question: Question, found: Sequence[Baseline]) -> list[tuple[str, Floats]]:
    """Title and per-row scores of the trivial forecasts; those that score alike on every row stand for one."""
    rivals: dict[bytes, tuple[str, Floats]] = {}
    for baseline in found:
        scores = _RIVAL[question](baseline)
        if baseline.trivial and scores is not None:
            rivals.setdefault(scores.tobytes(), (baseline.title, scores))
    return list(rivals.values())
