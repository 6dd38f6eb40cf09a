"""Carry out the stages of one frozen run: `python -m jobs.drive --run <store>/runs/<id>/run.json [--sha256 HASH]`.

In a pod the stages become Jobs of the cluster; with `--local` they are processes of this machine.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fingpt import log
from fingpt.runs.local import LocalBackend
from fingpt.runs.stage import guarded, load_run, locate


def main(
    run: Annotated[str, typer.Option(help="URI of the frozen run")],
    sha256: Annotated[str, typer.Option(help="the run's whole hash; another one is refused")] = "",
    local: Annotated[bool, typer.Option(help="stages as processes of this machine")] = False,
) -> None:
    """Carry out every stage of a run that was submitted before; stages that are complete are skipped."""
    log.setup(stage="drive")

    def action() -> None:
        store, run_id = locate(run)
        frozen = load_run(store, run_id, sha256)
        if local:
            LocalBackend(store).execute([frozen], frozen.stages)
            return
        from fingpt.cluster.api.cluster import Cluster
        from fingpt.cluster.drive import drive

        cluster = Cluster.connect()
        drive(cluster, store, frozen, cluster.site())

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
