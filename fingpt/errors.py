"""The error tree; each class carries the exit code that a process ends with when it meets it.

    FingptError            1   (never raised itself)
    ├── ConfigError        64  command line or configuration is wrong
    ├── DataError          65  data, template or base do not fit what was promised
    ├── MissingInputError  66  an object or file that is needed does not exist
    ├── StartTimeoutError  69  the work could not start in time
    ├── DivergedError      70  training diverged (NaN, Inf), out of GPU memory at a fixed shape, invariant broken
    ├── RunConflictError   73  the run id belongs to another configuration
    ├── NoSpaceError       74  a disk or a store is full
    ├── StorageError       74  stored bytes are corrupt
    ├── TransientError     75  interrupted or transient; the same command resumes
    ├── FencedError        76  another attempt owns the run
    ├── PermissionDeniedError  77  the credentials or the file system refuse
    ├── SetupError         78  the environment is unfit: clock, driver, store without conditional writes
    ├── Interrupted        143 SIGTERM or Ctrl-C was honoured
    └── StageFailedError   the code of the stage that failed

A message is one sentence or two: what happened, where, what was expected, what to do next.
Exit codes follow sysexits.h where it has a word for the case.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self


class FingptError(Exception):
    """Base of all errors that a person is meant to read; `exit_code` is the process's exit code."""

    exit_code = 1


class ConfigError(FingptError):
    """The command line or the configuration is wrong; nothing was started."""

    exit_code = 64


class DataError(FingptError):
    """Data, template, tokenizer, adapter or base do not fit together."""

    exit_code = 65


class MissingInputError(FingptError):
    """An input object or file does not exist."""

    exit_code = 66


class StartTimeoutError(FingptError):
    """The work could not start within its deadline."""

    exit_code = 69


class DivergedError(FingptError):
    """Training diverged, ran out of GPU memory at a fixed shape, or an invariant broke."""

    exit_code = 70


class RunConflictError(FingptError):
    """The run id is taken by another specification."""

    exit_code = 73


class NoSpaceError(FingptError):
    """A disk or a store has no space left, which says nothing of what is stored."""

    exit_code = 74


class StorageError(FingptError):
    """Stored bytes do not match their sha256, or cannot be read."""

    exit_code = 74


class TransientError(FingptError):
    """Something outside failed for now; the same command resumes where this one stopped."""

    exit_code = 75


class FencedError(FingptError):
    """Another attempt of this run has taken over; this one stops without writing."""

    exit_code = 76


class PermissionDeniedError(FingptError):
    """Credentials or file permissions refuse the access."""

    exit_code = 77


class SetupError(FingptError):
    """The environment is unfit: clock skew, driver, a store without conditional writes."""

    exit_code = 78


class Interrupted(FingptError):
    """SIGTERM or Ctrl-C was honoured; what was committed stays, the same command resumes."""

    exit_code = 143


class StageFailedError(FingptError):
    """A stage ended with `code` in a process or pod of its own; `summary` is what is known of it here."""

    def __init__(self, summary: str, code: int) -> None:
        super().__init__(summary)
        self.exit_code = code

    @classmethod
    def of(cls, stage: str, code: int, reason: str = "its last line says why.") -> Self:
        """The usual sentence: which stage, which code, and word for word what it said: it may end with a command."""
        return cls(f"Stage {stage} ended with exit code {code}: {reason}", code)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word closest to `word`, or lists all of them when none is close."""
    options = sorted(known)
    close = get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(options)}."
