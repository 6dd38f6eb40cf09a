"""stdout and stderr that never end the work: a reader that has left, and a terminal that lacks a character.

`make list | head` closes the pipe after ten lines, and an ASCII terminal has no ✗. Neither is a fault of the command:
what cannot be written is left out or replaced, and the exit code is the one that it would be. A full disk is a fault.
"""

from __future__ import annotations

import io
import sys
from typing import Any, TextIO


def forgive() -> None:
    """Put such streams in the place of this process's own; streams that somebody else put there stay."""
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        sys.stdout = _forgiving(sys.__stdout__, "/dev/stdout")
    if sys.__stderr__ is not None and sys.stderr is sys.__stderr__:
        sys.stderr = _forgiving(sys.__stderr__, "/dev/stderr")


def _forgiving(stream: TextIO, name: str) -> TextIO:
    try:
        raw = _Raw(stream, name)
        stream.flush()
    except (AttributeError, OSError, ValueError):  # closed at the start, or no file at all
        return stream
    terminal = raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=terminal or stream is sys.stderr,
    )


class _Raw(io.FileIO):
    """A file whose reader may leave: what is written after that counts as written.

    Any other fault, such as a full disk, is raised once and names `stream`; else the interpreter, which writes what is
    left at its end, would show a traceback after the command's own message.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream.fileno(), "wb", closefd=False)
        self._stream = name
        self._failed = False

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            if not self._failed:
                self._failed = True
                raise OSError(error.errno, error.strerror, self._stream) from None
        return memoryview(data).nbytes
