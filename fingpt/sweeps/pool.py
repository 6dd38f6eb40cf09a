"""Who carries out the runs of a sweep: one interface for processes of this machine and for Jobs of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fingpt.runs.run import Run, Stage


@dataclass(frozen=True, slots=True)
class Ended:
    """How the work on a run ended: its exit code, and its last line."""

    code: int
    message: str = ""


class Workers(Protocol):
    """Starts runs and says when they have ended; what they have reached is in the bucket.

    Errors are those of fingpt/errors.py, for what is about the whole sweep; a run that fails is `Ended`.
    """

    def start(self, run: Run, stages: Sequence[Stage]) -> None:
        """Carry out `stages` of a run that is frozen in the bucket; does nothing where it is under way."""

    def ended(self, run: Run) -> Ended | None:
        """How the work that was started last ended; None while it is under way."""

    def wait(self, seconds: float) -> None:
        """Return when something may have changed, at most `seconds` later."""
