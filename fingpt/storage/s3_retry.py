"""How long to retry an S3 endpoint that fails for a passing reason, and when not to retry at all.

This comes on top of the client's own three attempts: those last about a second, a restart of the endpoint lasts longer.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from fingpt.errors import TransientError
from fingpt.storage import cancellation
from fingpt.storage.s3_errors import FAILURES, from_s3_error, unreachable

T = TypeVar("T")

RETRY_SECONDS = 60.0
# After a signal.
RETRY_SECONDS_WHEN_SIGNALLED = 5.0

_LONGEST_PAUSE_SECONDS = 10.0
_LOG = logging.getLogger(__name__)


class StoreRetry:
    """Repeats calls to `endpoint` for at most `seconds` after their first failure, with exponential full jitter.

    An endpoint that never answered anything is given up at once: then its address is wrong, and waiting helps nobody.
    """

    def __init__(self, endpoint: str, seconds: float) -> None:
        self._endpoint = endpoint
        self._seconds = seconds
        self._answered = False

    def call(self, act: Callable[[], T], action: str, where: str) -> T:
        """The result of `act`, whose failures become the project's errors; `action` and `where` are for their text."""
        end, pause = 0.0, 0.5
        while True:
            try:
                result = act()
            except FAILURES as error:
                self._answered |= isinstance(error, ClientError)
                failure = from_s3_error(error, action, where, self._endpoint)
                budget = (
                    RETRY_SECONDS_WHEN_SIGNALLED
                    if cancellation.SIGNALLED.is_set()
                    else self._seconds
                )
                end = end or time.monotonic() + budget
                hopeless = unreachable(error) and not self._answered
                if not isinstance(failure, TransientError) or hopeless or time.monotonic() >= end:
                    raise failure from error
            else:
                self._answered = True
                return result
            _LOG.warning("s3.retry: %s", failure)
            cancellation.sleep(random.uniform(0, pause))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
