"""Delete what nothing needs any more: `python -m jobs.prune [--confirm]`; without it, only says what that would be."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from fingpt import log
from fingpt.config import read_environment
from fingpt.runs.prune import leftovers, remove
from fingpt.runs.stage import guarded
from fingpt.storage import open_store
from fingpt.storage.deleting import open_deleter


def main(
    confirm: Annotated[bool, typer.Option(help="really delete")] = False,
) -> None:
    """Name, or delete, checkpoints, data sets and source files that no run and no report needs."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        store = open_store(environment.store)
        deleter = open_deleter(store)
        count = size = 0
        found = list(leftovers(store, deleter, datetime.now(UTC)))
        if confirm and found:  # what is needed may have changed while the store was read
            again = {each.prefix for each in leftovers(store, deleter, datetime.now(UTC))}
            found = [each for each in found if each.prefix in again]
        for each in found:
            done = not confirm or remove(store, deleter, each, datetime.now(UTC))
            word = ("deleted" if done else "kept, its run is at work") if confirm else "leftover"
            typer.echo(
                f"{word}  {each.prefix}  {len(each.objects)} objects, {each.size:,} bytes: {each.reason}"
            )
            count += done
            size += each.size if done else 0
        log.event(
            "deleted" if confirm else "nothing was deleted; CONFIRM=1 deletes what is named above",
            prefixes=count,
            bytes=size,
        )

    sys.exit(guarded(action, debug=environment.debug))


if __name__ == "__main__":
    typer.run(main)
