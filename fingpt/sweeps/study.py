"""One study, the trials of one model by Bayesian search: what to start next, and what came of it.

Everything follows from records in a fixed order of slots (halving.py). What slot j does rests on how the slots up to
j − parallel ended and on nothing else, whatever has ended meanwhile; so the asks are those of an undisturbed study
after any interruption, and a slow trial holds back those that may learn from it. Nothing here outlives the process but
what the records give back: a study begins by going through them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fingpt import log
from fingpt.cluster.diagnosis.exits import exit_of
from fingpt.errors import (
    DivergedError,
    FencedError,
    Interrupted,
    StageFailedError,
    StorageError,
)
from fingpt.runs.manifest import TrainManifest
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore
from fingpt.sweeps.epoch import study_epoch
from fingpt.sweeps.finals import refuse_obstacle
from fingpt.sweeps.halving import (
    Known,
    Outcome,
    Slot,
    last_resort,
    promotable,
    require_prunable,
    rungs,
)
from fingpt.sweeps.journal import Journal
from fingpt.sweeps.pool import Ended, Workers
from fingpt.sweeps.records import Ask, Report, Tell
from fingpt.sweeps.search import Past, propose
from fingpt.sweeps.sweep import Sweep, asked_run
from fingpt.sweeps.trials import FAILURES, OBSTACLES, freeze_trial
from fingpt.train.limits import reached, set_limit

POLL_SECONDS = 5.0

REPEATS = 6
"""How often a slot's job is repeated that ends for no reason of its trial's own; the Jobs' own backoffLimit."""

_BY_OTHERS = frozenset({FencedError.exit_code, Interrupted.exit_code})
"""Ends that somebody else brings about, as often as they like."""


def run_study(sweep: Sweep, model: str, store: ObjectStore, workers: Workers) -> tuple[Tell, ...]:
    """Carry out the study of `model`, or go on with it, and return the tell of every trial in number order.

    Raises DivergedError when every trial failed, StageFailedError for what keeps all of them from working, StorageError
    naming a record that is torn or foreign, RunConflictError for one that somebody else wrote meanwhile, ConfigError
    when trials cannot be pruned.
    """
    study = _Study(sweep, model, store, workers)
    while study.advance():
        pass
    return study.told()


class _Study:
    """The slots of one study so far, and how each ended; a slot of None is a place with nothing to do."""

    def __init__(self, sweep: Sweep, model: str, store: ObjectStore, workers: Workers) -> None:
        self._store, self._workers = store, workers
        self._sweep, self._base, self._definition = sweep, sweep.bases[model], sweep.definition
        self._keys = [key for each in self._definition.space for key in each.keys]
        if self._definition.pruning:
            require_prunable(self._base, self._keys)
        self._journal = Journal(sweep, model, store)
        self._asks: list[Ask] = []
        self._runs: list[Run] = []
        self._rungs: list[tuple[int, ...]] = []
        self._slots: list[Slot | None] = []
        self._ends: dict[int, Outcome] = {}
        self._faults: Counter[int] = Counter()
        self._exhausted = False

    def advance(self) -> bool:
        """Fill the next place where what it rests on is known, else see what has ended; False when all is over."""
        place = len(self._slots)
        window = range(max(place - self._definition.parallel + 1, 0))
        if any(self._slots[n] and n not in self._ends for n in window):
            self._collect()
            return True
        known = {n: self._ends[n] for n in window if n in self._ends}
        slot = self._next(known)
        if slot is None and len(known) == sum(each is not None for each in self._slots):
            slot = last_resort(self._slots, known)
            if slot is None:
                return False
        self._slots.append(slot)
        if slot is not None:
            self._begin(place, slot)
        return True

    def told(self) -> tuple[Tell, ...]:
        """Tell those that still wait at a rung as pruned, and return all tells; DivergedError when all have failed."""
        tells = []
        for ask, run in zip(self._asks, self._runs, strict=True):
            tell = self._journal.tell(ask.number)
            if tell is None:
                # Whoever wants the run after all, such as the finals, may train it on from its checkpoint.
                set_limit(self._store, run.id, None)
                last = max(s.rung for s in self._slots if s and s.trial == ask.number)
                pruned = Tell(number=ask.number, state="pruned", rung=last)
                tell = self._journal.write_tell(run, pruned)
            tells.append(tell)
        if all(tell.state == "failed" for tell in tells):
            reason, count = Counter(tell.reason for tell in tells).most_common(1)[0]
            raise DivergedError(
                f"All {len(tells)} trials of {self._base.model} in sweep {self._sweep.id} failed, so no setting can be "
                f"chosen; {count} of them with: {reason.rstrip('.')}. Change the space or the configuration, which "
                "makes another sweep."
            )
        return tuple(tells)

    def _next(self, known: Known) -> Slot | None:
        """What the next slot does by what is known there; None when it can only wait."""
        pruning = self._definition.pruning
        promoted = promotable(self._slots, known, pruning.reduction) if pruning else None
        if promoted is not None:
            return promoted
        number = len(self._asks)
        if self._exhausted or number >= self._definition.count:
            return None
        ask = self._journal.ask(number)
        if ask is None:
            settings = propose(self._definition, self._past(known))
            if settings is None:
                log.event("every point of the space was asked", trials=number)
                self._exhausted = True
                return None
            ask = self._journal.write_ask(number, settings)
            run = asked_run(self._sweep, self._base.model, ask)
        else:
            run = asked_run(self._sweep, self._base.model, ask)
            freeze_trial(self._store, self._sweep, number, run)
        self._asks.append(ask)
        self._runs.append(run)
        return Slot(number)

    def _past(self, known: Known) -> list[Past]:
        """The trials so far as the sampler may see them: one that waits at a rung is a pruned one to it."""
        values: list[dict[int, float]] = [{} for _ in self._asks]
        last: dict[int, Outcome] = {}
        for place, end in sorted(known.items()):
            slot = self._slots[place]
            if slot is None:
                continue
            if end.state == "paused" and end.value is not None:
                values[slot.trial][slot.rung] = end.value
            last[slot.trial] = end
        past = []
        for ask, rungs_of in zip(self._asks, values, strict=True):
            end_of = last.get(ask.number)
            if end_of is None:
                past.append(Past(ask.settings))
            elif end_of.state == "paused":
                past.append(Past(ask.settings, "pruned", rungs=rungs_of))
            else:
                past.append(Past(ask.settings, end_of.state, end_of.value, rungs_of))
        return past

    def _begin(self, place: int, slot: Slot) -> None:
        """Start a slot's job, unless it is written already how it ended."""
        run = self._runs[slot.trial]
        if slot.rung == 0:
            if place == 0:
                self._prepare(run)
            self._rungs.append(self._count_rungs(run))
        end = self._journal.outcome(slot, pauses=self._pauses(slot)) or self._found(slot)
        if end is not None:
            self._ends[place] = end
            return
        if slot.rung:
            log.event("trial goes on", trial=slot.trial, rung=slot.rung, run=run.id)
        self._workers.start(run, self._stages(slot))

    def _prepare(self, run: Run) -> None:
        """See that the data set of all trials is there before the first of them starts."""
        if any(key.startswith("prep.") for key in self._keys):
            return
        ended = Ended(0)
        for _ in range(REPEATS + 1):
            if finished(self._store, run, Stage.PREP) is not None:
                return
            self._workers.start(run, (Stage.PREP,))
            ended = self._wait_for(run)
            if ended.code in FAILURES | OBSTACLES:
                break
        if finished(self._store, run, Stage.PREP) is None:
            code = ended.code or StorageError.exit_code
            raise StageFailedError.of(Stage.PREP, code, _said(ended))

    def _wait_for(self, run: Run) -> Ended:
        while True:
            ended = self._workers.ended(run)
            if ended is not None:
                return ended
            self._workers.wait(POLL_SECONDS)

    def _collect(self) -> None:
        """Record how jobs ended, start again those that say nothing about their trial, or wait for news."""
        changed = False
        for place, slot in enumerate(self._slots):
            if slot is None or place in self._ends:
                continue
            run = self._runs[slot.trial]
            ended = self._workers.ended(run)
            if ended is None:
                continue
            changed = True
            end = self._found(slot) or self._verdict(place, slot, ended)
            if end is None:
                self._workers.start(run, self._stages(slot))
            else:
                self._ends[place] = end
        if not changed:
            self._workers.wait(POLL_SECONDS)

    def _found(self, slot: Slot) -> Outcome | None:
        """How a slot ended by what its run has left, which is recorded; else its limit is set."""
        run = self._runs[slot.trial]
        value = self._value(run)
        if value is not None:
            tell = Tell(number=slot.trial, state="complete", value=value)
            self._journal.write_tell(run, tell)
            return Outcome("complete", value)
        tokens = self._rungs[slot.trial][slot.rung] if self._pauses(slot) else None
        limit = set_limit(self._store, run.id, tokens)
        if limit is None or limit.tokens is None:
            return None
        there = reached(self._store, run.id, limit.n)
        if there is None:
            return None
        report = Report(
            number=slot.trial,
            rung=slot.rung,
            step=there.step,
            tokens=there.tokens,
            value=there.eval_loss,
        )
        self._journal.write_report(report)
        return Outcome("paused", report.value)

    def _value(self, run: Run) -> float | None:
        """The objective of a run that is complete, in nats; None of one that is not."""
        train = finished(self._store, run, Stage.TRAIN)
        if not isinstance(train, TrainManifest):
            return None
        if self._definition.objective == "labels":
            if finished(self._store, run, Stage.EVAL) is None:
                return None
            from fingpt.sweeps.labels import labels_value

            return labels_value(self._store, run)
        if train.eval_loss is None or train.eval_split != "validation":
            raise StorageError(
                f"The training of {run.id} is complete without a loss on validation rows, which this sweep compares: "
                "its data set has none; set prep.validation_weeks above 0."
            )
        return train.eval_loss

    def _verdict(self, place: int, slot: Slot, ended: Ended) -> Outcome | None:
        """The end of a trial whose job ended without a result; None when it is to be repeated."""
        code, said, verdict = ended.code, _said(ended), ended.code in FAILURES
        refuse_obstacle(self._runs[slot.trial], ended)
        if not verdict and code not in _BY_OTHERS:
            self._faults[place] += 1
        if not verdict and self._faults[place] <= REPEATS:
            log.event("trial is repeated", trial=slot.trial, code=code, reason=said)
            return None
        tell = Tell(
            number=slot.trial,
            state="failed",
            reason=said if verdict else f"ended {REPEATS + 1} times without a result: {said}",
            rung=slot.rung - 1 if slot.rung else None,
        )
        self._journal.write_tell(self._runs[slot.trial], tell)
        return Outcome("failed")

    def _pauses(self, slot: Slot) -> bool:
        return slot.rung < len(self._rungs[slot.trial])

    def _stages(self, slot: Slot) -> Sequence[Stage]:
        """What a slot's job carries out; a training that will pause has nothing to evaluate."""
        run, scored = self._runs[slot.trial], self._definition.objective == "labels"
        if scored and self._pauses(slot):
            scored = finished(self._store, run, Stage.TRAIN) is not None
        return (Stage.PREP, Stage.TRAIN, Stage.EVAL) if scored else (Stage.PREP, Stage.TRAIN)

    def _count_rungs(self, run: Run) -> tuple[int, ...]:
        """Tokens at which a trial pauses."""
        pruning = self._definition.pruning
        if pruning is None:
            return ()
        epoch = study_epoch(self._store, self._sweep.id, self._base, self._runs[0])
        found = rungs(pruning, epoch.tokens, epoch.of(run.config))
        if (
            run.id == self._runs[0].id
            and found
            and found[0] * epoch.steps(run.config) <= epoch.tokens
        ):
            log.warning(
                "the first rung lies in the first step, where trials can hardly be told apart; use more rows, "
                "or a larger pruning.first",
                rows=epoch.rows,
            )
        return found


def _said(ended: Ended) -> str:
    return ended.message.strip() or exit_of(ended.code).summary
