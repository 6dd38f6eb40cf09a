"""SIGTERM and Ctrl-C, seen at once whatever the main thread waits for.

Python keeps a signal and calls its handler when the main thread next runs. One that comes just as that thread begins
to wait for a lock or a process does not end the wait: left at that, it is seen when the wait ends by itself, which may
be minutes after a pod's grace period.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fingpt.storage import SIGNALLED

_ENDING = (signal.SIGTERM, signal.SIGINT)
# By default nobody hears of it; here it ends a wait, upon which Python calls the handlers of all signals that it keeps.
_WAKING = signal.SIGURG
_PATIENCE_SECONDS = 0.2


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into KeyboardInterrupt, raised in the main thread.

    No Exception would do: libraries catch those. botocore takes one for a broken connection and repeats its request.
    """

    def interrupt(number: int) -> None:
        SIGNALLED.set()
        raise KeyboardInterrupt(f"{signal.Signals(number).name} received")

    with on_signals(interrupt):
        try:
            yield
        finally:
            SIGNALLED.clear()


@contextmanager
def signals_held() -> Iterator[None]:
    """Let the first SIGTERM or SIGINT that comes within the block be acted on after it, as it would have been before.

    For starting a process: an interrupt that is raised in the midst of it leaves one that nobody knows and nobody ends.
    """
    came: list[int] = []
    try:
        with on_signals(came.append):
            yield
    finally:
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def on_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` in the main thread, which alone may enter here, with the number of each SIGTERM and SIGINT."""
    awake = False

    def handler(number: int, _: object) -> None:
        nonlocal awake
        awake = True
        if number != _WAKING:
            act(number)

    def watch() -> None:
        nonlocal awake
        while number := os.read(reader, 1):
            if number[0] in _ENDING:
                ended.wait(_PATIENCE_SECONDS)
                while not awake and not ended.is_set():
                    signal.pthread_kill(main, _WAKING)
                    ended.wait(_PATIENCE_SECONDS)
                awake = False

    main, ended = threading.get_ident(), threading.Event()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    outer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handler) for number in (*_ENDING, _WAKING)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
        signal.set_wakeup_fd(outer)
        ended.set()
        os.close(writer)
        watcher.join()
        os.close(reader)
