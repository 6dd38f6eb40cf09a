"""Bytes that are appended and read back by their places: in memory while they are few, then in a nameless file."""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
import weakref
from array import array
from pathlib import Path
from typing import Generic, TypeVar

from fingpt.errors import StorageError
from fingpt.storage.files import translate_os_errors

IN_MEMORY_BYTES = 1 << 20
"""What is shorter needs no file; of what is longer, memory holds less than this."""

Item = TypeVar("Item")


class Tape:
    """The file lies in `folder` or where temporary files lie, and goes with the tape."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: int | None = None
        self._stored, self._waiting = 0, bytearray()

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._stored + len(self._waiting)

    def append(self, data: bytes) -> None:
        """Some more bytes; NoSpaceError when the disk is full."""
        self._waiting += data
        if len(self._waiting) > IN_MEMORY_BYTES:
            self._store()

    def read(self, start: int, size: int) -> bytes:
        """`size` bytes from `start` on."""
        if start >= self._stored:
            return bytes(self._waiting[start - self._stored : start - self._stored + size])
        if start + size > self._stored:
            self._store()
        assert self._file is not None
        data = os.pread(self._file, size, start)
        if len(data) != size:
            raise StorageError(
                f"A temporary file ends at byte {start + len(data)}: somebody cut it; run the same command again."
            )
        return data

    def whole(self) -> memoryview:
        """All bytes so far, mapped from the file: the system may drop such pages and read them again, so that they are
        no memory that the process needs.
        """
        if self._file is None:
            return memoryview(bytes(self._waiting))
        self._store()
        return memoryview(mmap.mmap(self._file, self._stored, prot=mmap.PROT_READ))

    def _store(self) -> None:
        folder = self._folder or Path(tempfile.gettempdir())
        with translate_os_errors(folder, len(self._waiting)):
            if self._file is None:
                self._file, path = tempfile.mkstemp(prefix="fingpt-", dir=folder)
                weakref.finalize(self, os.close, self._file)
                Path(path).unlink()
            data = memoryview(self._waiting)
            while data:
                data = data[os.write(self._file, data) :]
        self._stored += len(self._waiting)
        self._waiting = bytearray()


class Pickles(Generic[Item]):
    """A list of objects on a tape; each is read, as a copy, when it is asked for."""

    def __init__(self) -> None:
        self._tape = Tape()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, item: Item) -> None:
        """One more object."""
        self._tape.append(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))
        self._ends.append(self._tape.size)

    def __getitem__(self, place: int) -> Item:
        start, end = self._ends[place], self._ends[place + 1]
        found: Item = pickle.loads(self._tape.read(start, end - start))  # noqa: S301 (own bytes)
        return found
