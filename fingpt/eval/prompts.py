"""Test rows as a model sees them, in the fixed batches that both loss and generation use. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingpt.errors import DataError
from fingpt.prompts.examples import Example


@dataclass(frozen=True, slots=True)
class Row:
    """One example and its ids; `answer_ids` end with the stop id."""

    example: Example
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]


def batches(rows: Sequence[Row], size: int, length: Callable[[Row], int]) -> list[list[Row]]:
    """Batches of `size` rows of like `length`, longest first, so that memory fails at once or never.

    Ties are broken by example id: the batches depend on the rows alone, never on their order or on a resume.
    """
    ordered = sorted(rows, key=lambda row: (-length(row), row.example.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` indices out of `count`, evenly spread, the first included."""
    take = min(count, limit)
    return [index * count // take for index in range(take)]


def refuse_duplicates(rows: Sequence[Row]) -> None:
    """DataError when an example occurs twice: its scores would be counted twice."""
    seen: set[str] = set()
    for row in rows:
        if row.example.id in seen:
            raise DataError(
                f"Test row {row.example.symbol} {row.example.period} occurs twice; run prep again to rebuild the data."
            )
        seen.add(row.example.id)
