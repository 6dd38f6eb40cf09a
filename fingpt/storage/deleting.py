"""Deleting, which the store protocol leaves out on purpose: stages cannot delete, only `make prune CONFIRM=1` can.

Lists the objects under a prefix with their age, and deletes named ones; fingpt/runs/prune.py decides which.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from fingpt.errors import StorageError
from fingpt.storage.files import files_below, translate_os_errors
from fingpt.storage.keys import check_key, check_prefix
from fingpt.storage.protocol import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object: its key, size in bytes, age in seconds and time of writing, both by the store's own clock."""

    key: str
    size: int
    age: float
    modified: datetime


class Deleter(Protocol):
    """What pruning needs beyond an ObjectStore; errors are those of ObjectStore."""

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`."""

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there (any more) is fine."""


def open_deleter(store: ObjectStore) -> Deleter:
    """The deleter of what `store` holds."""
    parts = urlsplit(store.uri)
    if parts.scheme == "file":
        return LocalDeleter(Path(unquote(parts.path)))
    from fingpt.storage.s3_client import make_client

    return S3Deleter(make_client(), parts.netloc, parts.path.strip("/"))


class LocalDeleter:
    """Deletes below a folder, and the folders that become empty; never what a symbolic link leads to."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`."""
        start = self._root / check_prefix(prefix).rpartition("/")[0]
        with translate_os_errors(start):
            if self._is_reached_by_a_link(start):
                return
            for path in files_below(start):
                key = path.relative_to(self._root).as_posix()
                about = path.lstat()
                if key.startswith(prefix) and stat.S_ISREG(about.st_mode):
                    age = max(time.time() - about.st_mtime, 0.0)
                    modified = datetime.fromtimestamp(about.st_mtime, UTC)
                    yield ObjectInfo(key, about.st_size, age, modified)

    def delete(self, key: str) -> None:
        """Delete an object; StorageError when a symbolic link leads to it."""
        *folders, name = check_key(key).split("/")
        path = self._root / key
        with translate_os_errors(path), ExitStack() as opened:
            descriptors = [os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)]
            opened.callback(os.close, descriptors[0])
            try:
                for folder in folders:
                    # Opened one by one without links, so that none that appears meanwhile is followed either.
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    descriptors.append(os.open(folder, flags, dir_fd=descriptors[-1]))
                    opened.callback(os.close, descriptors[-1])
                about = os.stat(name, dir_fd=descriptors[-1], follow_symlinks=False)
            except FileNotFoundError:
                return
            except NotADirectoryError:
                raise _through_a_link(path) from None
            if not stat.S_ISREG(about.st_mode):
                raise _through_a_link(path)
            os.unlink(name, dir_fd=descriptors[-1])
            _remove_empty(folders, descriptors)

    def _is_reached_by_a_link(self, path: Path) -> bool:
        parts = path.relative_to(self._root).parts
        return any(
            Path(self._root, *parts[:count]).is_symlink() for count in range(1, len(parts) + 1)
        )


def _remove_empty(folders: list[str], descriptors: list[int]) -> None:
    """Remove the innermost of nested `folders` as long as they are empty; descriptor n is that of the folder around."""
    for folder, parent in reversed(list(zip(folders, descriptors[:-1], strict=True))):
        try:
            os.rmdir(folder, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return
            raise


def _through_a_link(path: Path) -> StorageError:
    return StorageError(
        f"{path} is no plain file, or a symbolic link leads to it; nothing was deleted there: look at what it is."
    )


class S3Deleter:
    """Deletes in a bucket, object by object: not every store takes many at once."""

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        from fingpt.storage.s3_retry import RETRY_SECONDS, StoreRetry

        self._client, self._bucket = client, bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._retry = StoreRetry(client.meta.endpoint_url, RETRY_SECONDS)

    def objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`."""
        token, more = "", True
        while more:
            found, token = self._retry.call(
                lambda token=token: self._page(self._prefix + check_prefix(prefix), token),  # type: ignore[misc]
                "list",
                f"s3://{self._bucket}/{self._prefix}{prefix}",
            )
            yield from found
            more = bool(token)

    def delete(self, key: str) -> None:
        """Delete an object."""
        name = self._prefix + check_key(key)
        self._retry.call(
            lambda: self._client.delete_object(Bucket=self._bucket, Key=name),
            "delete",
            f"s3://{self._bucket}/{name}",
        )

    def _page(self, prefix: str, token: str) -> tuple[list[ObjectInfo], str]:
        """One page and the token of the next, empty on the last."""
        if token:
            page = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, ContinuationToken=token
            )
        else:
            page = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        stamp = page["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(stamp) if stamp else datetime.now(UTC)
        found = [
            ObjectInfo(
                each["Key"].removeprefix(self._prefix),
                each["Size"],
                max((now - each["LastModified"]).total_seconds(), 0.0),
                each["LastModified"],
            )
            for each in page.get("Contents", [])
        ]
        return found, page.get("NextContinuationToken", "")
