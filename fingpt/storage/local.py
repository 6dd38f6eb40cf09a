"""LocalStore: a folder as an object store, for one machine or a shared POSIX file system.

An object appears whole or not at all: it is written and synced under `.aside/`, then given its name by a hard link,
which the kernel refuses when the name is taken. What a killed process leaves under `.aside/` is never read.
It keeps no metadata, and trusts its own file system only as far as the sha256 that the reader brings.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from fingpt.errors import MissingInputError, StorageError
from fingpt.reading import RECORD_BYTES
from fingpt.record import FileRef, sha256_file
from fingpt.storage.files import (
    COPY_BYTES,
    conflict,
    fetch_verified,
    file_ref,
    no_store,
    regular_below,
    require_space,
    too_large,
    translate_os_errors,
    write_pieces,
)
from fingpt.storage.keys import ASIDE, check_key, check_prefix

# FAT, some FUSE and network mounts have no hard links; link(2) says EPERM there as well.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class LocalStore:
    """Objects are files below `root`, which is made at the first write; see ObjectStore for the contract."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()

    @property
    def uri(self) -> str:
        """`file:///…` of the folder."""
        return self._root.as_uri()

    def create(self, key: str, data: bytes) -> bool:
        """Store `data` unless the key is there; see ObjectStore."""
        target = self._path(key)
        with translate_os_errors(target, len(data)):
            if _is_object(target):
                return False
            with self._aside() as temporary:
                temporary.write_bytes(data)
                _sync(temporary)
                return self._publish(temporary, target)

    def read(self, key: str, limit: int = RECORD_BYTES) -> bytes:
        """All bytes of an object that has at most `limit`."""
        path = self._path(key)
        self._require(path, key)
        with translate_os_errors(path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = b"" if size > limit else file.read(limit + 1)
        if max(size, len(data)) > limit:
            raise too_large(f"{self.uri}/{key}", size, limit)
        return data

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        path = self._path(key)
        with translate_os_errors(path):
            return _is_object(path)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that start with `prefix`, sorted."""
        start = self._root / check_prefix(prefix).rpartition("/")[0]
        root = len(str(self._root).rstrip("/")) + 1
        with translate_os_errors(start):
            keys = sorted(path[root:] for path in regular_below(start))
        yield from (
            key for key in keys if key.startswith(prefix) and not key.startswith(f"{ASIDE}/")
        )

    def folders(self, prefix: str) -> Iterator[str]:
        """The folders directly below `prefix`; see ObjectStore."""
        place = self._root / check_prefix(prefix)
        with translate_os_errors(place):
            try:
                with os.scandir(place) as entries:
                    names = sorted(each.name for each in entries if each.is_dir())
            except (FileNotFoundError, NotADirectoryError):
                names = []
        yield from names

    def upload(self, path: Path, key: str) -> FileRef:
        """Store a file under a key that is free or holds the same bytes."""
        target = self._path(key)
        ref = file_ref(path, key)
        with translate_os_errors(target, ref.size):
            if not _is_object(target):
                with self._aside() as temporary:
                    _copy(path, temporary)
                    # The source may have changed since it was hashed; what is stored is what was promised.
                    if sha256_file(temporary) != ref.sha256:
                        raise StorageError(f"{path} changed while it was stored; run it again.")
                    if self._publish(temporary, target):
                        return ref
            got = sha256_file(target)
        if got != ref.sha256:
            raise conflict(f"{self.uri}/{key}", ref.sha256, got)
        return ref

    def copy(self, key: str, path: Path, limit: int) -> FileRef:
        """Write an object that no record names to `path`, hashed on its way."""
        source = self._path(key)
        self._require(source, key)
        with translate_os_errors(source), source.open("rb") as file, translate_os_errors(path):
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise too_large(f"{self.uri}/{key}", size, limit)
            require_space(path, size)
            return write_pieces(iter(lambda: file.read(COPY_BYTES), b""), path, key)

    def download(self, key: str, path: Path, sha256: str) -> None:
        """Copy an object to `path` once its sha256 is verified."""
        source = self._path(key)
        self._require(source, key)

        def fetch(temporary: Path) -> str:
            _copy(source, temporary)
            return sha256_file(temporary)

        fetch_verified(fetch, f"{self.uri}/{key}", path, sha256)

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _require(self, path: Path, key: str) -> None:
        with translate_os_errors(path):
            if _is_object(path):
                return
        raise MissingInputError(
            f"{self.uri} has no object {key}; check the store and the key, or run the stage that makes it."
        )

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        folder = self._root / ASIDE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_store(error, self._root) from error
        temporary = folder / uuid4().hex
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _publish(self, temporary: Path, target: Path) -> bool:
        """Give `temporary` the name `target` unless it is taken: True = done."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(temporary, target)
        except FileExistsError:
            _is_object(target)
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not self._rename_locked(temporary, target):
                return False
        _sync(target.parent)
        return True

    def _rename_locked(self, temporary: Path, target: Path) -> bool:
        """What `os.link` does, for file systems without links: whole objects only, one winner on this machine.

        A file made with O_EXCL under its final name could be read half-written, and would stay so after a kill.
        """
        with (self._root / ASIDE / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released by the kernel, however the process ends
            if _is_object(target):
                return False
            temporary.rename(target)
            return True


def _is_object(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_ISDIR(mode):
        raise StorageError(
            f"{path} is a folder, so no object can have that key; a store on disk cannot hold both 'a' and 'a/b'."
        )
    if not stat.S_ISREG(mode):  # to open a pipe waits for ever, and a device need not end
        raise StorageError(
            f"{path} is a pipe, a socket or a device, which no object is; find out who made it, and remove it."
        )
    return True


def _copy(source: Path, target: Path) -> None:
    require_space(target, source.stat().st_size)
    shutil.copyfile(source, target)
    _sync(target)


def _sync(path: Path) -> None:
    """Ask the kernel to put a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
