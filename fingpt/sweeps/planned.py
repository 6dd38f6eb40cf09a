"""Carry out a grid or random search with workers: a window of trials at a time, each told when it is over.

What a trial has reached is read from the bucket, so a search that was killed anywhere goes on where it was.
"""

from __future__ import annotations

from fingpt.runs.run import Run
from fingpt.storage import ObjectStore
from fingpt.sweeps.finals import refuse_obstacle
from fingpt.sweeps.plan import plan
from fingpt.sweeps.pool import MOST_TRIES, Ended, Workers
from fingpt.sweeps.records import Tell
from fingpt.sweeps.sweep import Sweep
from fingpt.sweeps.trials import (
    announce,
    begin,
    read_tell,
    read_trial,
    stages_of,
    tell,
)

_PAUSE_SECONDS = 5.0


def run_plan(sweep: Sweep, model: str, store: ObjectStore, workers: Workers) -> tuple[Tell, ...]:
    """Carry out every trial of the plan, `parallel` at a time; returns their tells in number order.

    StageFailedError when a trial ends for a reason that would meet all of them, and what the store raises.
    """
    settings = plan(sweep.definition)
    tells = {n: there for n in range(len(settings)) if (there := read_tell(store, sweep, model, n))}
    waiting = [n for n in range(len(settings)) if n not in tells]
    under_way: dict[int, tuple[Run, int]] = {}
    while waiting or under_way:
        while waiting and len(under_way) < sweep.definition.parallel:
            n = waiting.pop(0)
            run = begin(store, sweep, model, n, settings[n])
            told = read_trial(store, sweep, run).told(n)
            if told is None:
                workers.start(run, stages_of(sweep))
                under_way[n] = (run, 1)
            else:
                tells[n] = _tell(store, sweep, model, told)
        for n, (run, tries) in list(under_way.items()):
            ended = workers.ended(run)
            if ended is None:
                continue
            del under_way[n]
            told = read_trial(store, sweep, run).told(n) or _given_up(n, ended, tries)
            if told is not None:
                tells[n] = _tell(store, sweep, model, told)
                continue
            refuse_obstacle(run, ended)
            workers.start(run, stages_of(sweep))
            under_way[n] = (run, tries + ended.counts)
        if under_way:
            workers.wait(_PAUSE_SECONDS)
    return tuple(tells[n] for n in sorted(tells))


def _given_up(n: int, ended: Ended, tries: int) -> Tell | None:
    """The tell of a trial that broke off too often for no known reason."""
    if tries < MOST_TRIES or not ended.counts:
        return None
    return Tell(number=n, state="failed", reason=f"broke off {tries} times: {ended.message}")


def _tell(store: ObjectStore, sweep: Sweep, model: str, told: Tell) -> Tell:
    announce(model, told)
    return tell(store, sweep, model, told)
