"""List the runs of the store and where each stands: `python -m jobs.list [--json]`."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fingpt import log
from fingpt.cluster.status import Status, status
from fingpt.config import read_environment
from fingpt.errors import DataError, StorageError
from fingpt.runs.ledger import read_run, run_ids
from fingpt.runs.stage import guarded
from fingpt.storage import open_store

_WIDE = 140


def main(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line per run")] = False,
) -> None:
    """Every run with its model, stage, state and attempts, newest first; from the bucket alone."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        store, now = open_store(environment.store), datetime.now(UTC)
        found: list[tuple[str, Status]] = []
        for run_id in run_ids(store):
            try:
                record = read_run(store, run_id)
            except (DataError, StorageError) as fault:
                log.warning(str(fault), run=run_id)
                continue
            found.append((record.started, status(record, store.uri, now)))
        found.sort(key=lambda each: each[0], reverse=True)
        if as_json:
            for started, each in found:
                line = {"run": each.run, "model": each.model, "started": started}
                state = {"stage": each.current.stage, "state": str(each.current.why.state)}
                typer.echo(json.dumps({**line, **state, "attempt": each.current.attempt}))
            return
        _show(found)

    sys.exit(guarded(action, debug=environment.debug))


def _show(found: list[tuple[str, Status]]) -> None:
    table = Table("run", "model", "stage", "state", "attempt", "done", "last began")
    for started, each in found:
        at = each.current.progress
        table.add_row(
            each.run,
            each.model,
            each.current.stage,
            str(each.current.why.state),
            str(each.current.attempt or ""),
            "" if at.done is None else f"{at.done} of {at.total or '?'}",
            started,
        )
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


if __name__ == "__main__":
    typer.run(main)
