"""Follow the log of a run over its pods and stages: `python -m jobs.logs --run ID [--no-follow]`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.runs.stage import guarded, load_run
from fingpt.runs.state import require_run
from fingpt.storage import open_store


def main(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    follow: Annotated[bool, typer.Option(help="wait for what is still to come")] = True,
) -> None:
    """Print every line of a run's pods, stage after stage; Ctrl-C stops the reading only."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        store = open_store(environment.store)
        require_run(store, run.strip())
        frozen = load_run(store, run.strip())
        from fingpt.cluster.logs import attempt_log, run_log

        if store.uri.startswith("file:"):
            for stage in frozen.stages:
                for line in attempt_log(store, frozen, stage):
                    typer.echo(log.printable(line))
            return
        from fingpt.cluster.api.cluster import Cluster

        for line in run_log(Cluster.connect(environment.namespace), store, frozen, follow=follow):
            typer.echo(log.printable(line))

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
