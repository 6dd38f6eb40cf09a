"""Large files in parts, several under way at a time: received in any order and hashed in theirs, within fixed memory.

Knows nothing of stores: it is handed the function that brings, or takes, one part. hashlib, sockets and files release
the interpreter's lock for large pieces, so parts arrive, are written and are hashed at the same time.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from fingpt.storage import cancellation

T = TypeVar("T")

AT_ONCE = 8
"""Parts of one file that are under way together."""

_READY = 2  # received parts that may wait for their turn to be hashed while others arrive
_LOOK_SECONDS = 0.25


def receive_parts(
    fill: Callable[[int, memoryview], None], size: int, part_bytes: int, path: Path
) -> str:
    """Write a new file of `size` bytes from parts; hex sha256 of what was received, before it went to the disk.

    `fill(start, view)` is called from several threads and brings the bytes from `start` on, as many as `view` holds; it
    should call `cancellation.check` between pieces. Holds AT_ONCE + 2 parts in memory. The first failure, in the order
    of the parts, ends the others and is raised.
    """
    digest = hashlib.sha256()
    waiting: deque[tuple[Future[None], memoryview, int]] = deque()
    # The kernel lets one thread write to a file at a time, and others wait busily.
    writing = threading.Lock()
    count = min(AT_ONCE + _READY, -(-size // part_bytes))
    spare = [memoryview(bytearray(part_bytes)) for _ in range(count)]

    def take(start: int, view: memoryview) -> None:
        fill(start, view)
        with writing:
            _write_at(file.fileno(), view, start)

    def hash_next() -> None:
        future, view, length = waiting.popleft()
        _result(future)
        digest.update(view[:length])
        spare.append(view)

    with path.open("wb", buffering=0) as file, _pool() as pool:
        for start in range(0, size, part_bytes):
            if not spare:
                hash_next()
            view, length = spare.pop(), min(part_bytes, size - start)
            waiting.append((pool.submit(take, start, view[:length]), view, length))
        while waiting:
            hash_next()
    return digest.hexdigest()


def send_parts(send: Callable[[int, bytes], T], path: Path, part_bytes: int) -> list[T]:
    """What `send(number, data)` returned for every part of a file, in order; numbers count from 1.

    `send` is called from several threads. At most AT_ONCE + 2 parts are in memory. The first failure, in the order of
    the parts, ends the others and is raised.
    """
    waiting: deque[Future[T]] = deque()
    done: list[T] = []
    with path.open("rb") as file, _pool() as pool:
        for number, data in enumerate(iter(lambda: file.read(part_bytes), b""), start=1):
            if len(waiting) == AT_ONCE + 1:
                done.append(_result(waiting.popleft()))
            waiting.append(pool.submit(send, number, data))
        done += [_result(future) for future in waiting]
    return done


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that stop at their next piece once the block ends, however it ends."""
    stopped = threading.Event()
    pool = ThreadPoolExecutor(AT_ONCE, "part", cancellation.cancel_on, (stopped,))
    try:
        yield pool
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _result(future: Future[T]) -> T:
    """The result of a part; Interrupted as soon as the thread that waits here is cancelled."""
    while not wait((future,), _LOOK_SECONDS).done:
        cancellation.check()
    return future.result()


def _write_at(descriptor: int, view: memoryview, start: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written
