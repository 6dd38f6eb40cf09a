"""Large objects in parts: several are on their way at once, each a piece of memory that is sent as it is.

boto3 signs and obstore sends, as for reading (s3_signed.py): threads that send by Python wait for its lock again and
again, and all uploads of a process together get no further than one core does. A part that obstore cannot send is sent
by boto3, which waits, gives up and explains as in every other call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError
from obstore.store import HTTPStore

from fingpt.cores import usable_cores
from fingpt.errors import StorageError
from fingpt.record import FileRef
from fingpt.storage import cancellation
from fingpt.storage.files import translate_os_errors
from fingpt.storage.s3_errors import FAILURES, code_of
from fingpt.storage.s3_retry import StoreRetry
from fingpt.storage.s3_signed import VALID_SECONDS, options_like

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_PART_BYTES = 32 << 20
_MOST_PARTS = 10_000  # of an object; Amazon's limit
_PARTS = min(8, usable_cores() + 1)  # of all files under way: at most 256 MiB
_FAILURES = 3
_LOOK_SECONDS = 0.2
_LOG = logging.getLogger(__name__)


class Parts:
    """Writes objects of `bucket` in parts. Safe for threads, which share the memory."""

    def __init__(self, client: S3Client, bucket: str, retry: StoreRetry) -> None:
        self._client, self._bucket, self._retry = client, bucket, retry
        self._slots = threading.BoundedSemaphore(_PARTS)
        config: Any = client.meta.config
        # Amazon is sent a checksum of each part, which a signed address does not carry.
        needs_none = config.request_checksum_calculation == "when_required"
        self._options = options_like(client) if needs_none else None
        self._secure = client.meta.endpoint_url.startswith("https:")
        self._hashes = ThreadPoolExecutor(_PARTS, "md5")
        self._failures = 0

    def send(
        self, path: Path, ref: FileRef, key: str, nonce: str, where: str, *, read_again: bool
    ) -> None:
        """Store a file that was hashed; `where` names the object in errors. What was sent is dropped on a failure.

        `read_again`: whether the caller verifies the object afterwards, so that its parts need no comparison here.

        Raises StorageError when the file got shorter, Interrupted, and the project's error once retries have ended.
        """

        def begin() -> str:
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, Metadata={"sha256": ref.sha256, "nonce": nonce}
            )
            return begun["UploadId"]

        upload, whole = self._retry.call(begin, "write", where), False
        try:
            parts = self._send_all(path, ref.size, key, upload, where, compared=not read_again)
            self._retry.call(lambda: self._complete(key, upload, parts), "write", where)
            whole = True
        finally:
            if not whole:
                with suppress(*FAILURES):
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=key, UploadId=upload
                    )

    def _send_all(
        self, path: Path, size: int, key: str, upload: str, where: str, *, compared: bool
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
                    address = {
                        "Bucket": self._bucket,
                        "Key": key,
                        "UploadId": upload,
                        "PartNumber": number,
                    }
                    tag = self._send_fast(address, data, where, compared)
                    if tag:
                        return {"PartNumber": number, "ETag": tag}
                    return self._retry.call(lambda: self._put(address, data), "write", where)

            try:
                sent = [pool.submit(send, number) for number in range(1, parts + 1)]
                _await(sent)
            finally:
                stopped.set()
                pool.shutdown(cancel_futures=True)
        return [each.result() for each in sent]

    def _send_fast(
        self, address: dict[str, Any], data: bytes, where: str, compared: bool
    ) -> str | None:
        """The ETag of a part that obstore sent, None where boto3 has to. It tries once."""
        if self._options is None or self._failures >= _FAILURES:
            return None
        with suppress(BaseError, BotoCoreError, OSError, ValueError):
            url = self._client.generate_presigned_url(
                "upload_part", Params=address, ExpiresIn=VALID_SECONDS
            )
            store = HTTPStore(url, client_options=self._options, retry_config={"max_retries": 0})
            hashing = self._hashes.submit(_md5, data) if compared and not self._secure else None
            tag = obstore.put(store, "", data, use_multipart=False)["e_tag"]
            # A signed address says nothing of the bytes. TLS protects them; without it they are what the server says
            # that it got, or go by boto3, whose signature covers them.
            if tag and (hashing is None or tag.strip('"') == hashing.result()):
                self._failures = 0
                return tag
        self._failures += 1
        if self._failures == _FAILURES:
            _LOG.warning(
                "s3.parts: %d parts of %s in a row were not taken from the fast client; the rest goes by boto3.",
                _FAILURES,
                where,
            )
        return None

    def _put(self, address: dict[str, Any], data: bytes) -> CompletedPartTypeDef:
        answer: dict[str, Any] = self._client.upload_part(**address, Body=data)  # type: ignore[assignment]
        # Amazon wants the checksums of the parts again at the end.
        sums = {name: answer[name] for name in answer if name.startswith("Checksum")}
        sums.pop("ChecksumType", None)
        return {"PartNumber": address["PartNumber"], "ETag": answer["ETag"], **sums}  # type: ignore[typeddict-item]

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
    """Return once all are sent; raise the first failure, or Interrupted."""
    left = set(sent)
    while left:
        cancellation.check()
        done, left = wait(left, _LOOK_SECONDS, FIRST_COMPLETED)
        for each in done:
            each.result()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
