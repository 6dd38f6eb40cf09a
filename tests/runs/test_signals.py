"""Signals end what the main thread waits for, also where Python alone would see them when the wait is over.

A signal that another thread takes leaves the main thread in its wait, as one does that comes while the wait begins.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fingpt.runs.signals import interrupt_on_signals, on_signals, signals_held
from fingpt.storage import SIGNALLED

FOR_EVER = 60


def wait_for_a_process() -> None:
    with subprocess.Popen(["sleep", str(FOR_EVER)]) as process:
        try:
            process.wait()
        finally:
            process.kill()
            process.wait()


WAITS = {
    "lock": lambda: threading.Event().wait(FOR_EVER),
    "process": wait_for_a_process,
    "sleep": lambda: time.sleep(FOR_EVER),
}


@contextmanager
def sent_past_the_main_thread(*numbers: int) -> Iterator[None]:
    """Soon the signals come, to a thread that is not the main one."""

    def take() -> None:
        for number in numbers:
            signal.pthread_kill(threading.get_ident(), number)

    timer = threading.Timer(0.1, take)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_signal_that_does_not_reach_a_waiting_main_thread_ends_its_wait(wait, number):
    start = time.monotonic()
    said = f"^{number.name} received$"
    with (
        sent_past_the_main_thread(number),
        pytest.raises(KeyboardInterrupt, match=said),
        interrupt_on_signals(),
    ):
        wait()
    assert time.monotonic() - start < FOR_EVER / 2
    assert not SIGNALLED.is_set()


def test_each_of_several_signals_is_acted_on_during_one_wait():
    received: list[int] = []
    two = threading.Event()

    def act(number: int) -> None:
        received.append(number)
        if len(received) == 2:
            two.set()

    with on_signals(act), sent_past_the_main_thread(signal.SIGTERM, signal.SIGINT):
        assert two.wait(FOR_EVER / 2)
    assert sorted(received) == [signal.SIGINT, signal.SIGTERM]


def test_signals_of_one_kind_that_come_at_once_do_not_keep_a_later_one_from_waking():
    received: list[int] = []
    again = threading.Event()

    def act(number: int) -> None:
        received.append(number)
        if number == signal.SIGINT:
            again.set()

    with on_signals(act):
        for _ in range(5):  # what is kept of them is that there was one, at least
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        with sent_past_the_main_thread(signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            assert again.wait(FOR_EVER / 2)


def test_handlers_and_threads_are_as_before_afterwards():
    def kept() -> tuple[object, ...]:
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGURG)
        threads = {thread.name for thread in threading.enumerate()}
        return (*map(signal.getsignal, numbers), _wakeup_fd(), "signals" in threads)

    before = kept()
    with interrupt_on_signals():
        with on_signals(lambda _: None):
            inner = kept()
        assert kept() not in (before, inner)
    assert kept() == before


def _wakeup_fd() -> int:
    current = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(current)
    return current


def test_a_signal_that_is_held_is_acted_on_once_the_block_is_over():
    done = []

    def act() -> None:
        with signals_held():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done.append("block")
        done.append("after it")

    with pytest.raises(KeyboardInterrupt, match="SIGTERM received"), interrupt_on_signals():
        act()
    assert done == ["block"]
