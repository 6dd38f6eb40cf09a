"""Lines of the table that are timed once: samples per second and run time.

One timing per model has no interval, so these lines never name a winner; they say what the two timings differ by and
what explains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from fingpt.report.formatting import number
from fingpt.report.lines import Comparison, Line
from fingpt.report.sides import Side, obstacles
from fingpt.report.stats import Estimate
from fingpt.report.verdict import Verdict

ONE_TIMING = "one timing of each, so no interval"


def speed(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Answers and tokens generated per second, the tuned models, in batches."""
    pairs = list(combinations(sides, 2))
    blocks = [obstacles(*pair).speed for pair in pairs]
    notes = [_speed_note(*pair) for pair in pairs]
    samples = [side.scores.samples_per_second for side in sides]
    tokens = [side.scores.tokens_per_second for side in sides]
    counts = [side.scores.n for side in sides]
    return (
        _timing(
            "samples_per_second", "generated answers", "per s", samples, counts, (blocks, notes)
        ),
        _timing("tokens_per_second", "generated tokens", "per s", tokens, counts, (blocks, notes)),
    )


def run_time(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Seconds of training and of evaluating the tuned model, all phases together."""
    pairs = [obstacles(*pair) for pair in combinations(sides, 2)]
    rows = [side.adapter.rows for side in sides]
    counts = [side.scores.n for side in sides]
    none = [""] * len(pairs)
    trained, tested = [p.training for p in pairs], [p.speed for p in pairs]
    whole = [side.train_seconds for side in sides]
    scored = [side.eval_seconds for side in sides]
    steps = [side.step_seconds for side in sides if side.step_seconds is not None]
    lines = [
        _timing("train_seconds", "training", "s", whole, rows, (trained, none)),
        _timing(
            "eval_seconds", "evaluation of the tuned model", "s", scored, counts, (tested, none)
        ),
    ]
    if len(steps) == len(sides):
        lines.insert(
            1, _timing("step_seconds", "optimizer steps alone", "s", steps, rows, (trained, none))
        )
    return tuple(lines)


def _timing(
    key: str,
    title: str,
    unit: str,
    values: Sequence[float],
    counts: Sequence[int],
    reasons: tuple[Sequence[str], Sequence[str]],
) -> Line:
    comparisons = []
    numbered = combinations(enumerate(values), 2)
    for ((i, start), (j, value)), block, note in zip(numbered, *reasons, strict=True):
        gap = Estimate(value=value - start, n=counts[i], weeks=0)
        why = block or ONE_TIMING
        relative = _relative(value, start)
        text = "" if block else "; ".join(part for part in (relative, note) if part)
        comparisons.append(
            Comparison(
                first=i,
                second=j,
                difference=None if block else gap,
                verdict=Verdict.NOT_COMPARABLE,
                why=why,
                note=text,
            )
        )
    return Line(
        key=key,
        group="Samples per second" if unit == "per s" else "Run time",
        title=title,
        unit=unit,
        higher_is_better=unit == "per s",
        scale=1.0,
        digits=2 if unit == "per s" else 1,
        values=tuple(Estimate(value=v, n=n, weeks=0) for v, n in zip(values, counts, strict=True)),
        comparisons=tuple(comparisons),
    )


def _speed_note(first: Side, second: Side) -> str:
    one, two = (float(np.nanmean(side.tuned.new_tokens)) for side in (first, second))
    lengths = f"answers are {one:.0f} and {two:.0f} tokens long"
    if first.adapter.trainable_parameters == second.adapter.trainable_parameters:
        return (
            f"{lengths}; with equal layers, speed per token should agree, and answer length decides"
        )
    return lengths


def _relative(value: float, first: float) -> str:
    return f"{number((value / first - 1) * 100, 1, signed=True)} %" if first else ""
