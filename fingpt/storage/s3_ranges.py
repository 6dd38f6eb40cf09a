"""Large objects by ranges: several parts of a file are on their way, hashed and written in order as they come.

A part that obstore cannot bring is asked for by boto3, which waits, gives up and explains as in every other call.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError

from fingpt.cores import usable_cores
from fingpt.storage import cancellation
from fingpt.storage.files import COPY_BYTES
from fingpt.storage.s3_errors import status_of
from fingpt.storage.s3_retry import StoreRetry
from fingpt.storage.s3_signed import SignedObject, options_like

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PART_BYTES = 4 << 20
# For all files that a store has under way: at most 128 MiB, and one part more for each file. More parts than the cores
# can take made downloads on two cores slower, not faster.
_PARTS = min(32, 2 * usable_cores())
_PARTS_OF_A_FILE = 8
_FAILURES = 3
_CONNECTIONS = 4
_LOOK_SECONDS = 0.2
_RANGE_NOT_SATISFIABLE = 416
_LOG = logging.getLogger(__name__)


class NotInRangesError(Exception):
    """The endpoint gives other bytes than the range that was asked for: it ignores ranges, or the object changed."""


class Ranges:
    """Reads objects of `bucket` by ranges; how is chosen once, from the settings of `client`. Safe for threads."""

    def __init__(self, client: S3Client, bucket: str, retry: StoreRetry) -> None:
        self._client, self._bucket, self._retry = client, bucket, retry
        self._options = options_like(client)
        self._share = Share(_PARTS)

    def receive(self, key: str, size: int, path: Path, where: str) -> str:
        """Write an object of `size` bytes to `path`; the hex sha256 of what came. `where` names it in errors.

        Raises NotInRangesError, the project's error once the retries have ended; Interrupted within 0.2 seconds.
        """
        signed = None
        if self._options is not None:
            signed = SignedObject(self._client, self._bucket, key, self._options)

        def fetch(start: int, stop: int) -> bytes:
            return self._retry.call(lambda: self._range(key, start, stop, size), "read", where)

        return asyncio.run(_Reception(fetch, signed, where).run(size, path, self._share))

    def _range(self, key: str, start: int, stop: int, size: int) -> bytes:
        """Bytes from `start` to before `stop` by boto3."""
        wanted = f"bytes={start}-{stop - 1}"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range=wanted)
        except ClientError as error:
            if status_of(error) == _RANGE_NOT_SATISFIABLE:
                raise NotInRangesError from error
            raise
        with closing(answer["Body"]) as body:
            if answer.get("ContentRange") != f"bytes {start}-{stop - 1}/{size}":
                raise NotInRangesError
            data = bytearray()
            for piece in body.iter_chunks(COPY_BYTES):
                cancellation.check()
                data += piece
            return bytes(data)


class _Reception:
    """One object on its way: parts come by obstore from `signed`, or by `fetch` in threads."""

    def __init__(
        self, fetch: Callable[[int, int], bytes], signed: SignedObject | None, where: str
    ) -> None:
        self._fetch, self._signed, self._where = fetch, signed, where
        self._failures = 0
        self._stopped = threading.Event()
        self._check = cancellation.checker()
        self._pool = ThreadPoolExecutor(
            _CONNECTIONS, "range", cancellation.cancel_on, (self._stopped,)
        )

    async def run(self, size: int, path: Path, share: Share) -> str:
        """Write `size` bytes to `path`; their hex sha256."""
        digest, asked = hashlib.sha256(), 0
        coming: deque[asyncio.Task[bytes | obstore.Bytes]] = deque()
        with path.open("wb") as file, share.file(), self._pool:
            try:
                while asked < size or coming:
                    while asked < size and share.take(len(coming)):
                        stop = min(asked + _PART_BYTES, size)
                        coming.append(asyncio.create_task(self._part(asked, stop)))
                        asked = stop
                    data = await self._arrival(coming[0])
                    # Both leave Python's lock alone: a file is written while it is hashed, beside other files.
                    writing = asyncio.get_running_loop().run_in_executor(None, file.write, data)
                    digest.update(data)
                    await writing
                    coming.popleft()
                    share.give(1)
            finally:
                self._stopped.set()
                for part in coming:
                    part.cancel()
                await asyncio.gather(*coming, return_exceptions=True)
                share.give(len(coming))
        return digest.hexdigest()

    async def _arrival(self, part: asyncio.Task[bytes | obstore.Bytes]) -> bytes | obstore.Bytes:
        while not part.done():
            self._check()
            await asyncio.wait({part}, timeout=_LOOK_SECONDS)
        self._check()
        return part.result()

    async def _part(self, start: int, stop: int) -> bytes | obstore.Bytes:
        if self._signed is not None and self._failures < _FAILURES:
            try:
                data = await obstore.get_range_async(
                    self._signed.store(), "", start=start, end=stop
                )
            except (BaseError, BotoCoreError, OSError, ValueError):
                # boto3 will find out why, and say it without the URL's signature.
                self._failures += 1
            else:
                if self._failures < _FAILURES:
                    self._failures = 0
                return data
            if self._failures == _FAILURES:
                _LOG.warning(
                    "s3.ranges: %d parts of %s in a row did not come by the fast client; the rest comes by boto3.",
                    _FAILURES,
                    self._where,
                )
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._fetch, start, stop)


class Share:
    """How many parts may be in memory, shared evenly by the files under way; each file may always have one."""

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._taken = self._files = 0
        self._lock = threading.Lock()

    @contextmanager
    def file(self) -> Iterator[None]:
        """One more file is under way."""
        with self._lock:
            self._files += 1
        try:
            yield
        finally:
            with self._lock:
                self._files -= 1

    def take(self, mine: int) -> bool:
        """Whether a file that has `mine` parts may have one more; if so, it is taken."""
        with self._lock:
            most = min(_PARTS_OF_A_FILE, self._parts // self._files)
            if mine and (self._taken >= self._parts or mine >= most):
                return False
            self._taken += 1
            return True

    def give(self, parts: int) -> None:
        """`parts` are out of memory."""
        with self._lock:
            self._taken -= parts
