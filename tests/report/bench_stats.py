"""How often the report is right about invented worlds: `make bench-stats`.

It is `python -m tests.report.bench_stats`. An optional number says how many draws each world gets (1,000), names of
groups (noise, planted, seeds, equal) choose some. Prints a Markdown table: world, what is wanted, what was
measured, in per cent of the draws. The same draws, fewer of them, are tests (test_promises.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np

from fingpt.report.lines import Line
from fingpt.report.power import detectable_gap, power_at
from fingpt.report.stats import Estimate
from fingpt.report.table import Tables
from fingpt.report.verdict import Verdict
from tests.report.draws import (
    KINDS,
    LOSS,
    ROUGE,
    SYMBOLS,
    Draw,
    drawn,
    have_skill,
    primary,
    words,
)

DISCORDANCE = 0.5


@dataclass(frozen=True)
class Promise:
    """A world and what is wanted of it: the share of draws in which `counted` holds lies within `low` and `high`."""

    name: str
    draw: Draw
    low: float
    high: float
    counted: Callable[[Draw, list, Tables, np.random.Generator], bool]


def shares(promises: Sequence[Promise], count: int) -> list[float]:
    """What was measured of promises about one world, over the same `count` draws."""
    rng = np.random.default_rng(7)
    kept = np.zeros(len(promises))
    for both, made in drawn(promises[0].draw, count):
        kept += [promise.counted(promise.draw, both, made, rng) for promise in promises]
    return [float(share) for share in kept / count]


def any_winner(draw: Draw, both: list, made: Tables, rng: np.random.Generator) -> bool:
    """Whether the report names a winner anywhere, a trivial forecast that is beaten included."""
    return bool(words(made) & {Verdict.BETTER, Verdict.WORSE}) or have_skill(both, rng)


def found(draw: Draw, both: list, made: Tables, rng: np.random.Generator) -> bool:
    """Whether the second model is called better in the primary question."""
    return primary(made) is Verdict.BETTER


def decided(draw: Draw, both: list, made: Tables, rng: np.random.Generator) -> bool:
    """Whether the primary question has a winner."""
    return primary(made).decisive


def alike(draw: Draw, both: list, made: Tables, rng: np.random.Generator) -> bool:
    """Whether the two are called equivalent in the primary question."""
    return primary(made) is Verdict.EQUIVALENT


def _line(made: Tables, key: str) -> Line:
    return next(line for line in made.lines if line.key == key)


def _holds(estimate: Estimate | None, truth: float) -> bool:
    return (
        estimate is not None and estimate.low is not None and estimate.low <= truth <= estimate.high
    )


def gap_holds(draw: Draw, both: list, made: Tables, rng: np.random.Generator) -> bool:
    """Whether the primary interval (96 %) holds the planted gap."""
    line = next(line for line in made.lines if line.primary)
    return _holds(line.comparisons[0].difference, draw.right)


def value_holds(
    key: str, truth: float, draw: Draw, both: list, made: Tables, rng: np.random.Generator
) -> bool:
    """Whether the 95 % interval of the first model's value holds the truth."""
    return _holds(_line(made, key).values[0], truth)


def stated(weeks: int) -> float:
    """The gap that the power statement names for a test of so many weeks."""
    gap = detectable_gap(SYMBOLS * weeks, weeks, DISCORDANCE)
    assert gap is not None
    return gap


def noise() -> Iterator[Promise]:
    """Worlds in which nobody is better, and whether the first model's intervals hold the truth there."""
    for weeks in (10, 52, 20, 8):
        for kind in KINDS:
            draw = Draw(kind, weeks, base=kind == "plain")
            yield Promise(f"noise, {kind}, {weeks} weeks", draw, 0, 0.05, any_winner)
            if kind in ("overlapping windows", "5 % unread"):
                continue
            for key, truth in (("accuracy", 0.5), ("loss", LOSS), ("analysis_rouge1", ROUGE)):
                yield Promise(
                    f"— 95 % interval of one model's {key} holds the truth",
                    draw,
                    0.93,
                    0.97,
                    partial(value_holds, key, truth),
                )


def planted() -> Iterator[Promise]:
    """Worlds in which the second model is right more often, found as often as the power statement says."""
    for weeks in (10, 20, 52):
        for gap in (stated(weeks), 0.05, 0.10, 0.15):
            wanted = power_at(gap, SYMBOLS * weeks, weeks, DISCORDANCE)
            name = f"planted, +{100 * gap:.1f} points, {weeks} weeks"
            draw = Draw(weeks=weeks, right=gap, base=False)
            yield Promise(name, draw, wanted - 0.03, wanted + 0.03, found)
            yield Promise("— 96 % interval holds the gap", draw, 0.94, 0.98, gap_holds)


def equal() -> Iterator[Promise]:
    """Models that are equal: called so when the weeks suffice."""
    yield Promise(
        "equal models, 208 weeks, margin 5 points", Draw(weeks=208, base=False), 0.95, 1, alike
    )


def seeds() -> Iterator[Promise]:
    """Training seeds that spread the loss by .004 nats: one each names winners, three each do not."""
    for count, weeks in ((3, 10), (3, 52), (5, 20)):
        draw = Draw(weeks=weeks, seeds=count, spread=0.004, base=False, primary="loss")
        yield Promise(f"loss, {count} seeds that differ, {weeks} weeks", draw, 0, 0.05, decided)


GROUPS = (noise, planted, seeds, equal)


def main(count: int, wanted: Sequence[str]) -> None:
    """Measure every promise of the `wanted` groups (all where none is named) and print the table."""
    print(f"| world ({count:,} draws) | wanted, % | measured, % |\n|---|---:|---:|", flush=True)
    promises = [
        promise for group in GROUPS if group.__name__ in wanted or not wanted for promise in group()
    ]
    worlds = [list(its) for _, its in groupby(promises, key=lambda promise: promise.draw)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for its, measured in zip(
            worlds, pool.map(partial(shares, count=count), worlds), strict=True
        ):
            for promise, share in zip(its, measured, strict=True):
                low, high = max(promise.low, 0), min(promise.high, 1)
                bounds = f"{100 * low:.0f} to {100 * high:.0f}" if low else f"≤ {100 * high:.0f}"
                print(f"| {promise.name} | {bounds} | {100 * share:.1f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:])
