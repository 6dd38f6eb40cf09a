"""How often a request is sent again, and how watches and logs go on after interruptions, without loss or repetition.

Never talks to the API server itself: it is given what opens a stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from urllib3.util import Retry

from fingpt import log
from fingpt.cluster.api.faults import TRANSIENT
from fingpt.cluster.api.objects import ContainerPhase, PodState
from fingpt.errors import TransientError

S = TypeVar("S")

BACKOFF_SECONDS = 0.5  # doubles with every failed try, up to
MAX_PAUSE_SECONDS = 10.0
PATIENCE_SECONDS = 600.0  # how long a stream outlives an API server that does not answer
RESTART_SECONDS = 30.0  # how long one request waits for an API server that restarts
MAX_RETRY_AFTER_SECONDS = 30  # whatever the server asks for


def retry() -> Retry:
    """Retries of what can pass within a minute: every request of ours may safely be sent twice."""
    return Retry(
        total=6,
        connect=2,
        redirect=0,
        other=0,
        allowed_methods=None,
        status_forcelist=TRANSIENT,
        raise_on_status=False,  # the last answer's message comes with the error
        backoff_factor=BACKOFF_SECONDS,
        backoff_max=MAX_PAUSE_SECONDS,
        retry_after_max=MAX_RETRY_AFTER_SECONDS,
    )


def wait_out(
    act: Callable[[], S], kinds: tuple[type[Exception], ...], passes: Callable[[Exception], bool]
) -> S:
    """The result of `act`, tried again for RESTART_SECONDS while its error is of `kinds` and `passes`."""
    end = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            return act()
        except kinds as error:
            if not passes(error) or time.monotonic() > end:
                raise
        time.sleep(BACKOFF_SECONDS)


@dataclass(slots=True)
class WatchBackoff:
    """Waits between tries, longer each time; gives up when no answer came for PATIENCE_SECONDS.

    An API server that restarts is away for a minute, a control plane that is upgraded for several.
    """

    what: str
    silent_since: float | None = None
    tries: int = 0

    def reset(self) -> None:
        """An answer came: the next interruption starts with short pauses again."""
        if self.silent_since is not None:
            log.event("the API server answers again", following=self.what)
        self.silent_since, self.tries = None, 0

    def pause(self, error: TransientError | None = None) -> None:
        """Sleep before the next try; raises `error` when there have been too many."""
        now = time.monotonic()
        if error is not None:
            if self.silent_since is None:
                self.silent_since = now
                log.warning(f"{error} Still following.", following=self.what)
            elif now - self.silent_since > PATIENCE_SECONDS:
                raise error
        time.sleep(min(BACKOFF_SECONDS * 2**self.tries, MAX_PAUSE_SECONDS))
        self.tries += 1


def until(final: Callable[[S], bool], states: Callable[[], Iterator[S]], what: str) -> Iterator[S]:
    """Every new state that `states()` gives, opened again whenever it ends, up to the first one that is final."""
    last: S | None = None
    backoff = WatchBackoff(what)
    while True:
        silence: TransientError | None = None
        try:
            for state in states():
                backoff.reset()
                if state != last:
                    yield state
                last = state
                if final(state):
                    return
        except TransientError as error:
            silence = error
        backoff.pause(silence)


def lines(
    pod: Callable[[], PodState], log_of: Callable[[PodState], Iterator[str]], what: str
) -> Iterator[str]:
    """Every line that `log_of` the pod's state gives, opened again until it was read after the pod's end."""
    backoff = WatchBackoff(what)
    while True:
        silence: TransientError | None = None
        try:
            state = pod()
            backoff.reset()
            if state.ended or state.container.phase is not ContainerPhase.WAITING:
                yield from log_of(state)
            if state.ended:
                return
        except TransientError as error:
            silence = error
        backoff.pause(silence)


@dataclass(slots=True)
class NewLines:
    """Drops the lines of a log that were seen before: each reconnection sends some of them again.

    Lines carry the time at which the container wrote them (RFC 3339 with a fraction of up to nine digits).
    """

    newest: str = ""
    at_newest: set[str] = field(default_factory=set)
    newest_at: float | None = None

    def take(self, stamped: str) -> str | None:
        """The line without its time, None when it was seen before."""
        stamp, _, line = stamped.partition(" ")
        time_key = _sortable(stamp)
        if time_key < self.newest or (time_key == self.newest and line in self.at_newest):
            return None
        if time_key > self.newest:
            self.newest = time_key
            self.at_newest.clear()
        self.at_newest.add(line)
        self.newest_at = time.monotonic()
        return line

    def since_seconds(self) -> int | None:
        """How far back a reconnection must ask, by this machine's own clock; None for everything."""
        if self.newest_at is None:
            return None
        return int(time.monotonic() - self.newest_at) + 30


def _sortable(stamp: str) -> str:
    """The stamp with nine digits after the second, so that text order is time order."""
    second, _, fraction = stamp.rstrip("Z").partition(".")
    return f"{second}.{fraction:0<9}"
