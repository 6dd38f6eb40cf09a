"""Copy what a run has reached into a folder: `python -m jobs.collect --run ID [--out FOLDER] [--adapter]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import local_path, read_environment
from fingpt.runs.collect import collect
from fingpt.runs.stage import guarded
from fingpt.storage import open_store


def main(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    out: Annotated[
        str,
        typer.Option(
            envvar="FINGPT_ARG_OUT", help="folder of the copy; default: ./collected/<run>"
        ),
    ] = "",
    adapter: Annotated[
        bool, typer.Option(help="the adapter too, as PeftModel.from_pretrained loads it")
    ] = False,
) -> None:
    """Copy a run's manifests, metrics, scores, answers and reports into a folder, verified; print where they are."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        name = run.strip()
        folder = local_path(out) if out.strip() else Path("collected", name)
        typer.echo(collect(open_store(environment.store), name, folder, adapter=adapter))

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
