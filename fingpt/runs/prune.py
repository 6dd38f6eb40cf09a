"""Find what nothing needs any more, and delete it once that is confirmed.

There are four kinds of leftovers: checkpoints that the newest commits do not name, data sets and frozen
source files that no run names, the probe's objects. Base weights, manifests, records of attempts, adapters, answers and
reports stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from fingpt import log
from fingpt.runs.chain import KEPT_COMMITS
from fingpt.runs.ledger import attempts, report_keys, run_ids, seconds_since
from fingpt.runs.manifest import PrepManifest, ReportManifest, decode
from fingpt.runs.progress import sound_commits
from fingpt.runs.raw import mirrored_raw
from fingpt.runs.run import Run, Stage, stage_prefix
from fingpt.runs.stage import finished, load_run
from fingpt.storage import ObjectStore
from fingpt.storage.deleting import Deleter, ObjectInfo

LIVE_SECONDS = 7200.0
"""An attempt without an ending counts as alive until its last heartbeat is this old."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Objects under `prefix` that nothing needs, and why."""

    prefix: str
    reason: str
    objects: tuple[ObjectInfo, ...]
    run_id: str = ""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(each.size for each in self.objects)


def is_live(store: ObjectStore, run_id: str, now: datetime) -> bool:
    """Whether an attempt of the run may be at work: without an ending, not certainly dead, with a recent heartbeat.

    One without any recorded time counts as alive.
    """
    for stage in Stage:
        last = next(reversed(attempts(store, run_id, stage)), None)
        if last is None or last.code is not None or last.gone:
            continue
        heard = seconds_since(last.beat or last.started, now)
        if heard is None or heard < LIVE_SECONDS:
            return True
    return False


def leftovers(store: ObjectStore, deleter: Deleter, now: datetime) -> Iterator[Leftover]:
    """Everything that could be deleted; what has an object younger than LIVE_SECONDS is left out: it may be needed.

    Raises StorageError when a record that names what is needed cannot be read.
    """
    runs = [load_run(store, run_id) for run_id in run_ids(store)]
    live = {run.id for run in runs if is_live(store, run.id, now)}
    for run in runs:
        if run.id not in live:
            yield from _checkpoints(store, deleter, run)
    if live:
        log.event(
            "data sets and sources are kept while a run is at work", runs=" ".join(sorted(live))
        )
    else:
        used = _used_datasets(store, runs)
        yield from _unnamed(deleter, "datasets", used, "no run and no report names the data set")
        named = {run.config.prep.source for run in runs} | set(mirrored_raw(store))
        sources = {source.removeprefix("raw/") for source in named}
        yield from _unnamed(
            deleter, "raw", sources, "no run and no mirror names these source files"
        )
    yield from _unnamed(deleter, "probe", set(), "left by a probe of the store")


def prune(
    store: ObjectStore, deleter: Deleter, *, confirm: bool, now: Callable[[], datetime]
) -> Iterator[tuple[Leftover, bool]]:
    """Every leftover, and whether it is gone: nothing is deleted unless `confirm`.

    With `confirm` the leftovers are looked for twice, since what is needed may change while a store is read. One whose
    run has come alive meanwhile is kept.
    """
    found = list(leftovers(store, deleter, now()))
    if confirm and found:
        again = {each.prefix for each in leftovers(store, deleter, now())}
        found = [each for each in found if each.prefix in again]
    for each in found:
        yield each, confirm and remove(store, deleter, each, now())


def remove(store: ObjectStore, deleter: Deleter, leftover: Leftover, now: datetime) -> bool:
    """Delete one leftover; False, and nothing is touched, when its run has come alive meanwhile."""
    if leftover.run_id and is_live(store, leftover.run_id, now):
        return False
    for each in leftover.objects:
        deleter.delete(each.key)
    return True


def _checkpoints(store: ObjectStore, deleter: Deleter, run: Run) -> Iterator[Leftover]:
    """Checkpoints not named by the newest sound commits, grouped by their prefix."""
    kept = _kept_prefixes(store, run.id)
    folder = f"{stage_prefix(run.id, Stage.TRAIN)}/ckpt/"
    for prefix, objects in _grouped(deleter, folder):
        if prefix not in kept:
            reason = f"not named by the last {KEPT_COMMITS} commits of {run.id}"
            yield Leftover(prefix, reason, objects, run.id)


def _kept_prefixes(store: ObjectStore, run_id: str) -> set[str]:
    """Prefixes of the newest KEPT_COMMITS sound commits."""
    return {commit.prefix for commit in islice(sound_commits(store, run_id), KEPT_COMMITS)}


def _used_datasets(store: ObjectStore, runs: list[Run]) -> set[str]:
    """Data sets that a run's prep made or a report was computed from."""
    used = set()
    for run in runs:
        prep = finished(store, run, Stage.PREP)
        if isinstance(prep, PrepManifest):
            used.add(prep.dataset)
    for key in report_keys(store):
        inputs = decode(ReportManifest, store.read(key), key).inputs
        used |= {name.split("/")[1] for name in inputs if name.startswith("datasets/")}
    return used


def _unnamed(deleter: Deleter, folder: str, used: set[str], reason: str) -> Iterator[Leftover]:
    for prefix, objects in _grouped(deleter, f"{folder}/"):
        if prefix.rpartition("/")[2] not in used:
            yield Leftover(prefix, reason, objects)


def _grouped(deleter: Deleter, folder: str) -> Iterator[tuple[str, tuple[ObjectInfo, ...]]]:
    """Objects under `folder`, by the name below it; groups with a young object are left out."""
    groups: dict[str, list[ObjectInfo]] = {}
    for each in deleter.objects(folder):
        name, slash, _ = each.key.removeprefix(folder).partition("/")
        if slash:
            groups.setdefault(folder + name, []).append(each)
    for prefix, objects in sorted(groups.items()):
        if all(each.age >= LIVE_SECONDS for each in objects):
            yield prefix, tuple(objects)
