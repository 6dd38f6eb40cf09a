"""What the parsers `strict` and `robust` return: a Forecast, or a ParseFailure with its reason. No parsing here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SECTIONS: tuple[str, ...] = ("pros", "cons", "analysis")


@dataclass(frozen=True, slots=True)
class Forecast:
    """A parsed answer.

    `direction`: +1, 0 (flat) or -1. `margin`: signed size in percentage points, None when the answer gives none.
    `bin`: 1 to 6 as in `fingpt.prompts.examples.Label`, 0 for flat, None without a size.
    `flags`: what was unusual, sorted.
    """

    pros: str
    cons: str
    analysis: str
    direction: int
    margin: float | None
    bin: int | None
    flags: tuple[str, ...] = ()
    ok: Literal[True] = True

    def section(self, name: str) -> str:
        """Text of one of `SECTIONS`."""
        return {"pros": self.pros, "cons": self.cons, "analysis": self.analysis}[name]


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """An answer that a parser cannot read; `reason` is a short phrase from a closed list, which manifests count."""

    reason: str
    flags: tuple[str, ...] = ()
    ok: Literal[False] = False


ParseResult = Forecast | ParseFailure

_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"


def strip_reasoning(text: str) -> tuple[str, bool]:
    """The answer after the last `</think>`, and whether a reasoning block was opened and never closed.

    Without a closing tag the text after an opening tag is returned, so that an answer given inside it can be read.
    """
    _, close, tail = text.rpartition(_THINK_CLOSE)
    if close:
        return tail, False
    _, opened, tail = text.partition(_THINK_OPEN)
    return (tail, True) if opened else (text, False)
