"""A case is an example with the facts of its prompt; what the linter's rules share to count and to name cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingpt.prep.facts import Facts
from fingpt.prompts.examples import Example
from fingpt.runs.manifest import Finding


@dataclass(frozen=True, slots=True)
class Case:
    """An example with the facts of its prompt."""

    example: Example
    facts: Facts

    @property
    def name(self) -> str:
        """What a person calls the row."""
        return f"{self.example.symbol} {self.example.period}"

    @property
    def days_since_report(self) -> int | None:
        """Days from the fiscal period's end to the day the forecast was due; negative: it had not even ended."""
        reported = self.facts.reported
        return None if reported is None else (self.example.start - reported).days

    @property
    def cap_says_up(self) -> bool | None:
        """Whether market capitalisation per share lies above the last price; None when the prompt lacks one."""
        cap, last = self.facts.cap_price, self.facts.last_price
        return None if cap is None or last is None else cap > last


Cases = Mapping[str, Sequence[Case]]
"""Split → its cases."""


def everything(cases: Cases) -> list[Case]:
    """The cases of all splits, train first."""
    return [case for part in cases.values() for case in part]


def finding(
    rule: str, severity: str, split: str, hits: Sequence[Case], of: int, text: str
) -> Finding:
    """A finding that counts `hits` and shows the first."""
    return Finding(
        rule=rule,
        severity=severity,
        split=split,
        count=len(hits),
        of=of,
        text=text,
        example=hits[0].name if hits else "",
    )


def percent(share: float) -> str:
    """`share` as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927)."""
    z = 1.959964
    share, weight = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / weight
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / weight
    return middle - half, middle + half
