"""Which run may forecast: one that is in the store, with a finished evaluation of an adapter. Loads nothing heavy."""

from __future__ import annotations

from fingpt.errors import MissingInputError
from fingpt.runs.ledger import require_run
from fingpt.runs.manifest import EvalManifest
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished, load_run
from fingpt.storage import ObjectStore


def ready_run(store: ObjectStore, run_id: str) -> Run:
    """The run of that id; ConfigError when none is named, MissingInputError when it is not there or not finished."""
    require_run(store, run_id)
    run = load_run(store, run_id)
    require_ready(store, run)
    return run


def require_ready(store: ObjectStore, run: Run) -> EvalManifest:
    """The manifest of the run's finished evaluation; MissingInputError says which stage lacks and how to finish it."""
    for stage in run.stages:
        if finished(store, run, stage) is None:
            raise MissingInputError(
                f"Run {run.id} has not finished {stage}, so it has no evaluated adapter to forecast with; finish it: "
                f"{stage_command(store.uri, 'run', run)}"
            )
    manifest = finished(store, run, Stage.EVAL)
    assert isinstance(manifest, EvalManifest)
    return manifest
