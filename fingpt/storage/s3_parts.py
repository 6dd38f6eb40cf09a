"""Large objects in parts: several are on their way at once, each a piece of memory that is sent as it is.

boto3's transfer manager reads a part 16 kB at a time while it sends it, under Python's lock, so that all uploads of a
process together get no further than one core does. A part in memory is hashed for its signature and written to its
socket without that lock.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from fingpt.cores import usable_cores
from fingpt.errors import StorageError
from fingpt.storage import cancellation
from fingpt.storage.files import translate_os_errors
from fingpt.storage.s3_errors import FAILURES, code_of
from fingpt.storage.s3_retry import StoreRetry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PART_BYTES = 16 << 20
_MOST_PARTS = 10_000  # of an object; Amazon's limit
_PARTS = min(16, 2 * usable_cores())  # of all files under way: at most 256 MiB
_LOOK_SECONDS = 0.2


class Parts:
    """Writes objects of `bucket` in parts. Safe for threads, which share the memory."""

    def __init__(self, client: S3Client, bucket: str, retry: StoreRetry) -> None:
        self._client, self._bucket, self._retry = client, bucket, retry
        self._slots = threading.BoundedSemaphore(_PARTS)

    def send(self, path: Path, size: int, key: str, metadata: dict[str, str], where: str) -> None:
        """Store `size` bytes of a file; `where` names the object in errors. What was sent is dropped on a failure.

        Raises StorageError when the file got shorter, Interrupted, and the project's error once retries have ended.
        """

        def begin() -> str:
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, Metadata=metadata
            )
            return begun["UploadId"]

        upload = self._retry.call(begin, "write", where)
        try:
            parts = self._send_all(path, size, key, upload, where)
            self._retry.call(lambda: self._complete(key, upload, parts), "write", where)
        except BaseException:
            with suppress(*FAILURES):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
            raise

    def _send_all(
        self, path: Path, size: int, key: str, upload: str, where: str
    ) -> list[CompletedPartTypeDef]:
        length = max(_PART_BYTES, -(-size // _MOST_PARTS))
        parts = -(-size // length)
        stopped = threading.Event()
        pool = ThreadPoolExecutor(min(_PARTS, parts), "part", cancellation.cancel_on, (stopped,))
        with translate_os_errors(path), path.open("rb") as file:

            def send(number: int) -> CompletedPartTypeDef:
                start = (number - 1) * length
                wanted = min(length, size - start)
                with self._slots:
                    cancellation.check()
                    data = os.pread(file.fileno(), wanted, start)
                    if len(data) < wanted:
                        raise StorageError(
                            f"{path} became shorter while it was uploaded; upload it again once it is written."
                        )
                    tag = self._retry.call(
                        lambda: self._put(key, upload, number, data), "write", where
                    )
                return {"PartNumber": number, "ETag": tag}

            try:
                sent = [pool.submit(send, number) for number in range(1, parts + 1)]
                _await(sent)
            except BaseException:
                stopped.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
        return [each.result() for each in sent]

    def _put(self, key: str, upload: str, number: int, data: bytes) -> str:
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=data
        )
        return answer["ETag"]

    def _complete(self, key: str, upload: str, parts: list[CompletedPartTypeDef]) -> None:
        try:
            self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            # The answer to a first request may have been lost; what is there is looked at afterwards in any case.
            if code_of(error) != "NoSuchUpload":
                raise


def _await(sent: list[Future[CompletedPartTypeDef]]) -> None:
    """Return once all are sent; raise what the first failure was, or Interrupted."""
    left = set(sent)
    while left:
        cancellation.check()
        done, left = wait(left, _LOOK_SECONDS, FIRST_EXCEPTION)
        for each in done:
            each.result()
