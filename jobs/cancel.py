"""Take work off the cluster and keep what it has reached: `python -m jobs.cancel --run ID`.

Or `--sweep ID` for all Jobs of a search, `--model MODEL` for the Job of its base weights, `--data hub:…` for that of
rows.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.cluster.cancel import cancel, cancel_sweep, instance_of
from fingpt.config import read_environment
from fingpt.errors import ConfigError
from fingpt.runs.stage import guarded


def main(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    sweep: Annotated[str, typer.Option(envvar="FINGPT_ARG_SWEEP", help="sweep id")] = "",
    model: Annotated[
        str,
        typer.Option(envvar="FINGPT_ARG_MODEL", help="a model whose base weights are on their way"),
    ] = "",
    data: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_DATA", help="rows of the hub that are on their way")
    ] = "",
) -> None:
    """Delete the Jobs of a run or a sweep, or that of base weights or rows; nothing in the bucket is touched."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        instance = instance_of(run.strip(), model.strip(), data.strip(), sweep.strip())
        if environment.store.startswith("file:"):
            raise ConfigError(
                f"The store {environment.store} is a folder, so no Job works on {instance}. If a process of this "
                "machine does (make status tells), end it with Ctrl-C where it was started."
            )
        from fingpt.cluster.api.cluster import Cluster

        act = cancel_sweep if sweep.strip() else cancel
        act(Cluster.connect(environment.namespace), instance, environment.store)
        typer.echo("What is in the bucket stays; the same command as before resumes.")

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
