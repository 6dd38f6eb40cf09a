"""A check of doctor: one line with its grade, and the exit code of all of them together.

What is checked is the affair of local.py, cluster.py and trials.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from fingpt.errors import (
    ConfigError,
    DataError,
    DivergedError,
    FingptError,
    MissingInputError,
    PermissionDeniedError,
    RunConflictError,
    SetupError,
    StartTimeoutError,
    StorageError,
    TransientError,
)


class Grade(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of doctor; `code` is a failure's exit code, else 0; `action` is empty where `message` holds it."""

    name: str
    grade: Grade
    message: str
    action: str = ""
    code: int = 0


_WORST_FIRST = (
    SetupError,
    PermissionDeniedError,
    StorageError,
    RunConflictError,
    DivergedError,
    StartTimeoutError,
    MissingInputError,
    DataError,
    ConfigError,
    TransientError,
    FingptError,
)


def worst(checks: Iterable[Check]) -> int:
    """The exit code of the worst failure, 0 when there is none: environment before permission before missing inputs."""
    codes = {check.code for check in checks if check.grade is Grade.FAIL}
    ranked = (error.exit_code for error in _WORST_FIRST)
    return next((code for code in ranked if code in codes), max(codes, default=0))


def passed(name: str, message: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Grade.OK, message)


def failed(name: str, fault: FingptError) -> Check:
    """A check that raised; the error's own message says what to do."""
    return Check(name, Grade.FAIL, str(fault), code=fault.exit_code)


def checked(name: str, message: str, act: Callable[[], object]) -> Check:
    """`act` as a check: ok with `message`, or the error that it raised."""
    try:
        act()
    except FingptError as fault:
        return failed(name, fault)
    return passed(name, message)
