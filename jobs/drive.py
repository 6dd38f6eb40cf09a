"""Chain the stages of one frozen run: `python -m jobs.drive --run <store>/runs/<id>/run.json`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import site_config
from fingpt.local import run_locally
from fingpt.run import Stage
from fingpt.stage import guarded, load_run, locate


def main(run: Annotated[str, typer.Option(help="URI of the frozen run")]) -> None:
    """Carry out every stage of a run that was submitted before; stages that are complete are skipped."""
    log.setup()

    def action() -> None:
        store, run_id = locate(run)
        run_locally(store, load_run(store, run_id), list(Stage))

    sys.exit(guarded(action, debug=site_config().debug))


if __name__ == "__main__":
    typer.run(main)
