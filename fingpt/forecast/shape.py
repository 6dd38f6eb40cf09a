"""Whether a question has the parts of the run's training rows: a model asked otherwise than it was taught guesses.

Parts are known by their headings (`[Technical Indicators]:`), whoever wrote the rows. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fingpt.prompts.headings import headings


@dataclass(frozen=True)
class Shape:
    """Headings of prompts: those that some have, and those that all have."""

    some: frozenset[str]
    every: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Shape:
        """The shape of these prompts; at least one is needed."""
        found = [headings(text) for text in texts]
        return cls(frozenset.union(*found), frozenset.intersection(*found))

    def differences(self, text: str) -> tuple[str, ...]:
        """A sentence for what `text` has and no prompt of the shape, and for what it lacks and all have."""
        own = headings(text)
        told = (
            ("has", own - self.some, "none"),
            ("lacks", self.every - own, "all"),
        )
        return tuple(
            f"The question {verb} {', '.join(sorted(parts))}, which {which} of the run's training rows have: the model "
            "is asked otherwise than it was taught; name the SOURCES file that its rows were built with."
            for verb, parts, which in told
            if parts
        )
