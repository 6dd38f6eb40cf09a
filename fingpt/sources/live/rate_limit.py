"""When a source may be asked again: a clock that tests can turn, and one token bucket per limit that a source has."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from fingpt.errors import TransientError
from fingpt.storage import cancellation


class Clock(Protocol):
    """Time as the client knows it."""

    def monotonic(self) -> float:
        """Seconds that never go backwards; only differences mean something."""

    def now(self) -> datetime:
        """The time of day, UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait; Interrupted when a signal ends the work."""


class SystemClock:
    """The time of this machine."""

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait, and end the wait when this thread is cancelled."""
        cancellation.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `calls` calls in any `seconds` seconds."""

    calls: int
    seconds: float

    def __str__(self) -> str:
        spans = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}
        return f"{self.calls} calls a {spans.get(int(self.seconds), f'{self.seconds:g} s')}"


class RateLimiter:
    """Lets calls through no faster than every limit allows.

    A bucket of b tokens that fills at r tokens a second lets at most b + r·w calls through in any w seconds. A tenth
    of a limit is its bucket and the rest its flow, so that b + r·w is the limit itself: no window of the server's, when
    ever it begins, sees more.
    """

    LONGEST_SECONDS = 150.0
    """A longer wait is no pace but a quota that is used up: then TransientError says when to come back."""

    def __init__(self, source: str, limits: Iterable[Limit], clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._buckets = [_Bucket(limit, clock.monotonic()) for limit in limits]

    def take(self) -> None:
        """Wait until one more call is allowed, and count it."""
        now = self._clock.monotonic()
        waits = [bucket.wait(now) for bucket in self._buckets]
        longest = max(waits, default=0.0)
        if longest > self.LONGEST_SECONDS:
            limit = self._buckets[waits.index(longest)].limit
            raise TransientError(
                f"{self._source} allows {limit}, and they are used up; the same command goes on from here in "
                f"{_minutes(longest)}."
            )
        if longest > 0:
            self._clock.sleep(longest)
        for bucket in self._buckets:
            bucket.take(self._clock.monotonic())


class _Bucket:
    def __init__(self, limit: Limit, now: float) -> None:
        self.limit = limit
        self._size = max(1.0, limit.calls // 10)
        self._rate = max(limit.calls - self._size, 1.0) / limit.seconds
        self._tokens, self._then = self._size, now

    def wait(self, now: float) -> float:
        """Seconds until there is a token."""
        self._fill(now)
        return max(0.0, 1.0 - self._tokens) / self._rate

    def take(self, now: float) -> None:
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + (now - self._then) * self._rate)
        self._then = now


def _minutes(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} minutes"
