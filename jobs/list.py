"""List the runs of the store and where each stands, newest first: `python -m jobs.list [--all] [--json]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from fingpt import log
from fingpt.cluster.listing import SHOWN, Chosen, Listed, list_runs, render, shown, states_of
from fingpt.config import load_config, read_environment
from fingpt.models import spec
from fingpt.runs.stage import guarded
from fingpt.runs.state import no_run_in
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.plan import plan
from fingpt.sweeps.sweep import trial_run
from fingpt.sweeps.view import planned_trials, read_sweep, trial_runs
from jobs import CONFIGS

_WIDE = 220


def main(
    model: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_MODEL", help="runs of this model alone")
    ] = "",
    sweep: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_SWEEP", help="trials of this sweep alone")
    ] = "",
    state: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_STATE", help="running, queued, failed, complete, or a state's name"
        ),
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help=f"more than the {SHOWN} newest")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="all of them, a JSON line each")] = False,
) -> None:
    """Runs with model, settings, data set, sweep, stage and state, newest first; from the bucket alone."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        states = states_of(state.strip())
        store = open_store(environment.store)
        key = _key(model.strip())
        wanted = _trials(store, sweep.strip()) if sweep.strip() else None
        chosen = Chosen(key, states, runs=wanted)
        found = list_runs(store, datetime.now(UTC), chosen)
        if as_json:
            for each in found:
                typer.echo(log.to_json(each.as_json()))
            return
        runs, more = shown(found, None if everything else SHOWN)
        if not runs:
            log.event(_nothing(environment.store, sweep.strip(), chosen))
            return
        Console(width=None if sys.stdout.isatty() else _WIDE).print(render(runs))
        if more:
            log.event(
                f"the {SHOWN} newest are shown, and there are more; MODEL=, SWEEP= and STATE= choose, python -m "
                "jobs.list --all shows all"
            )

    sys.exit(guarded(action))


def _nothing(store: str, sweep: str, chosen: Chosen) -> str:
    """Why the list is empty."""
    if sweep and not (chosen.model or chosen.states):
        return f"no trial of {sweep} has begun; make status SWEEP={sweep} says what it waits for"
    if sweep or chosen.model or chosen.states:
        return "no run of the store is of that kind; leave MODEL, SWEEP or STATE out to see others"
    return no_run_in(store)


def _key(model: str) -> str:
    """The model's key, for a configuration's name too; ConfigError with the nearest for what is neither."""
    if not model:
        return ""
    path = CONFIGS / f"{model}.yaml"
    return load_config(path).model if path.is_file() else spec(model).key


def _trials(store: ObjectStore, sweep: str) -> Iterator[Listed]:
    """The trials of a sweep: those that were asked for, the newest first, then those that are only planned."""
    view = read_sweep(store, sweep)
    for run, number in trial_runs(store, view):
        yield Listed(run, f"{sweep}/{number}")
    for model, n in planned_trials(view):
        run_of = trial_run(view.sweep, model, plan(view.sweep.definition)[n])
        yield Listed(run_of.id, f"{sweep}/{n}", run_of)


if __name__ == "__main__":
    typer.run(main)
