"""The records of one study: asks, reports and tells, each written once, in the order that study.py decides.

A record that is there counts, whatever would be made now: a newer sampler must not change what was asked.
"""

from __future__ import annotations

from typing import TypeVar

from fingpt import log
from fingpt.errors import RunConflictError, StorageError
from fingpt.runs.run import Run
from fingpt.storage import ObjectStore
from fingpt.sweeps.cost import seconds_spent
from fingpt.sweeps.definition import Settings
from fingpt.sweeps.halving import Outcome, Slot
from fingpt.sweeps.records import Ask, Report, Tell, ask_key, read, report_key, tell_key, write
from fingpt.sweeps.search import is_in_space
from fingpt.sweeps.sweep import Sweep, asked_run, trial_run
from fingpt.sweeps.trials import ask_of, begin

N = TypeVar("N", Ask, Report, Tell)


class Journal:
    """The records of the trials of one model; errors name the record that is torn, foreign, or another trial's."""

    def __init__(self, sweep: Sweep, model: str, store: ObjectStore) -> None:
        self._sweep, self._model, self._store = sweep, model, store

    def ask(self, number: int) -> Ask | None:
        """What was asked as trial `number`, None before it was; StorageError when it is none of this study's."""
        ask = self._read(Ask, ask_key(self._sweep.id, self._model, number), number)
        if ask is not None and not self._is_ours(ask):
            raise StorageError(
                f"{ask_key(self._sweep.id, self._model, number)} names settings or a run that are none of this "
                "sweep's; restore the object."
            )
        return ask

    def write_ask(self, number: int, settings: Settings) -> Ask:
        """Ask for a trial, and freeze its run."""
        run = begin(self._store, self._sweep, self._model, number, settings)
        shown = ", ".join(f"{key}={value}" for key, value in settings.items())
        log.event("trial asked", trial=number, run=run.id, settings=shown)
        return ask_of(number, settings, run)

    def run_of(self, settings: Settings) -> Run:
        """The run of a trial, under its short id."""
        return trial_run(self._sweep, self._model, settings)

    def outcome(self, slot: Slot, *, pauses: bool) -> Outcome | None:
        """How a slot ended by what is written, None while nothing is; `pauses` where it ends at a rung."""
        if pauses:
            key = report_key(self._sweep.id, self._model, slot.trial, slot.rung)
            report = self._read(Report, key, slot.trial)
            if report is not None and report.rung != slot.rung:
                raise StorageError(f"{key} is the report of another rung; restore the object.")
            if report is not None:
                return Outcome("paused", report.value)
        tell = self.tell(slot.trial)
        if tell is None or tell.state == "pruned":
            return None
        return Outcome(tell.state, tell.value)

    def write_report(self, report: Report) -> None:
        """Record what a trial had reached at a rung."""
        write(
            self._store, report_key(self._sweep.id, self._model, report.number, report.rung), report
        )
        log.event(
            "trial paused",
            trial=report.number,
            rung=report.rung,
            step=report.step,
            value=round(report.value, 4),
        )

    def tell(self, number: int) -> Tell | None:
        """How a trial ended, None while it has not."""
        return self._read(Tell, tell_key(self._sweep.id, self._model, number), number)

    def write_tell(self, run: Run, tell: Tell) -> Tell:
        """Record how a trial ended, and what its `run` cost; RunConflictError when another end of it is there."""
        there = self.tell(tell.number)
        if there is None:
            seconds, gpu_seconds = seconds_spent(self._store, run)
            whole = tell.model_copy(update={"seconds": seconds, "gpu_seconds": gpu_seconds})
            write(self._store, tell_key(self._sweep.id, self._model, tell.number), whole)
            log.event(
                "trial told",
                trial=tell.number,
                state=tell.state,
                value=None if tell.value is None else round(tell.value, 4),
                reason=tell.reason,
            )
            return whole
        if (there.state, there.value) != (tell.state, tell.value):
            raise RunConflictError(
                f"{tell_key(self._sweep.id, self._model, tell.number)} says {there.state} where this study finds "
                f"{tell.state}: another controller of the sweep is at work, or the object was changed; run one at a "
                "time."
            )
        return there

    def _is_ours(self, ask: Ask) -> bool:
        if not is_in_space(self._sweep.definition, ask.settings):
            return False
        run = asked_run(self._sweep, self._model, ask)
        return (run.id, run.sha256) == (ask.run_id, ask.run_sha256)

    def _read(self, kind: type[N], key: str, number: int) -> N | None:
        found = read(self._store, kind, key)
        if found is not None and found.number != number:
            raise StorageError(f"{key} is the record of another trial; restore the object.")
        return found
