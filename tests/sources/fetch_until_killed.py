"""A fetch of the invented source that is killed in the middle: `python -m tests.sources.fetch_until_killed STORE WHEN`.

WHEN is the end of a key: before such an object would be written the process gets SIGKILL, which nothing can catch.
"""

from __future__ import annotations

import os
import signal
import sys

from fingpt.sources.fetching import fetch
from fingpt.sources.raw_store import RawStore
from fingpt.storage import open_store
from tests.sources.invented import SHORT, Invented


def main() -> None:
    """Fetch, and be killed."""
    address, when = sys.argv[1:]
    store = open_store(address)
    create = store.create

    def killed(key: str, data: bytes) -> bool:
        if key.endswith(when):
            os.kill(os.getpid(), signal.SIGKILL)
        return create(key, data)

    store.create = killed  # type: ignore[method-assign]
    source = Invented()
    fetch(RawStore(store), source, SHORT, source.clock)


if __name__ == "__main__":
    main()
