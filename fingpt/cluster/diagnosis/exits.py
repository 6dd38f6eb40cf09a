"""What each exit code means, what to do about it, and whether the Job starts another pod by itself.

Codes are those of fingpt/errors.py, retries those of `podFailurePolicy` in k8s/; docs/operations.md publishes both.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from fingpt.errors import (
    ConfigError,
    DataError,
    DivergedError,
    FencedError,
    FingptError,
    Interrupted,
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
    StartTimeoutError,
    StorageError,
    TransientError,
)

KILLED = 128 + signal.SIGKILL
"""The exit code of a process that was killed; nobody raises it."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The meaning of an exit code; `retried` when the Job starts another pod by itself."""

    summary: str
    action: str
    retried: bool = False


_AGAIN = "the next pod resumes by itself"
_MANUAL = "then give the same command again; it resumes"

EXITS: dict[int, Exit] = {
    0: Exit("ended well", ""),
    FingptError.exit_code: Exit(
        "unexpected error, a bug", "run again with FINGPT_DEBUG=1 and report it", True
    ),
    ConfigError.exit_code: Exit(
        "configuration or command line is wrong", "correct what it names and submit again"
    ),
    DataError.exit_code: Exit(
        "data, template or base do not fit", "make prep again, or mirror the base again"
    ),
    MissingInputError.exit_code: Exit(
        "an input is missing", "make what it names (make prep, make mirror), " + _MANUAL
    ),
    StartTimeoutError.exit_code: Exit(
        "could not start in time", "see what the pod was waiting for: make status"
    ),
    DivergedError.exit_code: Exit(
        "training diverged or ran out of GPU memory",
        "lower train.lr, or train.batch_size and train.max_tokens; that is a new run",
    ),
    RunConflictError.exit_code: Exit(
        "the run's id belongs to another configuration", "use another store or namespace"
    ),
    StorageError.exit_code: Exit(
        "stored bytes are damaged, or a disk is full", "make verify RUN=… names the object", True
    ),
    TransientError.exit_code: Exit(
        "interrupted, or something outside failed for now", _AGAIN, True
    ),
    FencedError.exit_code: Exit(
        "fenced: another attempt owns the run", "nothing; the other attempt goes on", True
    ),
    PermissionDeniedError.exit_code: Exit(
        "credentials or permissions refuse", "correct the Secret or the rights, " + _MANUAL
    ),
    SetupError.exit_code: Exit("the environment is unfit", "make doctor says what, " + _MANUAL),
    KILLED: Exit("killed (SIGKILL)", _AGAIN, True),
    Interrupted.exit_code: Exit("stopped by SIGTERM, in good order", _AGAIN, True),
}

OUT_OF_MEMORY = Exit(
    "out of memory: the container's limit was reached (OOMKilled)",
    "raise resources.<stage>.memory, or lower train.batch_size, train.max_tokens or eval.batch_size",
    True,
)


def exit_of(code: int) -> Exit:
    """What an exit code means, known or not."""
    return EXITS.get(
        code,
        Exit(f"ended with the unknown exit code {code}", "make logs RUN=… shows its end", True),
    )
