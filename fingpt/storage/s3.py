"""S3Store: any S3 endpoint as an object store, by the subset of S3 that all of them implement.

Commits are single PutObject calls with `If-None-Match: *`, never multipart: some stores let a conditional multipart
upload overwrite. A server's checksums are not relied on either: what counts is the sha256 of whoever reads.
Every object carries `sha256` and the `nonce` of the call that wrote it as metadata.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar
from uuid import uuid4

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from fingpt.errors import TransientError
from fingpt.reading import RECORD_BYTES
from fingpt.record import FileRef, sha256_bytes
from fingpt.storage import cancellation
from fingpt.storage.files import (
    COPY_BYTES,
    conflict,
    fetch_verified,
    file_ref,
    require_space,
    too_large,
    translate_os_errors,
    write_pieces,
)
from fingpt.storage.keys import check_key, check_prefix
from fingpt.storage.s3_client import make_client
from fingpt.storage.s3_errors import code_of, status_of
from fingpt.storage.s3_ranges import NotInRangesError, Ranges
from fingpt.storage.s3_retry import RETRY_SECONDS, StoreRetry

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")


class _Address(TypedDict):
    """An object's address as boto3's arguments."""

    Bucket: str
    Key: str


class _Head(NamedTuple):
    """Size and metadata of an object."""

    size: int
    metadata: dict[str, str]


_MIB = 1 << 20
_MULTIPART_BYTES = 64 * _MIB
# Above this an upload is judged by size and metadata; up to it, by reading all of it again.
_REREAD_BYTES = 256 * _MIB
_MULTIPART = TransferConfig(
    multipart_threshold=_MULTIPART_BYTES, multipart_chunksize=_MULTIPART_BYTES, max_concurrency=4
)
_CONFLICT_TRIES = 10
_CONFLICT, _PRECONDITION_FAILED = 409, 412


class S3Store:
    """Objects under `s3://bucket/prefix`; see ObjectStore for the contract, StoreRetry for `retry_seconds`."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str = "",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._retry = StoreRetry(client.meta.endpoint_url, retry_seconds)
        self._ranges = Ranges(client, bucket, self._retry)

    @classmethod
    def connect(cls, bucket: str, prefix: str = "") -> S3Store:
        """The store at the endpoint of the standard AWS settings; SetupError when those cannot be used."""
        return cls(make_client(), bucket, prefix)

    @property
    def uri(self) -> str:
        """`s3://bucket/prefix`."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def create(self, key: str, data: bytes) -> bool:
        """Store `data` unless the key is there; see ObjectStore."""
        return self._put_new(key, data, sha256_bytes(data))

    def read(self, key: str, limit: int = RECORD_BYTES) -> bytes:
        """All bytes of an object that has at most `limit`."""

        def get() -> bytes:
            answer = self._client.get_object(**self._at(key))
            # A connection brings no more bytes than it announces, and read() checks that it has brought them all.
            size = answer.get("ContentLength", -1)
            if 0 <= size <= limit:
                return answer["Body"].read()
            with closing(answer["Body"]) as body:
                data = body.read(limit + 1) if size < 0 else b""
            if max(size, len(data)) > limit:
                raise too_large(f"{self.uri}/{key}", max(size, len(data)), limit)
            return data

        return self._call("read", key, get)

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self._head(key) is not None

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that start with `prefix`, sorted."""
        wanted = self._prefix + check_prefix(prefix)

        token = ""
        while True:
            keys, token = self._call("list", prefix, functools.partial(self._page, wanted, token))
            yield from (key.removeprefix(self._prefix) for key in keys)
            if not token:
                return

    def folders(self, prefix: str) -> Iterator[str]:
        """The first segments that follow `prefix` in longer keys; see ObjectStore."""
        wanted, token = self._prefix + check_prefix(prefix), ""
        while True:
            page = functools.partial(self._folder_page, wanted, token)
            names, token = self._call("list", prefix, page)
            yield from (name.removeprefix(wanted).removesuffix("/") for name in names)
            if not token:
                return

    def upload(self, path: Path, key: str) -> FileRef:
        """Store a file under a key that is free or holds the same bytes; above 64 MiB in parts.

        A large upload is not atomic against another writer of the same key: give it a key under a prefix of its own.
        """
        ref = file_ref(path, key)
        if ref.size <= _MULTIPART_BYTES:
            with translate_os_errors(path):
                data = path.read_bytes()
            if self._put_new(key, data, ref.sha256):
                return ref
        elif self._head(key) is None:
            self._call("write", key, lambda: self._send_in_parts(path, key, ref.sha256))
        got = self._stored_sha256(key)
        if got != ref.sha256:
            raise conflict(f"{self.uri}/{key}", ref.sha256, got)
        return ref

    def copy(self, key: str, path: Path, limit: int) -> FileRef:
        """Write an object that no record names to `path`, hashed on its way."""

        def fetch() -> FileRef:
            answer = self._client.get_object(**self._at(key))
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > limit:
                    raise too_large(f"{self.uri}/{key}", answer["ContentLength"], limit)
                require_space(path, answer["ContentLength"])
                return write_pieces(_pieces(body), path, key)

        with translate_os_errors(path):
            return self._call("read", key, fetch)

    def download(self, key: str, path: Path, sha256: str) -> None:
        """Write an object to `path` once its sha256 is verified."""

        def fetch(temporary: Path) -> str:
            return self._call("read", key, lambda: self._receive(key, temporary))

        fetch_verified(fetch, f"{self.uri}/{key}", path, sha256)

    def _at(self, key: str) -> _Address:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def _put_new(self, key: str, data: bytes, sha256: str) -> bool:
        """One conditional PutObject: True = the bytes there are from this call."""
        address, nonce = self._at(key), uuid4().hex
        md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()

        def attempt() -> bool | None:
            try:
                self._client.put_object(
                    **address,
                    Body=data,
                    IfNoneMatch="*",
                    ContentMD5=md5,
                    Metadata={"sha256": sha256, "nonce": nonce},
                )
            except ClientError as error:
                if status_of(error) == _PRECONDITION_FAILED:
                    return self._is_from(key, nonce, data)
                if status_of(error) == _CONFLICT:
                    return None
                raise
            return True

        for number in range(_CONFLICT_TRIES):
            created = self._call("write", key, attempt)
            if created is not None:
                return created
            time.sleep(random.uniform(0, min(0.05 * 2**number, 1.0)))
        raise TransientError(
            f"Cannot write {self.uri}/{key}: the endpoint answered {_CONFLICT_TRIES} times that another request "
            "holds the key, yet there is no object; run the same command again."
        )

    def _is_from(self, key: str, nonce: str, data: bytes) -> bool | None:
        """Whether the object there was written by the call with `nonce`; None when it has gone meanwhile.

        "Precondition failed" may be the answer to our own repeated request, whose first success got lost on the way.
        """
        found = self._head(key)
        if found is None:
            return None
        if "nonce" in found.metadata:
            return found.metadata["nonce"] == nonce
        # A store that drops metadata.
        return found.size == len(data) and self.read(key, found.size) == data

    def _head(self, key: str) -> _Head | None:
        """Size and metadata, None when there is no such object; a missing bucket is an error."""
        address = self._at(key)

        def head() -> _Head | None:
            try:
                answer = self._client.head_object(**address)
                return _Head(answer["ContentLength"], answer["Metadata"])
            except ClientError:
                # An answer to HEAD has no body, so it cannot say why (no bucket? wrong key? clock?); one to GET can.
                pass
            try:
                full = self._client.get_object(**address)
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise
            full["Body"].close()
            return _Head(full["ContentLength"], full["Metadata"])

        return self._call("read", key, head)

    def _page(self, prefix: str, token: str) -> tuple[list[str], str]:
        """One page of a listing and the token of the next, empty on the last."""
        if token:
            page = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, ContinuationToken=token
            )
        else:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        keys = [entry["Key"] for entry in page.get("Contents", [])]
        return keys, page.get("NextContinuationToken", "")

    def _folder_page(self, prefix: str, token: str) -> tuple[list[str], str]:
        """One page of the prefixes that end with the next slash, and the token of the next page."""
        list_page = functools.partial(
            self._client.list_objects_v2, Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        page = list_page(ContinuationToken=token) if token else list_page()
        names = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        return names, page.get("NextContinuationToken", "")

    def _stored_sha256(self, key: str) -> str:
        """sha256 of the bytes that are stored; of a large object, that which its writer left as metadata."""
        found = self._head(key)
        if found is not None and found.size > _REREAD_BYTES and "sha256" in found.metadata:
            return found.metadata["sha256"]

        def hash_all() -> str:
            digest = hashlib.sha256()
            with closing(self._client.get_object(**self._at(key))["Body"]) as body:
                for chunk in body.iter_chunks(COPY_BYTES):
                    digest.update(chunk)
            return digest.hexdigest()

        return self._call("read", key, hash_all)

    def _send_in_parts(self, path: Path, key: str, sha256: str) -> None:
        address = self._at(key)
        metadata = {"Metadata": {"sha256": sha256, "nonce": uuid4().hex}}
        with translate_os_errors(path):
            self._client.upload_file(
                str(path), address["Bucket"], address["Key"], ExtraArgs=metadata, Config=_MULTIPART
            )

    def _receive(self, key: str, path: Path) -> str:
        """Write an object to `path`, a large one by ranges; hex sha256 of the bytes on their way."""
        answer = self._client.get_object(**self._at(key))
        size = answer["ContentLength"]
        require_space(path, size)
        if size > _MULTIPART_BYTES:
            answer["Body"].close()
            try:
                return self._ranges.receive(self._at(key)["Key"], size, path, f"{self.uri}/{key}")
            except NotInRangesError:
                answer = self._client.get_object(**self._at(key))
        with closing(answer["Body"]) as body:
            return write_pieces(_pieces(body), path, key).sha256

    def _call(self, action: str, key: str, act: Callable[[], T]) -> T:
        return self._retry.call(act, action, f"{self.uri}/{key}")


def _pieces(body: StreamingBody) -> Iterator[bytes]:
    """The bytes of an answer, at most 1 MiB at a time, until a signal ends the transfer."""
    for piece in body.iter_chunks(COPY_BYTES):
        cancellation.check()
        yield piece
