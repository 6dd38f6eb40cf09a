"""Work that is shared with processes of their own, part by part, in order: many rows on a machine of many cores.

A trainer with a GPU has threads, which makes it unsafe to fork, and takes seconds to be started anew. So one light
process is started, loads what all need, and forks those that work (worker.py). Until they are there, and where they
are gone, whoever asks works itself: results never depend on how many there are, and a worker that dies costs time
alone. They end when who asks does, since then their sockets close.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from fingpt.config import child_environment
from fingpt.cores import usable_cores
from fingpt.errors import FingptError

Part = TypeVar("Part")
Result = TypeVar("Result")

READY = "ready"
"""What a worker says first."""

_FEWEST_ROWS = (
    4000  # one core takes about two seconds for as many, and half a one to load a tokenizer
)
_MOST = 15  # more than who asks can keep up with
_ENOUGH = 4  # so many keep who asks busy with what they bring
_AHEAD = 4  # parts for each worker that may be there before their turn
_END_SECONDS = 1.0
_LOG = logging.getLogger(__name__)


def worker_count(rows: int) -> int:
    """How many workers are worth their start for so many rows; the trainer processes of a machine share its cores."""
    if rows < _FEWEST_ROWS:
        return 0
    beside = max(1, int(child_environment().get("LOCAL_WORLD_SIZE", "1")))
    return max(0, min(_MOST, usable_cores() // beside - 1))


class Workers:
    """`count` processes that `python *words` forks; it is given the numbers of their sockets as further words."""

    def __init__(self, words: Sequence[str], count: int) -> None:
        self._waiting: dict[Connection, int | None] = {}  # for which part; None before READY
        self._idle: list[Connection] = []
        self._server: subprocess.Popen[bytes] | None = None
        if count > 0:
            self._start(words, count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for connection in (*self._waiting, *self._idle):
            connection.close()
        if self._server is not None:
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(_END_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def map(
        self,
        alone: Callable[[Part], Result],
        parts: Iterable[Part],
        sent: Callable[[Part], object],
    ) -> Iterator[Result]:
        """`alone` of each part, in their order; a worker makes the same of what `sent` makes of it.

        What `alone` raises is raised in the turn of its part.
        """
        coming, turn = enumerate(parts), 0
        begun: dict[int, Part] = {}
        done: dict[int, Any] = {}
        left = list[int]()  # begun, and no worker has them
        while True:
            self._collect(done, left, 0.0)
            most = 1 + _AHEAD * (len(self._waiting) + len(self._idle))
            while self._idle and len(begun) < most and (new := next(coming, None)):
                begun[new[0]] = new[1]
                self._give(new[0], sent(new[1]), left)
            if turn in done:
                result = done.pop(turn)
                if isinstance(result, FingptError):
                    raise result
                yield result
                del begun[turn]
                turn += 1
                continue
            if not left and (turn not in begun or (len(begun) < most and self._few())):
                new = next(coming, None)
                if new is not None:
                    begun[new[0]] = new[1]
                    left.append(new[0])
                elif turn not in begun:
                    return
            if turn in left or (left and self._few()):
                own = min(left)
                left.remove(own)
                try:
                    done[own] = alone(begun[own])
                except FingptError as error:
                    done[own] = error
            else:
                self._collect(done, left, None)

    def _few(self) -> bool:
        """Whether so few are ready that who asks has time to work."""
        busy = sum(number is not None for number in self._waiting.values())
        return busy + len(self._idle) < _ENOUGH

    def _start(self, words: Sequence[str], count: int) -> None:
        pairs = [Pipe() for _ in range(count)]
        ends = [theirs.fileno() for _, theirs in pairs]
        with suppress(OSError):  # no room for one more process
            self._server = subprocess.Popen(
                [sys.executable, *words, *map(str, ends)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=child_environment(TOKENIZERS_PARALLELISM="false"),
                pass_fds=ends,
                start_new_session=True,  # a terminal's Ctrl-C is for who asks
            )
        for ours, theirs in pairs:
            theirs.close()
            if self._server is None:
                ours.close()
            else:
                self._waiting[ours] = None

    def _give(self, number: int, message: object, left: list[int]) -> None:
        """Have an idle worker work on a part; `left` has it where that one is gone."""
        connection = self._idle.pop()
        try:
            connection.send(message)
        except OSError:
            connection.close()
            left.append(number)
        else:
            self._waiting[connection] = number

    def _collect(self, done: dict[int, Any], left: list[int], seconds: float | None) -> None:
        """Take what has come, or comes within `seconds`; `left` has what workers that died did not bring."""
        for connection in wait(list(self._waiting), seconds) if self._waiting else ():
            assert isinstance(connection, Connection)
            number = self._waiting.pop(connection)
            try:
                answer = connection.recv()
            except (EOFError, OSError):
                connection.close()
                if number is not None:
                    left.append(number)
                elif not self._idle and not self._waiting:
                    _LOG.warning("No process to render rows came to life; this one renders them.")
            else:
                self._idle.append(connection)
                if number is not None:
                    done[number] = answer
