"""Which run may forecast: one that is in the store, with a finished evaluation of an adapter. Loads nothing heavy."""

from __future__ import annotations

from fingpt.errors import ConfigError, FingptError, MissingInputError
from fingpt.runs.manifest import EvalManifest
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished, load_run
from fingpt.runs.state import read_run, require_run, run_ids
from fingpt.storage import ObjectStore


def ready_run(store: ObjectStore, run_id: str) -> Run:
    """The run of that id; ConfigError when none is named, MissingInputError when it is not there or not finished.

    Where the id is a model's name, the error names that model's newest run.
    """
    try:
        require_run(store, run_id)
    except MissingInputError as fault:
        newest = _newest_of(store, run_id)
        if not newest:
            raise
        raise MissingInputError(
            f"RUN={run_id} is the name of a model; its newest run in {store.uri} is RUN={newest}."
        ) from fault
    run = load_run(store, run_id)
    require_ready(store, run)
    return run


def _newest_of(store: ObjectStore, model: str) -> str:
    """The run of `model` that began last, a complete one before others; empty where there is none."""
    begun = []
    for run_id in run_ids(store):
        try:
            record = read_run(store, run_id)
        except FingptError:  # a damaged run is no hint
            continue
        if record.run.config.model == model:
            begun.append((record.complete, record.started, run_id))
    return max(begun)[2] if begun else ""


def require_ready(store: ObjectStore, run: Run) -> EvalManifest:
    """The manifest of the run's finished evaluation; MissingInputError says which stage lacks and how to finish it,
    ConfigError that the evaluation never opened the test, so that a forecast would come without evidence.
    """
    if run.config.eval.split == "validation":
        raise ConfigError(
            f"Run {run.id} was evaluated on validation rows alone (eval.split=validation), so nothing says how good "
            "its forecasts are; name a run that opened the test, such as a final of the sweep."
        )
    for stage in run.stages:
        if finished(store, run, stage) is None:
            raise MissingInputError(
                f"Run {run.id} has not finished {stage}, so it has no evaluated adapter to forecast with; finish it: "
                f"{stage_command(store.uri, 'run', run)}"
            )
    manifest = finished(store, run, Stage.EVAL)
    assert isinstance(manifest, EvalManifest)
    return manifest
