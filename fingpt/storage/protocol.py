"""The ObjectStore protocol: the few operations that stages need.

There is no overwrite, no delete and no rename: nothing in a store ever changes, so a record that names a key with its
sha256 stays true. Deleting is deleting.py's, with other credentials.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from fingpt.reading import RECORD_BYTES
from fingpt.record import FileRef


class TransferProgress(Protocol):
    """Receives the progress of transfers in bytes; may be called from several threads."""

    def advance(self, n: int = 1) -> None:
        """`n` more bytes are done."""


class ObjectStore(Protocol):
    """Immutable objects under relative POSIX keys; every method may be called from several threads.

    All methods raise PermissionDeniedError when credentials or file modes refuse, TransientError when the store
    cannot be reached, SetupError on clock skew or a wrong region, DataError on a key that `check_key` refuses.
    """

    @property
    def uri(self) -> str:
        """`file:///folder` or `s3://bucket/prefix`, without a slash at the end."""

    def create(self, key: str, data: bytes) -> bool:
        """Store `data` unless the key is there: True = this call stored it, False = nothing was written.

        Atomic among any number of writers: exactly one gets True. NoSpaceError when there is no space.
        """

    def read(self, key: str, limit: int = RECORD_BYTES) -> bytes:
        """All bytes of an object; MissingInputError when it (or its bucket) is not there.

        StorageError, before anything is read, when it has more than `limit` bytes.
        """

    def exists(self, key: str) -> bool:
        """Whether the object is there; a missing bucket is a MissingInputError, never False."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that start with `prefix`, sorted: for display and garbage collection, never for decisions."""

    def folders(self, prefix: str) -> Iterator[str]:
        """The first segments that follow `prefix`, which ends with a slash, in longer keys; sorted, for display.

        What lies below one of them costs nothing: 1,000 of them take one request, whatever they hold.
        """

    def upload(self, path: Path, key: str) -> FileRef:
        """Store a file. The same bytes under the key are fine; other bytes there are a StorageError.

        The FileRef's name is the key's last segment. MissingInputError when `path` is not a readable file.
        """

    def copy(self, key: str, path: Path, limit: int) -> FileRef:
        """Write an object that no record names to `path`, piece by piece, and return its size and sha256.

        TooLargeError, before anything is written, when it has more than `limit` bytes; MissingInputError when the key
        is not there. What a failure leaves at `path` is no object.
        """

    def download(self, key: str, path: Path, sha256: str) -> None:
        """Write an object to `path`, aside first and renamed once its sha256 is `sha256`.

        StorageError naming key, wanted and got hash after three tries; MissingInputError when the key is not there.
        """
