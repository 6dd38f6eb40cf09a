"""Show how a run is doing: `python -m jobs.status [--run ID] [--json]`; the newest run where none is named, and beside
it where the other seeds and origins of the same configuration are.

Works from the bucket alone; a cluster adds why something does not start.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from fingpt import log
from fingpt.cluster import listing
from fingpt.cluster.status import bucket_alone, render, status
from fingpt.config import Environment, read_environment
from fingpt.errors import ConfigError, FingptError
from fingpt.runs.family import family
from fingpt.runs.recent import newest_first
from fingpt.runs.run import Run
from fingpt.runs.stage import guarded
from fingpt.runs.state import RECENT, newest_run, read_asked
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.status import Reached, sweep_status
from fingpt.sweeps.status import render as render_sweep
from fingpt.sweeps.sweep import require_sweep

_WIDE = 160


def main(
    run: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id; default: the newest run")
    ] = "",
    sweep: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_SWEEP", help="a sweep's id instead of a run's")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for programs")] = False,
    bucket_only: Annotated[bool, typer.Option(help="do not ask the cluster")] = False,
) -> None:
    """Stage, attempt, step, loss, time left, last commit and node; for what does not start, why and what to do."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        if run.strip() and sweep.strip():
            raise ConfigError("Name one of them: make status RUN=id, or make status SWEEP=id.")
        store, now = open_store(environment.store), datetime.now(UTC)
        terminal = sys.stdout.isatty()
        console = Console(width=None if terminal else _WIDE, soft_wrap=not terminal)
        if sweep.strip():
            require_sweep(store, sweep.strip())
        else:
            record = read_asked(store, run.strip() or newest_run(store))
        if sweep.strip():
            there = partial(connect, store, environment, bucket_only=bucket_only)
            searched = sweep_status(store, sweep.strip(), now, there)
            if as_json:
                typer.echo(log.to_json(searched.as_json(), indent=1))
            else:
                console.print(render_sweep(searched))
            return
        cluster, where = (None, "") if bucket_only else reach(store, environment)
        found = status(record, store.uri, now, cluster, where)
        if as_json:
            typer.echo(log.to_json(found.as_json(), indent=1))
            return
        console.print(render(found))
        relatives = [] if run.strip() else _relatives(store, record.run, now)
        if len(relatives) > 1:
            console.print(listing.render(relatives))

    sys.exit(guarded(action))


def _relatives(store: ObjectStore, run: Run, now: datetime) -> list[listing.ListedRun]:
    """The runs of the same family among the newest of its model."""
    ids = newest_first(store, run.config.model)[:RECENT]
    chosen = listing.Chosen(of=family(run), runs=map(listing.Listed, ids))
    return list(listing.list_runs(store, now, chosen))


def reach(store: ObjectStore, environment: Environment) -> Reached:
    """The cluster and where it is; none for a folder store, and none with a warning where nobody answers."""
    try:
        return connect(store, environment)
    except FingptError as fault:
        bucket_alone(fault)
        return None, ""


def connect(store: ObjectStore, environment: Environment, *, bucket_only: bool = False) -> Reached:
    """The same, with errors as `Cluster.connect`."""
    if bucket_only or store.uri.startswith("file:"):
        return None, ""
    from fingpt.cluster.api.cluster import Cluster

    cluster = Cluster.connect(environment.namespace)
    return cluster, f"namespace {cluster.namespace} of {cluster.where}"


if __name__ == "__main__":
    typer.run(main)
