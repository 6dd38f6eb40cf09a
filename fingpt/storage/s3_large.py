"""One large S3 object by ranges, and one by a multipart upload: every part is a request of its own, repeated alone.

A server that ignores Range, or answers with other bytes than were asked for, is asked for the whole instead. Nothing is
made of ETags: what counts is the sha256 of whoever reads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

from botocore.exceptions import ClientError, IncompleteReadError

from fingpt.storage import cancellation
from fingpt.storage.files import COPY_BYTES, translate_os_errors
from fingpt.storage.parts import receive_parts, send_parts
from fingpt.storage.s3_errors import FAILURES, code_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

T = TypeVar("T")

_RANGE_BYTES = 8 << 20
_PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
_PARTIAL_CONTENT = 206


class Address(TypedDict):
    """An object's address as boto3's arguments."""

    Bucket: str
    Key: str


class Call(Protocol):
    """Repeats one request as long as its failures may pass; the first argument is a verb for their text."""

    def __call__(self, action: str, act: Callable[[], T]) -> T:
        """The result of `act`."""


class NoRangesError(Exception):
    """The server does not answer a request for a range with that range."""


def receive(client: S3Client, address: Address, size: int, path: Path, call: Call) -> str:
    """Write an object of `size` bytes to `path` by ranges; hex sha256 of what came.

    NoRangesError where that is not to be had; an object that has another size meanwhile is such a case.
    """

    def get(start: int, view: memoryview) -> None:
        wanted = f"bytes {start}-{start + len(view) - 1}/{size}"
        answer = client.get_object(**address, Range=wanted.replace(" ", "=").partition("/")[0])
        with closing(answer["Body"]) as body:
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            got, length = answer.get("ContentRange"), answer.get("ContentLength")
            if (status, got, length) != (_PARTIAL_CONTENT, wanted, len(view)):
                raise NoRangesError
            done = 0
            while done < len(view):
                cancellation.check()
                # Its stubs ask for a file where it takes a buffer.
                count = body.readinto(view[done : done + COPY_BYTES])  # type: ignore[arg-type]
                if not count:
                    raise IncompleteReadError(actual_bytes=done, expected_bytes=len(view))
                done += count

    def fill(start: int, view: memoryview) -> None:
        call("read", functools.partial(get, start, view))

    return receive_parts(fill, size, _RANGE_BYTES, path)


def send(
    client: S3Client, address: Address, path: Path, metadata: dict[str, str], call: Call
) -> None:
    """Store a file in parts. An upload that fails is aborted; of a killed one the server keeps parts, but no object."""
    with translate_os_errors(path):
        part_bytes = max(_PART_BYTES, -(-path.stat().st_size // _MOST_PARTS))
    begun = call("write", lambda: client.create_multipart_upload(**address, Metadata=metadata))
    upload: Any = {**address, "UploadId": begun["UploadId"]}
    whole = False

    def put(number: int, data: bytes) -> CompletedPartTypeDef:
        answer = call("write", lambda: _put_part(client, upload, number, data))
        # Amazon wants each part's checksum once more; other servers are sent none.
        sums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        return {"ETag": answer["ETag"], "PartNumber": number, **sums}  # type: ignore[typeddict-item]

    try:
        with translate_os_errors(path):
            parts = send_parts(put, path, part_bytes)
        call("write", lambda: _complete(client, address, upload, parts))
        whole = True
    finally:
        if not whole:
            with suppress(*FAILURES):
                client.abort_multipart_upload(**upload)


def _put_part(client: S3Client, upload: Any, number: int, data: bytes) -> Any:
    cancellation.check()
    return client.upload_part(**upload, PartNumber=number, Body=data)


def _complete(client: S3Client, address: Address, upload: Any, parts: list[Any]) -> None:
    try:
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    except ClientError as error:
        if code_of(error) != "NoSuchUpload":
            raise
        # A repeated request whose first answer got lost: the object is there, and whose it is the caller looks.
        client.head_object(**address)
