"""Which runs are the newest, in few requests however many there are; for lists, never for decisions.

A run's id says nothing of its age, and its folder may hold thousands of keys. So freezing a run leaves one small record
in a folder whose name begins with its time, newest first: a listing of folders tells the order of 1,000 runs a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from fingpt import log
from fingpt.errors import FingptError
from fingpt.record import canonical_json
from fingpt.runs.run import FROZEN, frozen_key, has_model, run_key
from fingpt.runs.seen import Seen
from fingpt.storage import ObjectStore
from fingpt.storage.keys import is_key

T = TypeVar("T")
R = TypeVar("R")

READERS = 16
"""Requests at a time: what a list waits for is latency."""


def note_frozen(store: ObjectStore, run_id: str) -> None:
    """Record that a run was frozen now; a store that refuses keeps the run, which lists then look up by itself."""
    now = datetime.now(UTC)
    with suppress(FingptError):
        store.create(frozen_key(run_id, now), canonical_json({"run": run_id}))


def newest_first(store: ObjectStore, model: str = "") -> list[str]:
    """Ids of the runs (of `model`'s alone), those that were frozen last first.

    A run without a record of its freezing, from before there were any, is placed by its first claim, or last where
    nobody has claimed it; each of those costs some requests. Names that no run can have are passed over with a warning.
    """
    with ThreadPoolExecutor(
        1
    ) as beside:  # each is a page after the other, so both take as long as one
        frozen = beside.submit(lambda: list(store.folders(FROZEN)))
        there = set(filter(_is_of(model), _names(store)))
    order: dict[str, str] = {}
    for name in frozen.result():
        left, _, run_id = name.partition("-")
        if run_id in there:
            order.setdefault(run_id, left)
    rest = sorted(there - order.keys())
    if len(rest) > READERS * 8:
        log.event(
            "some runs are from before their order was recorded; looking at each", runs=len(rest)
        )
    for run_id, began in zip(
        rest, each_in_order(lambda one: _began(store, one), rest), strict=True
    ):
        order[run_id] = (
            frozen_key(run_id, began).removeprefix(FROZEN).partition("-")[0] if began else "~"
        )
    return sorted(there, key=lambda run_id: (order[run_id], run_id))


def each_in_order(act: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`act` of every item, READERS at a time, in order; what is not asked for is hardly begun."""
    with ThreadPoolExecutor(READERS) as pool:
        waiting: list[Future[R]] = []
        try:
            for item in items:
                waiting.append(pool.submit(act, item))
                if len(waiting) >= READERS:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


def _names(store: ObjectStore) -> Iterator[str]:
    for name in store.folders("runs/"):
        if is_key(run_key(name)):
            yield name
        else:
            log.warning(
                "no run has such a name; it is passed over", key=f"runs/{name}", store=store.uri
            )


def _is_of(model: str) -> Callable[[str], bool]:
    """Whether a run's id begins with its model's name."""
    return lambda run_id: not model or has_model(run_id, model)


def _began(store: ObjectStore, run_id: str) -> datetime | None:
    return Seen(store, run_id).began()
