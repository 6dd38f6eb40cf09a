"""What sweeps have found, in one page: `python -m jobs.sweep_report --sweep "ID ID" [--out FOLDER]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fingpt.config import split_names
from fingpt.storage import ObjectStore
from fingpt.sweeps.sweep import load_sweep
from jobs.page import print_page


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

    def make(store: ObjectStore, folder: Path | None) -> object:
        named = split_names(sweep, "SWEEP")
        for each in named:
            load_sweep(store, each)
        from fingpt.sweeps.report import write  # loads for seconds, so that typos come before

        return write.sweep_report(store, named, folder)

    print_page(out, make)


if __name__ == "__main__":
    typer.run(main)
