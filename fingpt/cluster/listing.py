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
from fingpt.runs.family import family
from fingpt.runs.stage import load_run
from fingpt.runs.state import read_run, run_ids
from fingpt.storage import ObjectStore


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run and when its newest attempt began (RFC 3339, empty when none did); `origin` as `2 of 4`, or empty."""

    started: str
    status: Status
    seed: int
    origin: str

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        at = self.status.current
        return {
            "run": self.status.run,
            "model": self.status.model,
            "seed": self.seed,
            "origin": self.origin,
            "started": self.started,
            "stage": at.stage,
            "state": str(at.why.state),
            "attempt": at.attempt,
        }


def list_runs(store: ObjectStore, now: datetime, of: str = "") -> list[ListedRun]:
    """All runs, or those of the family `of`, the newest first; a damaged one is left out with a warning."""
    found = []
    for run_id in run_ids(store):
        try:
            if of and family(load_run(store, run_id)) != of:
                continue
            record = read_run(store, run_id)
        except (DataError, StorageError) as fault:
            log.warning(str(fault), run=run_id)
            continue
        config = record.run.config
        origin = f"{config.prep.origin} of {config.prep.origins}" if config.prep.origin else ""
        shown = status(record, store.uri, now)
        found.append(ListedRun(record.started, shown, config.seed, origin))
    return sorted(found, key=lambda each: each.started, reverse=True)


def render(runs: Iterable[ListedRun]) -> Table:
    """The runs as a table."""
    table = Table(
        "run", "model", "seed", "origin", "stage", "state", "attempt", "done", "last began"
    )
    for each in runs:
        at = each.status.current
        done, total = at.progress.done, at.progress.total
        row = (
            each.status.run,
            each.status.model,
            str(each.seed),
            each.origin,
            at.stage,
            str(at.why.state),
            str(at.attempt or ""),
            "" if done is None else f"{done} of {total or '?'}",
            each.started,
        )
        table.add_row(*map(log.cell, row))
    return table
