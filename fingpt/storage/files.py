"""Files on this machine: OSErrors as the project's own, downloads that are verified before they appear.

Knows nothing of stores: `fetch_verified` is handed the function that brings the bytes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from fingpt.errors import (
    FingptError,
    MissingInputError,
    NoSpaceError,
    PermissionDeniedError,
    StorageError,
)
from fingpt.record import FileRef, sha256_file
from fingpt.storage.keys import MAX_KEY_BYTES

TRIES = 3

COPY_BYTES = 1 << 20
"""A copy holds one piece of 1 MiB in memory, whatever the size of the object."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_ABSENT = {errno.ENOENT, errno.EISDIR}
_NO_FOLDER = {errno.ENOTDIR, errno.EEXIST}


@contextmanager
def translate_os_errors(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn an OSError of the block into the project's error about `path`; `needed` is the size in bytes to be written.

    Raises NoSpaceError (with free and needed bytes), StorageError (other faults of the disk), PermissionDeniedError,
    MissingInputError.
    """
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path, needed) from error


@contextmanager
def one_at_a_time(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Let one process of this machine into the block at a time; `waiting` is called where another one is in it.

    The lock is the file `path`, which stays; the kernel releases it, however the process ends. Where the file system
    has no locks, or `path` may not be written, nobody waits: for work that may be done twice, and need not be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError:  # a home that is read-only, or full
        yield
        return
    with lock:
        with suppress(OSError):  # a network's file system without locks
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process has it
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def from_os_error(error: OSError, path: Path, needed: int | None = None) -> FingptError:
    """The project's error for an OSError about `path`."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _NO_SPACE:
        return _no_space(path, needed)
    if error.errno in _REFUSED or isinstance(error, PermissionError):
        return PermissionDeniedError(
            f"{path} cannot be accessed ({reason}); give this user the right to it or choose another folder."
        )
    if error.errno in _NO_FOLDER:
        return StorageError(
            f"{path} cannot be read or written: {reason}; a file is where a folder is needed: name another folder, or "
            "move that file away."
        )
    if error.errno in _ABSENT and needed is not None:
        return PermissionDeniedError(f"{path} cannot be written ({reason}); choose another folder.")
    if error.errno in _ABSENT:
        return MissingInputError(f"{path} is not a file that can be read ({reason}).")
    return StorageError(f"{path} cannot be read or written: {reason}.")


def no_store(error: OSError, root: Path) -> FingptError:
    """The project's error for an OSError when the folder of a store was to be made or written to."""
    if error.errno in _NO_SPACE:
        return _no_space(root, None)
    kind = StorageError if error.errno in _NO_FOLDER else PermissionDeniedError
    why = "a file is in its way" if error.errno in _NO_FOLDER else "nothing can be written there"
    return kind(
        f"The store cannot be the folder {root}: {why} ({error.strerror or error}); name another one, such as "
        "STORE=./store."
    )


def _no_space(path: Path, needed: int | None) -> NoSpaceError:
    wanted = "more than that is" if needed is None else f"{needed:,} bytes are"
    return NoSpaceError(
        f"No space left for {path}: {free_bytes(path):,} bytes are free there, {wanted} needed; "
        "free some (or raise the quota) and run the same command again."
    )


def free_bytes(path: Path) -> int:
    """Free bytes on the file system that `path` is, or would be, on."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def require_space(path: Path, needed: int) -> None:
    """NoSpaceError when fewer than `needed` bytes are free for `path`: checked before writing."""
    if free_bytes(path) < needed:
        raise _no_space(path, needed)


def files_below(folder: Path) -> Iterator[Path]:
    """What is below a folder of a store and is no folder, in the order of names; links to folders are not followed.

    Deeper than a key can be long nothing is looked at: no object lies there, and a walk would exhaust the stack.
    PermissionDeniedError for a folder that this user may not look into.
    """
    return map(Path, _names_below(folder))


def regular_below(folder: Path) -> Iterator[str]:
    """The paths of those of them that are files, or links to some; as text, since a store may have a million."""
    return filter(os.path.isfile, _names_below(folder))


def _names_below(folder: Path) -> Iterator[str]:
    start = len(os.fsencode(folder))
    for place, below, names in os.walk(folder, onerror=_unless_absent):
        below.sort()
        if len(os.fsencode(place)) - start > MAX_KEY_BYTES:
            below.clear()
        yield from (f"{place.rstrip('/')}/{name}" for name in sorted(names))


def _unless_absent(error: OSError) -> None:
    """Raise for a folder that cannot be looked into: what lies there must not seem to be gone."""
    absent = error.errno in (errno.ENOENT, errno.ENOTDIR)  # not made yet, or deleted meanwhile
    folder = Path(os.fsdecode(error.filename))
    if not absent and folder.name != "lost+found":  # a file system's own, which root alone may read
        raise from_os_error(error, folder) from error


def file_ref(path: Path, key: str) -> FileRef:
    """Size and sha256 of a local file that is to be stored under `key`, named by the key's last segment."""
    with translate_os_errors(path):
        return FileRef(
            name=key.rpartition("/")[2], size=path.stat().st_size, sha256=sha256_file(path)
        )


def write_pieces(pieces: Iterable[bytes], path: Path, key: str) -> FileRef:
    """Write `pieces` to `path`, hashed on their way; the reference is named by the last segment of `key`."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
            size += len(piece)
    return FileRef(name=key.rpartition("/")[2], size=size, sha256=digest.hexdigest())


def fetch_verified(fetch: Callable[[Path], str], where: str, path: Path, sha256: str) -> None:
    """Let `fetch` write a file beside `path` and hash it on its way; rename it to `path` when that is `sha256`.

    At most three tries. Raises StorageError naming `where`, wanted and got; whatever was at `path` stays until then.
    """
    got = ""
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(TRIES):
            temporary = path.with_name(f".{uuid4().hex}.part")
            try:
                got = fetch(temporary)
                if got == sha256:
                    temporary.replace(path)
                    return
            finally:
                temporary.unlink(missing_ok=True)
    raise corrupt(where, sha256, got)


def corrupt(where: str, wanted: str, got: str) -> StorageError:
    """The error for an object whose bytes are not those that a record names."""
    return StorageError(
        f"{where} does not hold the bytes that its record names (wanted sha256 {wanted}, got {got} in {TRIES} tries); "
        "the stored object was changed or damaged: restore it, or remove it and make it again."
    )


class TooLargeError(StorageError):
    """An object is longer than what belongs there can be."""


def too_large(where: str, size: int, limit: int) -> TooLargeError:
    """The error for an object that is longer than what belongs there can be."""
    return TooLargeError(
        f"{where} has {size:,} bytes where at most {limit:,} are read; it is not what was written there: find out who "
        "wrote it, remove it and make it again."
    )


def conflict(where: str, wanted: str, got: str) -> StorageError:
    """The error for a key that should be written but holds other bytes already."""
    return StorageError(
        f"{where} is there already with other bytes (sha256 {got}, ours is {wanted}); nothing was written, "
        "objects are never overwritten: find out who wrote it before removing it."
    )
