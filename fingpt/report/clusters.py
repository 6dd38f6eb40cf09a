"""What is drawn as one: rows whose label windows overlap share the market, so they are no separate evidence. Pure.

Rows are grouped by the day on which their forecast starts. Where windows of different days overlap (five start days a
week, say), days are pooled into spans as long as a window; a window then reaches into the next span and no further, and
neighbouring spans have to be drawn together as a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fingpt.metrics import Floats

MIN_CLUSTERS = 8
"""Signs of fewer weeks than these agree by chance too often: six weeks gave a size of 7.8 %."""
_CORRELATION = 1.96


@dataclass(frozen=True)
class Weeks:
    """The spans of time that rows of one report fall into, oldest first: the clusters of every interval.

    `days`: length of a label window. `starts`: every day on which a forecast starts.
    """

    starts: tuple[str, ...]
    days: int = 7

    @classmethod
    def of(cls, starts: Iterable[str], days: int = 7) -> Weeks:
        """The weeks of forecasts that start on these days (YYYY-MM-DD) and cover `days` days each."""
        return cls(tuple(sorted(set(starts))), days)

    @cached_property
    def _days(self) -> list[date]:
        return [date.fromisoformat(start) for start in self.starts]

    @cached_property
    def overlap(self) -> bool:
        """Whether the windows of two start days have a day in common."""
        reach = timedelta(days=self.days)
        return any(b - a < reach for a, b in zip(self._days, self._days[1:], strict=False))

    @cached_property
    def _code(self) -> dict[str, int]:
        if not self.overlap:
            return {start: code for code, start in enumerate(self.starts)}
        spans = [(day - self._days[0]).days // self.days for day in self._days]
        order = {span: code for code, span in enumerate(sorted(set(spans)))}
        return {start: order[span] for start, span in zip(self.starts, spans, strict=True)}

    @property
    def count(self) -> int:
        """Number of weeks (of spans where windows overlap)."""
        return max(self._code.values(), default=-1) + 1

    @property
    def block(self) -> int:
        """How many neighbouring weeks are drawn together at least."""
        return 2 if self.overlap else 1

    def codes(self, starts: Sequence[str]) -> NDArray[np.intp]:
        """The week's number of each row, by the day on which its forecast starts."""
        return np.fromiter(
            (self._code[start] for start in starts), dtype=np.intp, count=len(starts)
        )

    def block_for(self, weekly: Floats) -> int:
        """Length of a block in weeks for differences that may be correlated over time, one entry per week.

        Two weeks, and the next power of what is needed, where the correlation of neighbours is significantly positive:
        the block length n^(1/3)·(2ρ/(1−ρ²))^(2/3) of an autoregressive series (Andrews 1991, Bartlett weights).
        """
        gaps = weekly - weekly.mean() if len(weekly) else weekly
        total = float(gaps @ gaps)
        if self.count < MIN_CLUSTERS or total == 0:
            return self.block
        rho = float(gaps[1:] @ gaps[:-1]) / total
        if rho * math.sqrt(len(gaps)) <= _CORRELATION:
            return self.block
        rho = min(rho, 0.9)
        wanted: float = 1.1447 * (len(gaps) * 4 * rho**2 / (1 - rho**2) ** 2) ** (1 / 3)
        return max(2, self.block, math.ceil(wanted))
