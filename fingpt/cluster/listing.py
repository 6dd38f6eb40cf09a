"""Runs of a store and where they stand, newest first, from the bucket alone: records for programs, a table for people.

A store may hold ten thousand runs. Their order comes from the names of keys (fingpt/runs/recent.py); a run is read, by
one listing and a few small objects, when it is about to be shown or has to be read to know whether it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from rich.table import Table

from fingpt import log
from fingpt.cluster.diagnosis.snapshot import Explanation, State
from fingpt.cluster.status import StageStatus, Status, status
from fingpt.errors import ConfigError, DataError, FingptError, StorageError, nearest
from fingpt.runs.family import family
from fingpt.runs.manifest import PrepManifest
from fingpt.runs.recent import each_in_order, newest_first
from fingpt.runs.remedy import differences
from fingpt.runs.run import Run, Stage, attempt_key, run_key, trial_key
from fingpt.runs.seen import Seen
from fingpt.runs.stage import finished, load_run
from fingpt.runs.state import RunRecord, StageRecord, glance
from fingpt.storage import ObjectStore

SHOWN = 50
"""Rows of a table, unless all are asked for."""

_SETTINGS = 4
_FAILED = frozenset({State.PERMANENT, State.RETRYABLE, State.FENCED, State.SILENT})
_WORDS = {
    "queued": frozenset({State.ABSENT, State.WAITING, State.BLOCKED, State.STARTING}),
    "failed": _FAILED,
}


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run and when its newest attempt began (RFC 3339, empty when none did); `origin` as `2 of 4`, or empty.

    `settings`: what it sets otherwise than its configuration's file. `dataset` is empty before prep. `sweep`: the sweep
    whose trial it is (of several the first) and the trial's number, as `lora-grid-0a1b2c3d/12`, or empty.
    """

    started: str
    status: Status
    seed: int
    origin: str
    settings: str = ""
    dataset: str = ""
    sweep: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        at = self.status.current
        return {
            "run": self.status.run,
            "model": self.status.model,
            "seed": self.seed,
            "origin": self.origin,
            "set": self.settings,
            "dataset": self.dataset,
            "sweep": self.sweep,
            "started": self.started,
            "stage": at.stage,
            "state": str(at.why.state),
            "attempt": at.attempt,
        }


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which runs are listed: of `model`, in one of `states` (empty: any), of the family `of`.

    `runs`: these in this order, instead of all.
    """

    model: str = ""
    states: frozenset[State] = frozenset()
    of: str = ""
    runs: Iterable[Listed] | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A run that is to be listed: `trial` as `sweep/number`; `run` is a trial's that nobody has asked for yet."""

    id: str
    trial: str = ""
    run: Run | None = None


def states_of(word: str) -> frozenset[State]:
    """The states that a person means by `word`; none for no word. ConfigError naming the nearest for an unknown one."""
    if not word:
        return frozenset()
    if word in _WORDS:
        return _WORDS[word]
    if word not in [*State]:
        raise ConfigError(f"STATE={word} is no state; {nearest(word, [*map(str, State), *_WORDS])}")
    return frozenset({State(word)})


def list_runs(
    store: ObjectStore,
    now: datetime,
    chosen: Chosen = Chosen(),
) -> Iterator[ListedRun]:
    """The runs, those that were frozen last first, as they are asked for; a damaged one is left out with a warning."""
    wanted = chosen.runs
    if wanted is None:
        wanted = map(Listed, newest_first(store, chosen.model))
    shared: dict[str, bytes] = {}
    for found in each_in_order(partial(_read, store, now, chosen, shared), wanted):
        if isinstance(found, ListedRun):
            yield found
        elif found is not None:
            log.warning(str(found[1]), run=found[0])


def shown(runs: Iterator[ListedRun], most: int | None) -> tuple[list[ListedRun], bool]:
    """The first `most` of them (all for None), and whether there are more."""
    first = list(islice(runs, most))
    return first, most is not None and next(runs, None) is not None


def _read(
    store: ObjectStore,
    now: datetime,
    chosen: Chosen,
    shared: dict[str, bytes],
    wanted: Listed,
) -> ListedRun | tuple[str, FingptError] | None:
    """A run as it is listed, the fault that keeps it from being read, or None for one that is not asked for."""
    if wanted.run is not None:
        return _planned(store, chosen, wanted.run, wanted.trial)
    run_id = wanted.id
    seen = Seen(store, run_id, shared)
    trial = seen.exists(trial_key(run_id))
    if not seen.exists(run_key(run_id)) or not _may_be(seen, chosen.states, trial=trial):
        return None
    try:
        if chosen.of and family(load_run(seen, run_id)) != chosen.of:
            return None
        record = glance(seen, run_id)
        sweep = wanted.trial or seen.trial()
        prep = finished(seen, record.run, Stage.PREP) if not record.stages[0].fault else None
    except (DataError, StorageError) as fault:
        return run_id, fault
    found = status(record.of_trial() if sweep or trial else record, store.uri, now)
    dataset = prep.dataset if isinstance(prep, PrepManifest) else ""
    return _row(chosen, record, found, (dataset, sweep))


def _planned(store: ObjectStore, chosen: Chosen, run: Run, sweep: str) -> ListedRun | None:
    """A trial that nobody has asked for yet."""
    why = Explanation(State.WAITING, "planned; the search has not come to it yet")
    first = run.stages[0]
    found = Status(run.id, run.config.model, store.uri, "", (StageStatus(str(first), why),))
    return _row(chosen, RunRecord(run, (StageRecord(first),)), found, ("", sweep))


def _row(chosen: Chosen, record: RunRecord, found: Status, of: tuple[str, str]) -> ListedRun | None:
    """The row of a run with its data set and sweep, None for one that is not asked for."""
    config, (dataset, sweep) = record.run.config, of
    if chosen.states and found.current.why.state not in chosen.states:
        return None
    if chosen.model and config.model != chosen.model:
        return None
    return ListedRun(
        started=record.started,
        status=found,
        seed=config.seed,
        origin=f"{config.prep.origin} of {config.prep.origins}" if config.prep.origin else "",
        settings=differences(config),
        dataset=dataset,
        sweep=sweep,
    )


def _may_be(seen: Seen, states: frozenset[State], *, trial: bool) -> bool:
    """Whether the run can be in one of `states`, by the presence of keys alone, so that most need not be read."""
    if not states or trial:
        return True
    stage = seen.current()
    if stage is None:
        return State.COMPLETE in states
    number = seen.last_claim(stage)
    if not number:
        return State.ABSENT in states
    if seen.exists(attempt_key(seen.run_id, stage, number)):
        return bool(states - {State.COMPLETE, State.ABSENT, State.RUNNING})
    return bool(states & {State.RUNNING, State.RETRYABLE})


def render(runs: Iterable[ListedRun]) -> Table:
    """The runs as a table; columns that are empty in all of them are left out."""
    listed = list(runs)
    columns: Sequence[tuple[str, list[str]]] = [
        ("run", [each.status.run for each in listed]),
        ("model", [each.status.model for each in listed]),
        ("seed", [str(each.seed) for each in listed]),
        ("origin", [each.origin for each in listed]),
        ("set", [_few(each.settings) for each in listed]),
        ("data set", [each.dataset for each in listed]),
        ("sweep", [each.sweep for each in listed]),
        ("stage", [each.status.current.stage for each in listed]),
        ("state", [str(each.status.current.why.state) for each in listed]),
        ("attempt", [str(each.status.current.attempt or "") for each in listed]),
        ("done", [_done(each) for each in listed]),
        ("last began", [each.started for each in listed]),
    ]
    kept = [(name, cells) for name, cells in columns if any(cells) or not listed]
    table = Table(*(name for name, _ in kept))
    for row in zip(*(cells for _, cells in kept), strict=True):
        table.add_row(*map(log.cell, row))
    return table


def _few(settings: str) -> str:
    """The first settings; a row is to stay one line or two, and JSON has all of them."""
    words = settings.split(" ")
    return " ".join(words[:_SETTINGS]) + (
        f" … {len(words) - _SETTINGS} more" if words[_SETTINGS:] else ""
    )


def _done(each: ListedRun) -> str:
    at = each.status.current.progress
    return "" if at.done is None else f"{at.done} of {at.total or '?'}"
