"""The members of a family as one side: origins of a walk-forward pooled, training seeds side by side. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from fingpt.errors import MissingInputError
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Side
from fingpt.runs.run import Run

Variants = Mapping[str, ScoreArrays]


def pooled(members: Sequence[Side], runs: Sequence[Run]) -> Side:
    """The side of several runs that differ in seed or origin alone, in the order of `runs.family.families`.

    MissingInputError where a seed lacks an origin that another one has.
    """
    if len(members) == 1:
        return members[0]
    placed = {
        (run.config.seed, run.config.prep.origin or 0): side
        for run, side in zip(runs, members, strict=True)
    }
    seeds, origins = (sorted(set(part)) for part in zip(*placed, strict=True))
    missing = [
        f"seed {seed}, origin {origin}"
        for seed in seeds
        for origin in origins
        if (seed, origin) not in placed
    ]
    if missing:
        raise MissingInputError(
            f"The runs of {members[0].title} lack {missing[0]}, which others of them have; finish it with the command "
            'that started them, or name the runs to compare: make compare RUNS="run-a run-b".'
        )
    by_seed = [[placed[seed, origin] for origin in origins] for seed in seeds]
    arrays = [_joined([side.arrays for side in each]) for each in by_seed]
    first = by_seed[0]
    numbers = [np.full(side.tuned.n, origin) for side, origin in zip(first, origins, strict=True)]
    order = _order([side.tuned for side in first])
    return replace(
        first[0],
        runs=tuple(run.id for run in runs),
        arrays=arrays[0],
        others=tuple(arrays[1:]),
        other_curves=tuple(side.curve for each in by_seed for side in each)[1:],
        datasets=tuple(side.dataset for side in first),
        origin=np.concatenate(numbers)[order] if len(origins) > 1 else None,
    )


def _order(parts: Sequence[ScoreArrays]) -> list[int]:
    examples = [example for part in parts for example in part.example]
    return sorted(range(len(examples)), key=examples.__getitem__)


def _joined(parts: Sequence[Variants]) -> dict[str, ScoreArrays]:
    """Each variant's answers of all parts, sorted by example as those of one are."""
    names = set.intersection(*(set(part) for part in parts))
    return {name: concatenated([part[name] for part in parts]) for name in sorted(names)}


def concatenated(parts: Sequence[ScoreArrays]) -> ScoreArrays:
    """The answers to several sets of rows as one, sorted by example; what one part lacks, all lack."""
    if len(parts) == 1:
        return parts[0]
    order = _order(parts)

    def joined(cells: Sequence[object]) -> object:
        if any(cell is None for cell in cells):
            return None
        if isinstance(cells[0], tuple):
            flat = [entry for cell in cells if isinstance(cell, tuple) for entry in cell]
            return tuple(flat[place] for place in order)
        return np.concatenate([np.asarray(cell) for cell in cells])[order]

    rouge = {
        name: np.concatenate([part.rouge[name] for part in parts])[order] for name in parts[0].rouge
    }
    columns = {
        each.name: joined([getattr(part, each.name) for part in parts])
        for each in fields(ScoreArrays)
        if each.name != "rouge"
    }
    return ScoreArrays(rouge=rouge, **columns)  # type: ignore[arg-type]


def taken(scores: ScoreArrays, rows: np.ndarray) -> ScoreArrays:
    """The answers to those rows that the boolean array `rows` picks."""
    return at(scores, np.flatnonzero(rows))


def at(scores: ScoreArrays, places: Sequence[int] | np.ndarray) -> ScoreArrays:
    """The answers at `places`, in their order."""
    picked = np.asarray(places, dtype=np.int64)
    changes: dict[str, object] = {
        "rouge": {name: column[picked] for name, column in scores.rouge.items()}
    }
    for each in fields(ScoreArrays):
        cell = getattr(scores, each.name)
        if isinstance(cell, tuple):
            changes[each.name] = tuple(cell[place] for place in picked)
        elif isinstance(cell, np.ndarray):
            changes[each.name] = cell[picked]
    return replace(scores, **changes)  # type: ignore[arg-type]
