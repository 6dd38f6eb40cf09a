"""The verdict words: one spelling of each, and the rule that picks one for a difference. Pure."""

from __future__ import annotations

from enum import StrEnum

from fingpt.report.flips import Interval


class Verdict(StrEnum):
    """How one model stands against another, or against trivial forecasts; report.json has the value."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    NO_DIFFERENCE = "no detectable difference"
    NOT_COMPARABLE = "not comparable"
    NO_SKILL = "no skill shown"
    NOTE = "note"
    """A sentence that gives context, without a verdict."""

    @property
    def label(self) -> str:
        """The word as pages, charts and sentences print it; empty for a note."""
        return "" if self is Verdict.NOTE else self.value

    @property
    def decisive(self) -> bool:
        """Whether it says which of the two is ahead."""
        return self in (Verdict.BETTER, Verdict.WORSE)


COMPARISONS = (
    Verdict.BETTER,
    Verdict.WORSE,
    Verdict.EQUIVALENT,
    Verdict.NO_DIFFERENCE,
    Verdict.NOT_COMPARABLE,
)
"""The verdicts that a comparison of two models may have."""


def verdict(found: Interval, higher_is_better: bool, margin: float | None = None) -> Verdict:
    """`equivalent` where the inner interval lies within ±`margin` (two one-sided tests, Schuirmann 1987).

    Else `better` or `worse` where the interval leaves out 0. A gap below the margin counts as none, however sure it is.
    """
    if margin is not None and -margin < found.inner_low <= found.inner_high < margin:
        return Verdict.EQUIVALENT
    if found.low <= 0 <= found.high:
        return Verdict.NO_DIFFERENCE
    return Verdict.BETTER if (found.low > 0) == higher_is_better else Verdict.WORSE
