"""What a signal changes: little patience from then on, and an end to transfers in threads.

A signal reaches the main thread alone, and weights take minutes to arrive. A pool hands its event to its threads by
`adopt`; what they call looks at it between chunks and while it waits. Threads without one, the main thread above all,
are never halted: there the signal itself does it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fingpt.errors import Interrupted

HASTE = threading.Event()
"""Set once a signal has come: what is stored then is worth a few seconds of patience, the grace period is short."""

_OF_THIS_THREAD = threading.local()


def adopt(event: threading.Event) -> None:
    """Let `event` halt what this thread does from now on."""
    _OF_THIS_THREAD.event = event


def check() -> None:
    """Raise Interrupted once this thread's event is set."""
    checker()()


def checker() -> Callable[[], None]:
    """`check` of this thread, for the threads of a library that works on its behalf."""
    event = _event()

    def look() -> None:
        if event is not None and event.is_set():
            raise Interrupted("The transfer was stopped; the same command fetches what is missing.")

    return look


def pause(seconds: float) -> None:
    """Sleep for `seconds`; Interrupted as soon as this thread's event is set."""
    event = _event()
    if event is None:
        time.sleep(seconds)
        return
    event.wait(seconds)
    check()


def _event() -> threading.Event | None:
    return getattr(_OF_THIS_THREAD, "event", None)
