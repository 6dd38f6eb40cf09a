"""Take a run off the cluster and keep all it has reached: `python -m jobs.cancel --run ID`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.errors import ConfigError
from fingpt.runs.stage import guarded


def main(run: Annotated[str, typer.Option(help="run id")]) -> None:
    """Delete the run's Jobs; their pods get time to commit a checkpoint, and nothing in the bucket is touched."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        if not run:
            raise ConfigError("Name the run: make cancel RUN=id; make list shows the ids.")
        if environment.store.startswith("file:"):
            raise ConfigError(
                f"The store {environment.store} is a folder, so run {run} is a process of this machine: press Ctrl-C"
                " there."
            )
        from fingpt.cluster.api.cluster import Cluster

        cluster = Cluster.connect(environment.namespace)
        # The conductor first: while it lives, it would miss the Jobs of its stages.
        jobs = sorted(cluster.jobs(run), key=lambda job: job.stage != "drive")
        for job in jobs:
            cluster.delete_job(job.name)
            log.event("job deleted", job=job.name, active=job.active)
        if not jobs:
            log.event("there is no Job of this run", run=run, namespace=cluster.namespace)
        typer.echo(
            "Checkpoints and results stay in the bucket; the command that began the run resumes it."
        )

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
