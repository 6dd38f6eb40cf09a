"""Verify a run: re-hash everything that its results rest on, from run.json to the reports that name it.

What a link is and what it must be compared with is chain.py's affair; this begins the walk and sums it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.runs.chain import Chain, Link, LinkStatus
from fingpt.runs.run import run_key
from fingpt.runs.stage import load_run
from fingpt.storage import ObjectStore

__all__ = ["Link", "LinkStatus", "exit_code", "verify"]


def exit_code(links: Iterable[Link]) -> int:
    """74 when a link is damaged, else 66 when one is missing, else 0."""
    statuses = {link.status for link in links}
    if LinkStatus.DAMAGED in statuses:
        return StorageError.exit_code
    return MissingInputError.exit_code if LinkStatus.MISSING in statuses else 0


def verify(
    store: ObjectStore,
    run_id: str,
    *,
    deep: bool = False,
    say: Callable[[Link], None] = lambda _: None,
) -> tuple[Link, ...]:
    """Every link of a run's chain, in the order of its making; `deep` hashes the base weights' files too.

    `say` gets each link as soon as it is known. Raises MissingInputError when there is no such run, and what a store
    raises that cannot be read.
    """
    key = run_key(run_id)
    data = store.read(key)
    try:
        run = load_run(store, run_id)
    except (DataError, StorageError) as fault:
        link = Link(key, LinkStatus.DAMAGED, str(fault))
        say(link)
        return (link,)
    chain = Chain(store, run, deep, say)
    chain.judge(key, run.encode() == data, "its bytes are not those that were frozen")
    chain.walk()
    return tuple(chain.links)
