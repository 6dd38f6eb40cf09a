"""The command that made a sweep, from what the bucket has of it."""

from __future__ import annotations

from pathlib import Path

from fingpt.errors import FingptError
from fingpt.runs.remedy import sweep_command
from fingpt.runs.run import Run
from fingpt.storage import ObjectStore
from fingpt.sweeps.definition import load_definition
from fingpt.sweeps.sweep import Sweep

_SHIPPED = Path(__file__).resolve().parents[2] / "jobs" / "sweeps"


def command_of(store: ObjectStore, sweep: Sweep) -> str:
    """`make sweep` as it goes on with `sweep`; of a search that is not shipped, only the name of its file is known."""
    shipped = _SHIPPED / f"{sweep.name}.yaml"
    try:
        space = sweep.name if load_definition(shipped) == sweep.definition else ""
    except FingptError:
        space = ""
    runs = [Run.of(config, sweep.images) for config in sweep.bases.values()]
    return sweep_command(store.uri, space or f"FOLDER/{sweep.name}.yaml", runs)
