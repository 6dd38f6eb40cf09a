"""Test rows as a model sees them, as tokens, in the fixed batches that both loss and generation use. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingpt.errors import DataError
from fingpt.prompts.examples import Example

_CPU_TOKENS = 4096  # of 16 rows of 1,900 tokens, two at once were twice as fast as all, and one at a time no faster


@dataclass(frozen=True, slots=True)
class Prompt:
    """One example as token ids: its prompt, and its reference answer with the stop id."""

    example: Example
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]


def batches(
    prompts: Sequence[Prompt], size: int, length: Callable[[Prompt], int]
) -> list[list[Prompt]]:
    """Batches of `size` prompts of like `length`, longest first, so that memory fails at once or never.

    Ties are broken by example id: the batches depend on the prompts alone, never on their order or on a resume.
    """
    ordered = sorted(prompts, key=lambda prompt: (-length(prompt), prompt.example.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def passes(lengths: Sequence[int], place: str) -> list[slice]:
    """Parts of a batch, longest first, that a device of the kind `place` (`cuda`, `cpu`) reads at once, padded.

    A GPU reads all of it. On a CPU more tokens give nothing to compute faster with, and their states leave its caches:
    at most 4,096 a pass, but a row at least.
    """
    if place != "cpu":
        return [slice(0, len(lengths))]
    found, start = [], 0
    while start < len(lengths):
        end = start + max(1, _CPU_TOKENS // lengths[start])
        found.append(slice(start, end))
        start = end
    return found


def evenly_spaced(count: int, limit: int) -> list[int]:
    """At most `limit` indices out of `count`, evenly spread, the first included."""
    take = min(count, limit)
    return [index * count // take for index in range(take)]


def to_answer(test: Sequence[Prompt], limit: int | None) -> list[Prompt]:
    """The prompts that are answered in prose, in their order: all, or `limit` of them, evenly spread over the weeks.

    Inside a week rows are taken in the order of their ids, which are hashes: a step of 30 rows would meet one symbol.
    """
    if limit is None or limit >= len(test):
        return list(test)
    mixed = sorted(test, key=lambda prompt: (prompt.example.start, prompt.example.id))
    chosen = {mixed[index].example.id for index in evenly_spaced(len(mixed), limit)}
    return [prompt for prompt in test if prompt.example.id in chosen]


def refuse_duplicates(prompts: Sequence[Prompt], split: str = "test") -> None:
    """DataError when an example occurs twice: its scores would be counted twice."""
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.example.id in seen:
            raise DataError(
                f"{split.capitalize()} row {prompt.example.symbol} {prompt.example.period} occurs twice; run prep "
                "again to rebuild the data."
            )
        seen.add(prompt.example.id)
