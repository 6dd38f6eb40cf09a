"""What every rule gets and gives: the cases of all splits, and findings that count and score some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fingpt.leaks import FAULTS
from fingpt.prep.facts import Case
from fingpt.runs.manifest import Finding

Cases = Mapping[str, Sequence[Case]]
"""Split → its cases."""


def all_cases(cases: Cases) -> list[Case]:
    """The cases of all splits, train first."""
    return [case for part in cases.values() for case in part]


def finding(
    rule: str,
    severity: str,
    split: str,
    hits: Sequence[Case],
    of: int,
    text: str,
) -> Finding:
    """A finding that counts `hits` and shows the first; what it spoils stands in the table of faults."""
    return Finding(
        rule=rule,
        severity=severity,
        split=split,
        count=len(hits),
        of=of,
        text=text,
        example=hits[0].name if hits else "",
        touches=() if severity == "info" else FAULTS[rule].touches,
    )


def scored(found: Finding, right: Sequence[bool]) -> Finding:
    """`found` with the share of `right` directions that the fault alone would give on the rows that it touches."""
    share = round(sum(right) / len(right), 4) if len(right) else None
    return found.model_copy(update={"score": share})


def percent(share: float) -> str:
    """`share` as a percentage with one decimal."""
    return f"{100 * share:.1f} %"
