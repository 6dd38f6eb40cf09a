"""The log of openings: one create-only object for each run whose eval has read a data set's test rows.

A test that was opened often is worth less, since whoever saw its results chose what came after. Nothing removes an
entry, and a run that is evaluated again, or resumed, is one opening.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fingpt import log
from fingpt.record import Frozen, canonical_json
from fingpt.runs.run import Run, opening_key
from fingpt.storage import ObjectStore


class Opening(Frozen):
    """Who opened a test split first, and when (RFC 3339, UTC)."""

    run: str
    model: str
    opened_at: str


def record(store: ObjectStore, dataset_id: str, run: Run) -> None:
    """Note that `run` opens the test rows of a data set; the first note of a run stays. Errors are the store's."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    note = Opening(run=run.id, model=run.config.model, opened_at=now)
    if store.create(opening_key(dataset_id, run.id), canonical_json(note)):
        log.event("test split opened", dataset=dataset_id, before=count(store, dataset_id) - 1)


def count(store: ObjectStore, dataset_id: str) -> int:
    """How many runs have opened the test rows of a data set, by listing."""
    folder = opening_key(dataset_id, "").rpartition("/")[0]
    return sum(key.endswith("-eval.json") for key in store.keys(f"{folder}/"))
