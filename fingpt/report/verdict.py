"""The verdict words: one spelling of each, and the rule that picks one for a difference. Pure."""

from __future__ import annotations

from enum import StrEnum

from fingpt.report.stats import MIN_WEEKS, Estimate


class Verdict(StrEnum):
    """How a later model stands against the first, or a model against a trivial forecast; report.json has the value."""

    BETTER = "better"
    WORSE = "worse"
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


COMPARISONS = (Verdict.BETTER, Verdict.WORSE, Verdict.NO_DIFFERENCE, Verdict.NOT_COMPARABLE)
"""The verdicts that a comparison of two models may have."""


def verdict(difference: Estimate, higher_is_better: bool) -> tuple[Verdict, str]:
    """`better` or `worse` where the interval leaves out 0; with `not comparable` comes the reason."""
    if difference.value is None:
        return Verdict.NOT_COMPARABLE, "no answer could be read"
    if difference.low is None or difference.high is None:
        return (
            Verdict.NOT_COMPARABLE,
            f"{difference.weeks} test weeks, an interval needs {MIN_WEEKS}",
        )
    if difference.low <= 0 <= difference.high:
        return Verdict.NO_DIFFERENCE, ""
    ahead = (difference.low > 0) == higher_is_better
    return (Verdict.BETTER if ahead else Verdict.WORSE), ""
