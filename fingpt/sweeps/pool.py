"""Who carries out the runs of a sweep: one interface, and processes of this machine behind it.

Jobs of a cluster behind the same interface are pods.py's. Neither holds anything that matters: what a run has reached
is in the bucket, and a new pool goes on from there.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fingpt import log
from fingpt.cluster.diagnosis.exits import exit_of
from fingpt.config import HUB_TOKEN_VARIABLES, child_environment
from fingpt.errors import FencedError, Interrupted, TransientError
from fingpt.runs.run import Run, Stage, run_key
from fingpt.runs.signals import signals_held
from fingpt.runs.stage import finished
from fingpt.runs.state import attempts
from fingpt.storage import ObjectStore
from fingpt.sweeps.adopt import adopt

MOST_TRIES = 3
"""A run that breaks off so often for no known reason has failed."""

GRACE_SECONDS = 130.0
"""From a stop to the kill of a stage's process: it saves a checkpoint in that time."""

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Ended:
    """How the work on a run ended: its exit code, and its last line."""

    code: int
    message: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is a try of the run's own: not when it was stopped, or another process owns the run."""
        outside = (Interrupted.exit_code, TransientError.exit_code, FencedError.exit_code)
        return self.code not in outside


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


@dataclass
class _Work:
    """The stages of one run that are still to be done, and the process of the first of them."""

    run: Run
    left: list[Stage]
    process: subprocess.Popen[bytes] | None = None
    ended: Ended | None = None


@dataclass
class LocalWorkers:
    """`Workers` by processes of this machine; `leader` is the run whose data set others take over.

    Each process has a session of its own, so a Ctrl-C reaches only whoever owns the pool, which calls `close`.
    """

    store: ObjectStore
    leader: Callable[[Run], Run]
    _work: dict[str, _Work] = field(default_factory=dict)

    def start(self, run: Run, stages: Sequence[Stage]) -> None:
        """Carry out `stages` of a run, one process after the other."""
        there = self._work.get(run.id)
        if there is not None and self._advance(there) is None:
            return
        left = [stage for stage in stages if finished(self.store, run, stage) is None]
        if Stage.PREP in left and adopt(self.store, run, self.leader(run)):
            left.remove(Stage.PREP)
        self._work[run.id] = work = _Work(run, left)
        self._next(work)

    def ended(self, run: Run) -> Ended | None:
        """How the work on the run ended; None while a process is at it."""
        return self._advance(self._work[run.id])

    def wait(self, seconds: float) -> None:
        """Return when a process has ended, at most `seconds` later."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(w.process and w.process.poll() is not None for w in self._work.values()):
                return
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Ask every process to save what it has, and wait for that."""
        alive = [w.process for w in self._work.values() if w.process and w.process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        end = time.monotonic() + GRACE_SECONDS
        for process in alive:
            try:
                process.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()

    def _advance(self, work: _Work) -> Ended | None:
        """Go on to the next stage where one has ended well."""
        if work.process is None or (code := work.process.poll()) is None:
            return work.ended
        stage, work.process = work.left[0], None
        if code == 0:
            work.left.pop(0)
            if finished(self.store, work.run, stage) is None:
                work.left.clear()  # paused at a limit of its own: what follows has to wait
            self._next(work)
        else:
            code = code if code > 0 else 128 - code
            work.ended = Ended(code, self._message(work.run, stage, code))
            log.event("stage ended", run=work.run.id, stage=str(stage), code=code)
        return work.ended

    def _next(self, work: _Work) -> None:
        if not work.left:
            work.ended = Ended(0)
            return
        uri = f"{self.store.uri}/{run_key(work.run.id)}"
        words = ["--run", uri, "--sha256", work.run.sha256]
        environment = {
            key: value
            for key, value in child_environment(FINGPT_STORE=self.store.uri).items()
            if key not in HUB_TOKEN_VARIABLES
        }
        with signals_held():
            work.process = subprocess.Popen(
                [sys.executable, "-m", f"jobs.{work.left[0]}", *words],
                env=environment,
                start_new_session=True,
            )

    def _message(self, run: Run, stage: Stage, code: int) -> str:
        last = next(reversed(attempts(self.store, run.id, stage)), None)
        if last is not None and last.code == code and last.message:
            return last.message
        meaning = exit_of(code).summary
        return f"Stage {stage} ended with exit code {code} ({meaning}); its last line says why."
