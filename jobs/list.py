"""List the runs of the store and where each stands: `python -m jobs.list [--json]`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from fingpt import log
from fingpt.cluster.listing import list_runs, render
from fingpt.config import read_environment
from fingpt.runs.stage import guarded
from fingpt.runs.state import no_run_in
from fingpt.storage import open_store

_WIDE = 140


def main(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per run")] = False,
) -> None:
    """Every run with its model, stage, state and attempts, newest first; from the bucket alone."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        runs = list_runs(open_store(environment.store), datetime.now(UTC))
        if as_json:
            for each in runs:
                typer.echo(log.to_json(each.as_json()))
            return
        if not runs:
            log.event(no_run_in(environment.store))
            return
        Console(width=None if sys.stdout.isatty() else _WIDE).print(render(runs))

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
