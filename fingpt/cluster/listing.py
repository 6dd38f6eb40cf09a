"""Every run of a store and where it stands, from the bucket alone: records for programs, a table for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table

from fingpt import log
from fingpt.cluster.status import Status, status
from fingpt.errors import DataError, StorageError
from fingpt.runs.ledger import read_run, run_ids
from fingpt.storage import ObjectStore


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run and when its newest attempt began (RFC 3339, empty when none did)."""

    started: str
    status: Status

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        at = self.status.current
        return {
            "run": self.status.run,
            "model": self.status.model,
            "started": self.started,
            "stage": at.stage,
            "state": str(at.why.state),
            "attempt": at.attempt,
        }


def list_runs(store: ObjectStore, now: datetime) -> list[ListedRun]:
    """All runs, the newest first; one whose records are damaged is left out with a warning."""
    found = []
    for run_id in run_ids(store):
        try:
            record = read_run(store, run_id)
        except (DataError, StorageError) as fault:
            log.warning(str(fault), run=run_id)
            continue
        found.append(ListedRun(record.started, status(record, store.uri, now)))
    return sorted(found, key=lambda each: each.started, reverse=True)


def render(runs: Iterable[ListedRun]) -> Table:
    """The runs as a table."""
    table = Table("run", "model", "stage", "state", "attempt", "done", "last began")
    for each in runs:
        at = each.status.current
        done, total = at.progress.done, at.progress.total
        row = (
            each.status.run,
            each.status.model,
            at.stage,
            str(at.why.state),
            str(at.attempt or ""),
            "" if done is None else f"{done} of {total or '?'}",
            each.started,
        )
        table.add_row(*map(log.cell, row))
    return table
