"""What sweeps have found, in one page: `python -m jobs.sweep_report --sweep "ID ID" [--out FOLDER]`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import local_path, read_environment, split_words
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.sweeps.sweep import load_sweep


def main(
    sweep: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_SWEEP", help="ids of sweeps, over or still running"),
    ] = "",
    out: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_OUT", help="folder of the copy; default: ./reports/<id>"),
    ] = "",
) -> None:
    """Write sweep.html, sweep.md and sweep.json on sweeps, and print where the page is."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        folder = local_path(out) if out.strip() else None
        store = open_store(environment.store)
        named = split_words(sweep, "SWEEP")
        for each in named:
            load_sweep(store, each)
        from fingpt.sweeps.report.write import (
            sweep_report,
        )  # loads for seconds, so that typos come before

        typer.echo(sweep_report(store, named, folder))

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
