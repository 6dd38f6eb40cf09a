"""Verify a run: re-hash everything that its results rest on, from run.json to the reports that name it.

chain.py names what there is to check; this starts at run.json and sums the links up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.runs.chain import Chain
from fingpt.runs.links import Link, LinkStatus
from fingpt.runs.run import run_key
from fingpt.runs.stage import load_run
from fingpt.storage import ObjectStore

__all__ = ["Link", "LinkStatus", "require_sound", "verify"]


def require_sound(run_id: str, links: Iterable[Link], kind: str = "Run") -> str:
    """The number of links of each status, as text; StorageError when one is damaged, MissingInputError when missing."""
    statuses = Counter(link.status for link in links)
    counts = ", ".join(f"{statuses[status]} {status}" for status in LinkStatus if statuses[status])
    if statuses[LinkStatus.DAMAGED]:
        raise StorageError(
            f"{kind} {run_id} does not verify: {counts}; the damaged objects are named above."
        )
    if statuses[LinkStatus.MISSING]:
        raise MissingInputError(
            f"{kind} {run_id} is incomplete: {counts}; what is missing is named above."
        )
    return counts


def verify(
    store: ObjectStore,
    run_id: str,
    *,
    deep: bool = False,
    on_link: Callable[[Link], None] = lambda _: None,
) -> tuple[Link, ...]:
    """Every link of a run's chain, in the order in which they were made; `deep` hashes the base weights' files too.

    `on_link` gets each link as soon as it is known. Raises MissingInputError when there is no such run, and what
    `ObjectStore.read` raises.
    """
    key = run_key(run_id)
    data = store.read(key)
    try:
        run = load_run(store, run_id)
    except (DataError, StorageError) as fault:
        link = Link(key, LinkStatus.DAMAGED, str(fault))
        on_link(link)
        return (link,)
    chain = Chain(store, on_link, run=run, deep=deep, early=run.is_encoded_without_hash(data))
    chain.check(key, run.is_encoded_as(data), "its bytes are not those that were frozen")
    chain.check_all()
    return tuple(chain.links)
