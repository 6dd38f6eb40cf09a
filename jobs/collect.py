"""What a person takes from the store: `python -m jobs.collect compare` writes one report on finished runs,
`python -m jobs.collect run --run ID` copies what a run has reached into a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.runs.stage import guarded
from fingpt.storage import open_store

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """What a person collects from the store once runs have finished."""


@app.command()
def compare(
    runs: Annotated[
        str, typer.Option(help="run ids, the first is the reference; default: newest of each model")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="folder of the copy; default: ./reports/<id>")
    ] = None,
) -> None:
    """Write report.html, report.md and report.json on finished runs, and print where the page is."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        from fingpt.report.body import compare as write

        typer.echo(write(open_store(environment.store), runs.split(), out))

    sys.exit(guarded(action, debug=environment.debug))


@app.command()
def run(
    run: Annotated[str, typer.Option(help="run id")],
    out: Annotated[
        Path | None, typer.Option(help="folder of the copy; default: ./collected/<run>")
    ] = None,
    adapter: Annotated[
        bool, typer.Option(help="the adapter too, as PeftModel.from_pretrained loads it")
    ] = False,
) -> None:
    """Copy a run's manifests, metrics, scores, answers and reports into a folder, verified; print where they are."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        from fingpt.runs.collect import collect

        folder = out or Path("collected", run)
        typer.echo(collect(open_store(environment.store), run, folder, adapter=adapter))

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    app()
