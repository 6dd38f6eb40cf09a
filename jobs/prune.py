"""Delete what nothing needs any more: `python -m jobs.prune [--confirm]`; without it, only says what that would be."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.runs.prune import prune
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.storage.deleting import open_deleter


def main(
    confirm: Annotated[bool, typer.Option(help="really delete")] = False,
) -> None:
    """Name, or delete, checkpoints, data sets and source files that no run and no report needs."""
    log.setup()

    def action() -> None:
        environment = read_environment()
        store = open_store(environment.store)
        count = size = 0
        found = prune(store, open_deleter(store), confirm=confirm, now=lambda: datetime.now(UTC))
        for each, deleted in found:
            word = "deleted" if deleted else "kept, its run is at work" if confirm else "leftover"
            about = f"{len(each.objects)} objects, {each.size:,} bytes: {each.reason}"
            typer.echo(log.printable(f"{word}  {each.prefix}  {about}"))
            if deleted or not confirm:
                count, size = count + 1, size + each.size
        log.event(
            "deleted" if confirm else "nothing was deleted; CONFIRM=1 deletes what is named above",
            prefixes=count,
            bytes=size,
        )

    sys.exit(guarded(action))


if __name__ == "__main__":
    typer.run(main)
