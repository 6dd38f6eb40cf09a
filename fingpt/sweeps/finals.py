"""The runs after the search: which they are."""

from __future__ import annotations

from fingpt.runs.run import Run
from fingpt.sweeps.definition import Settings
from fingpt.sweeps.sweep import Sweep, with_settings


def final_runs(sweep: Sweep, model: str, settings: Settings) -> tuple[Run, ...]:
    """Runs of a setting with `final_seeds` seeds, from the one after the configuration's upwards; pure."""
    base = sweep.bases[model]
    seeds = range(base.seed + 1, base.seed + 1 + sweep.definition.final_seeds)
    return tuple(
        Run.of(with_settings(base, {**settings, "seed": seed}), sweep.images) for seed in seeds
    )
