"""What a sweep has left in the bucket: its studies, which runs are its trials, how they ended; reads only.

A sweep may have ten thousand trials, each with a record of its own, so nothing here reads all of them unless asked:
names of keys tell how many there are. A record that is torn hides no other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from fingpt.errors import MissingInputError, StorageError
from fingpt.reading import RECORD_BYTES
from fingpt.record import Frozen
from fingpt.runs.manifest import decode
from fingpt.runs.recent import each_in_order
from fingpt.storage import ObjectStore
from fingpt.sweeps.records import (
    Ask,
    SweepManifest,
    Tell,
    ask_key,
    complete_key,
    sweep_key,
    sweep_prefix,
    tell_key,
)
from fingpt.sweeps.sweep import Sweep, completed, require_sweep

R = TypeVar("R", bound=Frozen)

_NUMBERED = re.compile(r"sweeps/[^/]+/([^/]+)/(asks|tells)/([0-9]{6,})\.json")


@dataclass(frozen=True, slots=True)
class Study:
    """The trials of one model by number: those asked for, and those told."""

    model: str
    asks: tuple[int, ...] = ()
    tells: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepView:
    """A sweep and what the names of its keys say; `manifest` is its last record, which alone says that it is over."""

    sweep: Sweep
    studies: tuple[Study, ...] = ()
    manifest: SweepManifest | None = None
    chosen: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether the sweep is over."""
        return self.manifest is not None


def read_sweep(store: ObjectStore, sweep: str) -> SweepView:
    """A sweep by one listing and its own records; errors as `require_sweep`.

    StorageError for a sweep.json that is torn, or a COMPLETE.json that is torn or another sweep's.
    """
    require_sweep(store, sweep)
    key = sweep_key(sweep)
    frozen = decode(Sweep, store.read(key, RECORD_BYTES), key)
    found: dict[str, dict[str, list[int]]] = {
        model: {"asks": [], "tells": []} for model in frozen.bases
    }
    chosen, manifest = set(), None
    for name in store.keys(f"{sweep_prefix(sweep)}/"):
        if match := _NUMBERED.fullmatch(name):
            model, kind, number = match.groups()
            if model in found:
                found[model][kind].append(int(number))
        elif name.endswith("/choice.json"):
            chosen.add(name.split("/")[2])
        elif name == complete_key(sweep):
            manifest = completed(store, frozen)
    for model, told in manifest.tells.items() if manifest else ():
        found[model] = {kind: [each.number for each in told] for kind in ("asks", "tells")}
    studies = tuple(
        Study(model, tuple(each["asks"]), tuple(each["tells"])) for model, each in found.items()
    )
    return SweepView(frozen, studies, manifest, frozenset(chosen))


def trial_runs(store: ObjectStore, view: SweepView) -> Iterator[tuple[str, str]]:
    """(run, `<number>` of its trial) of every trial that was asked for, the newest first.

    No trial begins before its ask, whatever the method, so these are all runs that the search has begun.
    """
    asked = sorted(((n, study.model) for study in view.studies for n in study.asks), reverse=True)

    def one(ask: tuple[int, str]) -> tuple[str, str]:
        number, model = ask
        return _run(store, ask_key(view.sweep.id, model, number)), str(number)

    return (found for found in each_in_order(one, asked) if found[0])


def planned_trials(view: SweepView) -> Iterator[tuple[str, int]]:
    """(model, number) of every trial of a plan that nobody has asked for yet; a search by tpe has no plan."""
    if view.complete or view.sweep.definition.method == "tpe":
        return
    asked = {study.model: set(study.asks) for study in view.studies}
    for n in range(view.sweep.definition.count):
        yield from ((model, n) for model in view.sweep.bases if n not in asked[model])


def open_trials(store: ObjectStore, view: SweepView) -> list[str]:
    """Runs of the newest trials that were asked for and not told, at most twice as many as work at a time."""
    most = 2 * view.sweep.definition.parallel
    asks = [
        ask_key(view.sweep.id, study.model, n)
        for study in view.studies
        for n in sorted({*study.asks} - {*study.tells}, reverse=True)[:most]
    ]
    return list(filter(None, each_in_order(lambda key: _run(store, key), asks)))


def read_tells(
    store: ObjectStore, sweep: str, study: Study, seconds: float
) -> dict[int, Tell | None]:
    """The tells of a study, the newest first, as many as `seconds` allow; None for one that is torn."""
    end = time.monotonic() + seconds
    found: dict[int, Tell | None] = {}
    numbers = sorted(study.tells, reverse=True)
    keys = (tell_key(sweep, study.model, n) for n in numbers)
    tells = each_in_order(lambda key: _read(store, Tell, key), keys)
    for number, tell in zip(numbers, tells, strict=True):
        found[number] = tell
        if time.monotonic() > end:
            break
    return found


def _run(store: ObjectStore, key: str) -> str:
    """The run of an ask, empty for one that is torn."""
    ask = _read(store, Ask, key)
    return ask.run_id if ask else ""


def _read(store: ObjectStore, kind: type[R], key: str) -> R | None:
    try:
        return decode(kind, store.read(key, RECORD_BYTES), key)
    except (MissingInputError, StorageError):
        return None
