"""One trial in a pod of an Indexed Job: its number is the pod's index, its settings are that line of the plan."""

from __future__ import annotations

from fingpt import log
from fingpt.errors import ConfigError, MissingInputError, RunConflictError
from fingpt.runs.freeze import located
from fingpt.runs.run import Run
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.adopt import adopt
from fingpt.sweeps.finals import leader
from fingpt.sweeps.plan import plan
from fingpt.sweeps.sweep import Sweep, load_sweep
from fingpt.sweeps.trials import begin, read_tell


def locate_sweep(uri: str, sha256: str = "") -> tuple[ObjectStore, Sweep]:
    """The store and the frozen sweep behind `<store>/sweeps/<id>/sweep.json`.

    ConfigError when `uri` is no such thing, RunConflictError unless it is the one with the whole hash `sha256`.
    """
    root, found, rest = uri.rpartition("/sweeps/")
    sweep_id, slash, name = rest.partition("/")
    if not found or not slash or name != "sweep.json":
        raise ConfigError(
            f"Sweep URI '{uri}' must look like 's3://bucket/prefix/sweeps/<id>/sweep.json'."
        )
    store = open_store(root)
    sweep = load_sweep(store, sweep_id)
    if sha256 and sweep.sha256 != sha256:
        raise RunConflictError(
            f"{uri} holds another sweep of the same short id (sha256 {sweep.sha256[:16]}…) than the one that was "
            f"submitted ({sha256[:16]}…): it was replaced; nothing was started. Find out who wrote it, or use another "
            "store."
        )
    return store, sweep


def begin_trial(store: ObjectStore, sweep: Sweep, model: str, index: int) -> Run | None:
    """The run of trial `index`, frozen, with its data set; None when somebody has told how the trial ended.

    ConfigError for a model or an index that the sweep has not, MissingInputError when the data set is not made yet.
    """
    if model not in sweep.bases:
        raise ConfigError(f"Sweep {sweep.id} searches {', '.join(sweep.bases)}, not '{model}'.")
    settings = plan(sweep.definition)
    if not 0 <= index < len(settings):
        raise ConfigError(
            f"Sweep {sweep.id} has {len(settings)} trials of {model}, from 0; {index} is none of them."
        )
    if read_tell(store, sweep, model, index) is not None:
        log.event("trial is over, nothing to do", sweep=sweep.id, model=model, trial=index)
        return None
    run = begin(store, sweep, model, index, settings[index])
    log.event("trial", sweep=sweep.id, model=model, trial=index, run=run.id, **settings[index])
    if not adopt(store, run, located(store, leader(sweep, model))):
        raise MissingInputError(
            f"The data set of sweep {sweep.id} for {model} is not made yet; the controller makes it: give the command "
            "of the sweep again."
        )
    return run
