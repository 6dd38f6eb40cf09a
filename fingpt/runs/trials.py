"""What a sweep has left in the bucket: its studies, which runs are its trials, how they ended; reads only.

A sweep may have ten thousand trials, each with a record of its own, so nothing here reads all of them unless asked:
names of keys tell how many there are. Records are read leniently, as everything that is only shown.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from fingpt.errors import ConfigError, FingptError, MissingInputError, nearest
from fingpt.reading import RECORD_BYTES, read_record
from fingpt.runs.recent import each_in_order
from fingpt.runs.run import last_number
from fingpt.storage import ObjectStore
from fingpt.storage.keys import is_key

SWEEPS = "sweeps/"
KNOWN = 200
"""Of each study so many trials are looked up to say which sweep a listed run belongs to."""

R = TypeVar("R", bound="_Shown")

_NUMBERED = re.compile(r"sweeps/[^/]+/([^/]+)/(asks|tells)/([0-9]{6,})\.json")


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Ask(_Shown):
    """A trial that was asked for: which run it is."""

    run_id: str = ""


class Tell(_Shown):
    """How a trial ended: complete, pruned or failed; `value` is the objective, lower is better."""

    state: str = ""
    value: float | None = None
    reason: str = ""
    seconds: float | None = None


class Definition(_Shown):
    """Of a sweep: how many trials per model, how many at a time, what they search."""

    method: str = ""
    objective: str = ""
    trials: int | None = None
    parallel: int = 1
    space: tuple[dict[str, Any], ...] = ()

    @property
    def count(self) -> int:
        """Trials per model; of a grid without their number all its points."""
        if self.trials is not None:
            return self.trials
        sizes = [
            (each.get("range") or {}).get("points") or len(each.get("choices") or ())
            for each in self.space
        ]
        return math.prod(sizes) if sizes else 0


class SweepRecord(_Shown):
    """A frozen sweep, as far as it is shown; `bases` has a key per model."""

    id: str = ""
    definition: Definition = Field(default_factory=Definition)
    bases: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """The trials of one model by number: those asked for, and those told."""

    model: str
    asks: tuple[int, ...] = ()
    tells: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepView:
    """A sweep and what the names of its keys say; `complete` once the last record is there."""

    record: SweepRecord
    studies: tuple[Study, ...] = ()
    complete: bool = False
    chosen: frozenset[str] = frozenset()


def sweep_ids(store: ObjectStore) -> list[str]:
    """Every sweep of the store."""
    return [name for name in store.folders(SWEEPS) if is_key(_sweep_key(name))]


def require_sweep(store: ObjectStore, sweep: str) -> None:
    """ConfigError when no sweep is named, MissingInputError with the nearest name when the store has none like it."""
    if not sweep:
        raise ConfigError("No sweep is named; SWEEP=id names one, and make sweep prints its id.")
    if is_key(_sweep_key(sweep)) and store.exists(_sweep_key(sweep)):
        return
    known = sweep_ids(store)
    hint = nearest(sweep, known) if known else "it has none; start one: make sweep SPACE=lora-grid."
    raise MissingInputError(f"There is no sweep '{sweep}' in {store.uri}; {hint}")


def read_sweep(store: ObjectStore, sweep: str) -> SweepView:
    """A sweep by one listing and its own record; errors as `require_sweep`."""
    require_sweep(store, sweep)
    key = _sweep_key(sweep)
    record = read_record(SweepRecord, store.read(key, RECORD_BYTES), key, "restore the object")
    found: dict[str, dict[str, list[int]]] = {
        model: {"asks": [], "tells": []} for model in record.bases
    }
    chosen, complete = set(), False
    for name in store.keys(f"{SWEEPS}{sweep}/"):
        if match := _NUMBERED.fullmatch(name):
            model, kind, number = match.groups()
            found.setdefault(model, {"asks": [], "tells": []})[kind].append(int(number))
        elif name.endswith("/choice.json"):
            chosen.add(name.split("/")[2])
        complete = complete or name == f"{SWEEPS}{sweep}/COMPLETE.json"
    studies = tuple(
        Study(model, tuple(each["asks"]), tuple(each["tells"])) for model, each in found.items()
    )
    return SweepView(record, studies, complete, frozenset(chosen))


def trial_runs(store: ObjectStore, view: SweepView) -> Iterator[tuple[str, str]]:
    """(run, `<number>` of its trial) of every trial that was asked for, the newest first."""
    sweep = view.record.id
    asked = sorted(((n, study.model) for study in view.studies for n in study.asks), reverse=True)

    def one(ask: tuple[int, str]) -> tuple[str, str]:
        number, model = ask
        key = f"{SWEEPS}{sweep}/{model}/asks/{number:06d}.json"
        return _read(store, Ask, key).run_id, str(number)

    return (found for found in each_in_order(one, asked) if found[0])


def known_trials(store: ObjectStore, most: int | None = KNOWN) -> dict[str, str]:
    """Run → `<sweep>/<number>` of the newest `most` trials of every study (all for None)."""
    studies = [
        (sweep, model) for sweep in sweep_ids(store) for model in store.folders(f"{SWEEPS}{sweep}/")
    ]

    def of(study: tuple[str, str]) -> list[tuple[str, str, int]]:
        prefix = f"{SWEEPS}{study[0]}/{study[1]}/asks/"
        count = last_number(store.exists, lambda n: f"{prefix}{n - 1:06d}.json")
        first = 0 if most is None else max(count - most, 0)
        return [(f"{prefix}{n:06d}.json", study[0], n) for n in range(first, count)]

    asks = [ask for found in each_in_order(of, studies) for ask in found]
    runs = each_in_order(lambda ask: _read(store, Ask, ask[0]).run_id, asks)
    return {run: f"{sweep}/{n}" for run, (_, sweep, n) in zip(runs, asks, strict=True) if run}


def open_trials(store: ObjectStore, view: SweepView) -> list[str]:
    """Runs of the newest trials that were asked for and not told, at most twice as many as work at a time."""
    asks = [
        f"{SWEEPS}{view.record.id}/{study.model}/asks/{n:06d}.json"
        for study in view.studies
        for n in sorted({*study.asks} - {*study.tells}, reverse=True)[
            : 2 * view.record.definition.parallel
        ]
    ]
    return list(filter(None, each_in_order(lambda key: _read(store, Ask, key).run_id, asks)))


def read_tells(store: ObjectStore, sweep: str, study: Study, seconds: float) -> dict[int, Tell]:
    """The tells of a study, the newest first, as many as `seconds` allow."""
    end = time.monotonic() + seconds
    found: dict[int, Tell] = {}
    numbers = sorted(study.tells, reverse=True)
    keys = (f"{SWEEPS}{sweep}/{study.model}/tells/{n:06d}.json" for n in numbers)
    tells = each_in_order(lambda key: _read(store, Tell, key), keys)
    for number, tell in zip(numbers, tells, strict=True):
        found[number] = tell
        if time.monotonic() > end:
            break
    return found


def _read(store: ObjectStore, kind: type[R], key: str) -> R:
    try:
        return read_record(kind, store.read(key, RECORD_BYTES), key, "it is left out")
    except FingptError:
        return kind()


def _sweep_key(sweep: str) -> str:
    return f"{SWEEPS}{sweep}/sweep.json"
