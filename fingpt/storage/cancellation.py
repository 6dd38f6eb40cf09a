"""How a signal ends transfers: threads stop at their next chunk, and failed requests are retried for seconds only.

A signal reaches the main thread alone, and weights take minutes to arrive. A pool gives its threads an event by
`cancel_on`; what they call checks it between chunks and while it waits. Threads without an event, the main thread above
all, are never cancelled here: there the signal itself ends the work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fingpt.errors import Interrupted

SIGNALLED = threading.Event()
"""Set once a signal has come: the grace period is short, so a store that fails is retried for seconds only."""

_OF_THIS_THREAD = threading.local()


def cancel_on(event: threading.Event) -> None:
    """Let `event` cancel what this thread does from now on."""
    _OF_THIS_THREAD.event = event


def check() -> None:
    """Raise Interrupted once this thread's event is set."""
    checker()()


def checker() -> Callable[[], None]:
    """`check` of this thread, for the threads of a library that works on its behalf."""
    event = _event()

    def check_event() -> None:
        if event is not None and event.is_set():
            raise Interrupted("The transfer was stopped; the same command fetches what is missing.")

    return check_event


def sleep(seconds: float) -> None:
    """Sleep for `seconds`; Interrupted as soon as this thread's event is set."""
    event = _event()
    if event is None:
        time.sleep(seconds)
        return
    event.wait(seconds)
    check()


def _event() -> threading.Event | None:
    return getattr(_OF_THIS_THREAD, "event", None)
