"""A model against the whole family of trivial forecasts: does it beat every one of them, or does one beat the model?

To have skill a model must beat each trivial forecast, so its smallest lead decides (an intersection-union test, which
needs no correction and picks no rival on the rows that it is tested on). Whether some trivial forecast is better than
the model is Hansen's (2005) test of superior predictive ability over the same family. Pure, seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fingpt.metrics import Floats, mean
from fingpt.record import Frozen
from fingpt.report.baselines import Baseline
from fingpt.report.clusters import MIN_CLUSTERS
from fingpt.report.flips import Difference, intervals
from fingpt.report.lines import Variant
from fingpt.report.measures import relative_direction
from fingpt.report.paired import paired, parts
from fingpt.report.probabilities import added, log_losses
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import Estimate, per_row
from fingpt.report.verdict import Verdict

ALPHA = 0.05
_SPA_DRAWS = 1000

Question = Literal["direction", "relative", "size", "probability"]


class Skill(Frozen):
    """One model against all trivial forecasts in one question.

    `gain` is the lead over the `rival` that is hardest to beat, a share of rows, squared percentage points for size,
    nats for probability, over the rows that were asked for an answer in prose (probability: over all). Its interval
    holds at `level`, which leaves room for all models and questions of the report. `spa`: p-value that no trivial
    forecast is better than the model; None for too few weeks. `why`: what forbids a verdict.
    """

    model: str
    question: Question
    rivals: int
    rival: str
    gain: Estimate
    level: float
    verdict: Verdict
    spa: float | None
    why: str = ""


_MODEL: dict[Question, Callable[[ScoreArrays], Floats]] = {
    "direction": lambda scores: scores.correct,
    "relative": lambda scores: (
        scores.valid * relative_direction(scores.margin, scores.truth, scores.week, scores.asked)
    ),
    "size": lambda scores: -scores.squared_error,
    "probability": lambda scores: -log_losses(added(scores)),
}
_RIVAL: dict[Question, Callable[[Baseline], Floats | None]] = {
    "direction": lambda baseline: baseline.correct,
    "relative": lambda baseline: baseline.relative,
    "size": lambda baseline: -baseline.squared_error,
    "probability": lambda baseline: None if baseline.log_loss is None else -baseline.log_loss,
}


@dataclass(frozen=True, eq=False)
class Lead:
    """The smallest lead of a model over its rivals, one `gaps` entry each; `rival` is that one's title."""

    question: Question
    gaps: Sequence[Difference]
    rival: str
    gain: Estimate
    level: float
    block: int

    @property
    def over_all(self) -> bool:
        """Whether the model beats every rival."""
        return self.gain.low is not None and self.gain.low > 0


def skills(
    models: Sequence[tuple[str, Variant, str]], found: Sequence[Baseline]
) -> tuple[Skill, ...]:
    """Every model (title, answers, a reason to say nothing) in every question, together at 5 % (Bonferroni)."""
    asked = [
        (title, variant, why, question)
        for title, variant, why in models
        for question in questions(variant)
    ]
    return tuple(
        skill(title, lead(question, variant, found, ALPHA / len(asked)), why)
        for title, variant, why, question in asked
    )


def questions(variant: Variant) -> tuple[Question, ...]:
    """What may be asked of a model: its probabilities only where they were scored."""
    every: tuple[Question, ...] = get_args(Question)
    scored = all(scores.label_logp is not None for scores in variant.seeds)
    return every if scored else tuple(one for one in every if one != "probability")


def lead(
    question: Question, variant: Variant, found: Sequence[Baseline], alpha: float = ALPHA
) -> Lead:
    """The model against the trivial ones of `found`, which were made for the same rows in the same order.

    An unread answer is a wrong direction and a forecast of 0.
    """
    rivals = _family(question, found)
    gaps = differences(question, variant, [scores for _, scores in rivals])
    reaches = intervals(gaps, alpha, variant.block, together=False)

    def low(place: int) -> float:
        reach = reaches[place]
        return gaps[place].value if reach is None else reach.low

    hardest = min(range(len(gaps)), key=low)
    gap, reach = gaps[hardest], reaches[hardest]
    gain = Estimate(
        value=gap.value,
        low=None if reach is None else reach.low,
        high=None if reach is None else reach.high,
        n=gap.n,
        weeks=gap.weeks,
    )
    return Lead(question, gaps, rivals[hardest][0], gain, 1 - alpha, variant.block)


def skill(title: str, its: Lead, why: str = "") -> Skill:
    """What the lead of the model `title` says; `why`: a reason to say nothing."""
    word, why = judged(its, why)
    return Skill(
        model=title,
        question=its.question,
        rivals=len(its.gaps),
        rival=its.rival,
        gain=its.gain,
        level=its.level,
        verdict=word,
        spa=None if its.gain.low is None else superior_p(its.gaps, its.block),
        why=why,
    )


def judged(its: Lead, why: str = "") -> tuple[Verdict, str]:
    """The verdict on skill, and what forbids one: `why`, or too few weeks for an interval."""
    if its.gain.low is None and not why:
        weeks = its.gain.weeks
        why = f"{weeks} test week{'s' if weeks != 1 else ''}; an interval needs {MIN_CLUSTERS}"
    if why:
        return Verdict.NOT_COMPARABLE, why
    return (Verdict.BETTER if its.over_all else Verdict.NO_SKILL), ""


def differences(question: Question, variant: Variant, rivals: Sequence[Floats]) -> list[Difference]:
    """The model's lead over each rival's per-row scores, by week and seed; at least one row is needed.

    Rows without a request for prose enter where probabilities are judged, and nowhere else.
    """
    weeks = int(variant.codes.max()) + 1
    counted = np.ones(len(variant.codes)) if question == "probability" else variant.asked
    own = parts(
        mean,
        [per_row(_MODEL[question](scores), counted) for scores in variant.seeds],
        variant.codes,
        weeks,
    )
    gaps = []
    for rival in rivals:
        theirs = parts(mean, [per_row(rival, counted)] * len(variant.seeds), variant.codes, weeks)
        gap = paired(theirs, own, variant.codes, counted)
        assert gap is not None, "a mean over rows is defined"
        gaps.append(gap)
    return gaps


def superior_p(gaps: Sequence[Difference], block: int) -> float:
    """Hansen's consistent p-value that no trivial forecast is better, over the weeks' mean scores."""
    from arch.bootstrap import SPA

    used = gaps[0].share > 0
    leads = np.column_stack([gap.weekly[used] / gap.share[used] for gap in gaps])
    leads = leads[:, np.abs(leads).max(axis=0) > 0]  # a rival that forecasts what the model does
    if not leads.shape[1]:
        return 1.0
    # Only losses' differences count: the model's are 0, a rival's are the model's lead over it.
    test = SPA(
        np.zeros(len(leads)), leads, block_size=block, reps=_SPA_DRAWS, bootstrap="circular", seed=0
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
