"""Whole folders to and from a store, several files at a time, each one verified.

The files that `upload_tree` stores count once a manifest names them.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from fingpt.cores import usable_cores
from fingpt.errors import DataError, MissingInputError
from fingpt.record import FileRef, sha256_file
from fingpt.storage import cancellation
from fingpt.storage.files import translate_os_errors
from fingpt.storage.keys import check_key
from fingpt.storage.protocol import ObjectStore, TransferProgress

T = TypeVar("T")

# Latency is what one file waits for on its way, and each that goes up takes memory for its parts; to verify one that is
# there, a core.
_UPLOADS = 8
_DOWNLOADS = max(8, min(32, usable_cores()))


def upload_tree(
    store: ObjectStore, folder: Path, prefix: str, progress: TransferProgress | None = None
) -> tuple[FileRef, ...]:
    """Store every file below `folder` under `prefix`; the references, sorted, are named relative to `folder`.

    `progress` advances by bytes. It may be repeated: files that are stored with the same bytes are left.
    Raises MissingInputError when `folder` is not there, StorageError when a key holds other bytes, and what
    ObjectStore.upload raises; the first failure stops what has not started yet.
    """
    if not folder.is_dir():
        raise MissingInputError(f"{folder} is not a folder; nothing was stored under {prefix}.")
    with translate_os_errors(folder):
        names = sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )

    def store_one(name: str) -> FileRef:
        ref = store.upload(folder / name, _key(prefix, name))
        return ref.model_copy(update={"name": name})

    refs = _in_parallel(store_one, names, progress, _UPLOADS)
    return tuple(sorted(refs, key=lambda ref: ref.name))


def download_tree(
    store: ObjectStore,
    prefix: str,
    files: Sequence[FileRef],
    folder: Path,
    progress: TransferProgress | None = None,
) -> None:
    """Bring `files`, stored under `prefix`, to `folder`, each verified against its sha256.

    A file that is there with the right bytes is left as it is, so an interrupted download resumes.
    `progress` advances by bytes. Raises DataError on names that would leave `folder` or meet in one file, and what
    ObjectStore.download raises; the first failure stops what has not started yet.
    """
    for ref in files:
        check_key(ref.name)
    if len({unicodedata.normalize("NFC", ref.name) for ref in files}) < len(files):
        raise DataError(f"The record of {prefix} names one file twice; make it again.")

    def download_one(ref: FileRef) -> FileRef:
        path = folder / ref.name
        with translate_os_errors(path):
            there = path.is_file() and path.stat().st_size == ref.size
            if there and sha256_file(path) == ref.sha256:
                return ref
        store.download(_key(prefix, ref.name), path, ref.sha256)
        return ref

    _in_parallel(download_one, files, progress, _DOWNLOADS)


def _key(prefix: str, name: str) -> str:
    return f"{prefix.rstrip('/')}/{name}" if prefix else name


def _in_parallel(
    act: Callable[[T], FileRef],
    items: Sequence[T],
    progress: TransferProgress | None,
    workers: int,
) -> list[FileRef]:
    done = []
    stopped = threading.Event()
    pool = ThreadPoolExecutor(workers, "transfer", cancellation.cancel_on, (stopped,))
    try:
        for future in as_completed([pool.submit(act, item) for item in items]):
            done.append(future.result())
            if progress is not None:
                progress.advance(done[-1].size)
    except KeyboardInterrupt:
        stopped.set()
        raise
    finally:
        # After a failure, files under way end in order and those that wait are not begun; a signal halts both.
        pool.shutdown(cancel_futures=True)
    return done
