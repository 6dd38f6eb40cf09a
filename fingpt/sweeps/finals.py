"""After the search: the choice, and the runs that compare the chosen setting with the default one.

Both are trained anew, with seeds that no trial had: the winner of many trials is partly lucky, and its own value says
so too late. Their evals are the first to open the test split, after the choice is in the bucket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from fingpt import log
from fingpt.errors import DivergedError, StageFailedError
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Run
from fingpt.runs.stage import finished
from fingpt.runs.state import attempts
from fingpt.storage import ObjectStore
from fingpt.sweeps.definition import Settings
from fingpt.sweeps.pool import MOST_TRIES, Ended, Workers
from fingpt.sweeps.records import Ask, Choice, Finals, Tell, ask_key, choice_key, read, write
from fingpt.sweeps.sweep import Sweep, with_settings
from fingpt.sweeps.trials import FAILURES, OBSTACLES

_PAUSE_SECONDS = 5.0


def choose(store: ObjectStore, sweep: Sweep, model: str, tells: Sequence[Tell]) -> Choice:
    """Record the trial with the lowest value, of equals that with the lowest number.

    DivergedError when no trial is complete, with the reason that most of them give.
    """
    complete = [
        (each.value, each.number)
        for each in tells
        if each.value is not None and each.state == "complete"
    ]
    if not complete:
        reasons = Counter(each.reason for each in tells if each.state == "failed")
        reason = f": {reasons.most_common(1)[0][0]}" if reasons else "."
        raise DivergedError(
            f"None of the {len(tells)} trials of {model} in sweep {sweep.id} is complete, so nothing can be chosen; "
            f"most of them say{reason} Give another space, or another configuration."
        )
    value, number = min(complete)
    ask = read(store, Ask, ask_key(sweep.id, model, number))
    choice = Choice(trial=number, settings=ask.settings if ask else {}, value=value)
    if write(store, choice_key(sweep.id, model), choice):
        log.event("chosen", model=model, trial=number, value=round(value, 4), **choice.settings)
    return choice


def final_runs(sweep: Sweep, model: str, settings: Settings) -> tuple[Run, ...]:
    """Runs of a setting with `final_seeds` seeds, from the one after the configuration's upwards; pure.

    Under their short ids, as `leader` and `all_finals` have them: `freeze.located` says which they have in a store.
    """
    base = sweep.bases[model]
    seeds = range(base.seed + 1, base.seed + 1 + sweep.definition.final_seeds)
    return tuple(
        Run.of(with_settings(base, {**settings, "seed": seed}), sweep.images) for seed in seeds
    )


def leader(sweep: Sweep, model: str) -> Run:
    """The run that makes the data set of all runs of a model: the first final one of the default setting."""
    return final_runs(sweep, model, {})[0]


def all_finals(sweep: Sweep, choices: dict[str, Choice]) -> Iterator[tuple[str, Run]]:
    """Model and run of every final, each once, the default setting's first."""
    for model, choice in choices.items():
        both = (*final_runs(sweep, model, {}), *final_runs(sweep, model, choice.settings))
        for run in {each.sha256: each for each in both}.values():
            yield model, run


def train_finals(
    store: ObjectStore, sweep: Sweep, choices: dict[str, Choice], workers: Workers
) -> dict[str, Finals]:
    """Carry out all stages of every final; one whose setting fails with another seed is recorded with its reason.

    StageFailedError when something outside keeps them from being carried out.
    """
    waiting = [run for _, run in all_finals(sweep, choices)]
    under_way: dict[str, tuple[Run, int]] = {}
    failed: dict[str, str] = {}
    ids: dict[str, str] = {}
    while waiting or under_way:
        while waiting and len(under_way) < sweep.definition.parallel:
            run = create_run(store, waiting.pop(0))
            ids[run.sha256] = run.id
            reason = _failure(store, run)
            if reason:
                failed[run.id] = reason
            elif not _is_done(store, run):
                workers.start(run, run.stages)
                under_way[run.id] = (run, 1)
        for run, tries in list(under_way.values()):
            ended = workers.ended(run)
            if ended is None:
                continue
            del under_way[run.id]
            if _is_done(store, run):
                log.event("final run complete", run=run.id)
            elif ended.code in FAILURES or tries >= MOST_TRIES:
                failed[run.id] = ended.message
                log.warning("final run failed", run=run.id, reason=ended.message)
            else:
                refuse_obstacle(run, ended)
                workers.start(run, run.stages)
                under_way[run.id] = (run, tries + ended.counts)
        if under_way:
            workers.wait(_PAUSE_SECONDS)
    return {
        model: _finals((sweep, model), choice, ids, failed) for model, choice in choices.items()
    }


def refuse_obstacle(run: Run, ended: Ended) -> None:
    """StageFailedError, with its code, when a run ended for a reason that would meet every other one too."""
    if ended.code in OBSTACLES:
        raise StageFailedError(
            f"Run {run.id} ended with exit code {ended.code}, as every other one would: {ended.message} Then give the "
            "same command again; it goes on.",
            ended.code,
        )


def _finals(
    of: tuple[Sweep, str], choice: Choice, ids: dict[str, str], failed: dict[str, str]
) -> Finals:
    """The finals of a model by their ids, which `ids` has by their whole hashes."""
    chosen = tuple(ids[run.sha256] for run in final_runs(*of, choice.settings))
    default = tuple(ids[run.sha256] for run in final_runs(*of, {}))
    own = {name: failed[name] for name in dict.fromkeys((*chosen, *default)) if name in failed}
    return Finals(chosen=chosen, default=default, failed=own)


def _is_done(store: ObjectStore, run: Run) -> bool:
    return all(finished(store, run, stage) is not None for stage in run.stages)


def _failure(store: ObjectStore, run: Run) -> str:
    """Why a final of an earlier command has failed for good; empty when it has not."""
    for stage in run.stages:
        tried = attempts(store, run.id, stage)
        if tried and tried[-1].code in FAILURES and finished(store, run, stage) is None:
            return tried[-1].message
    return ""
