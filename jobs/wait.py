"""Wait for a run or a sweep that was started before, and end with its exit code: `python -m jobs.wait --run ID`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.cluster.waiting import wait_for_run
from fingpt.config import read_environment
from fingpt.errors import ConfigError
from fingpt.runs.signals import interrupt_on_signals
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.sweeps.waiting import wait_for_sweep
from jobs.status import reach


def main(
    run: Annotated[str, typer.Option(envvar="FINGPT_ARG_RUN", help="run id")] = "",
    sweep: Annotated[str, typer.Option(envvar="FINGPT_ARG_SWEEP", help="a sweep's id")] = "",
) -> None:
    """Wait, with the log of its pods or what the bucket says; Ctrl-C ends the waiting and nothing else."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        if bool(run.strip()) == bool(sweep.strip()):
            raise ConfigError(
                "Name one thing to wait for: make wait RUN=id (make list shows the ids) or make wait SWEEP=id."
            )
        store = open_store(environment.store)
        cluster, _ = reach(store, environment)
        if cluster is not None and not cluster.can_i("list", "jobs", "batch"):
            log.warning("The bucket alone is followed, since you may not list Jobs there.")
            cluster = None
        with interrupt_on_signals():
            if run.strip():
                wait_for_run(store, run.strip(), cluster)
            else:
                wait_for_sweep(store, sweep.strip(), cluster)

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
