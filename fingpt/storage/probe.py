"""Test the one property that commits depend on: of several writers of a key, exactly one wins.

Some servers ignore `If-None-Match`, some check it before they write and so let two writers in; only a trial shows it.
The probe leaves a handful of objects of some bytes under `probe/`; there is no delete in the protocol.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from fingpt.errors import SetupError
from fingpt.storage.protocol import ObjectStore

_WRITERS = 8
_ROUNDS = 5


def probe(store: ObjectStore) -> None:
    """Create one key twice, then race 8 writers for each of 5 keys; SetupError when not exactly one ever wins.

    Also raises what ObjectStore.create and read raise, so it serves as the check of address, bucket and rights.
    """
    prefix = f"probe/{uuid4().hex}"
    first, second = store.create(f"{prefix}/twice", b"1"), store.create(f"{prefix}/twice", b"2")
    kept = store.read(f"{prefix}/twice")
    if not first or second or kept != b"1":
        raise SetupError(
            f"{store.uri} ignores If-None-Match: a second write of the same key replaced the first; "
            "choose a store with conditional writes, results would overwrite each other here."
        )
    for number in range(_ROUNDS):
        winners = _race(store, f"{prefix}/race-{number}")
        if winners != 1:
            raise SetupError(
                f"{store.uri} let {winners} of {_WRITERS} racing writers create one key, where exactly 1 may win; "
                "choose a store with atomic conditional writes."
            )


def _race(store: ObjectStore, key: str) -> int:
    """How many of the racing writers were told that they created `key`; 0 when the winner's bytes are not there."""
    start = threading.Barrier(_WRITERS)

    def write(number: int) -> bool:
        start.wait()
        return store.create(key, str(number).encode())

    with ThreadPoolExecutor(_WRITERS) as pool:
        won = list(pool.map(write, range(_WRITERS)))
    if won.count(True) == 1 and store.read(key) != str(won.index(True)).encode():
        return 0
    return won.count(True)
