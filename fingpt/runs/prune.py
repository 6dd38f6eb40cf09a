"""Find what nothing needs any more, and delete it once that is confirmed.

There are five kinds of leftovers: checkpoints that the newest commits do not name, data sets, frozen source files and
adapters made elsewhere that no run names, the probe's objects. Base weights, manifests, records of attempts, what a run
trained, answers and reports stay, and so does whatever this project would not have written: a group goes only when
every name in it is ours, a data set, a source or an adapter only when its manifest is sound and names every file of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from pydantic import BaseModel, ConfigDict

from fingpt import log
from fingpt.config import RunConfig
from fingpt.errors import ConfigError, MissingInputError, StorageError
from fingpt.reading import read_record
from fingpt.runs.chain import KEPT_COMMITS
from fingpt.runs.manifest import (
    AdapterManifest,
    Commit,
    DatasetManifest,
    PrepManifest,
    ReportManifest,
    decode,
)
from fingpt.runs.progress import sound_commits
from fingpt.runs.raw import mirrored_raw, raw_manifest_key, read_raw_manifest
from fingpt.runs.run import (
    Run,
    Stage,
    adapter_manifest_key,
    adapter_prefix,
    dataset_manifest_key,
    stage_prefix,
)
from fingpt.runs.stage import finished, load_run
from fingpt.runs.state import attempts, report_keys, run_ids, seconds_since
from fingpt.storage import ObjectStore
from fingpt.storage.deleting import Deleter, ObjectInfo

LIVE_SECONDS = 7200.0
"""An attempt without an ending counts as alive until its last heartbeat is this old."""

_PROBE = re.compile(r"[0-9a-f]{32}/(twice|race-[0-9])")
_CHECKPOINT = re.compile(r"[0-9]{6,}-[0-9a-f]{8}/([\w.-]+/)*[\w.-]+\.(safetensors|json|jsonl)")


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

    Raises StorageError when a record that names what is needed cannot be read, MissingInputError when there is no run:
    then nothing here says what is needed, or it is another place than was meant.
    """
    runs = [load_run(store, run_id) for run_id in run_ids(store)]
    if not runs:
        raise MissingInputError(
            f"There is no run in {store.uri} (no runs/<id>/run.json), so nothing is pruned there; name the right STORE."
        )
    live = {run.id for run in runs if is_live(store, run.id, now)}
    for run in runs:
        if run.id not in live:
            yield from _checkpoints(store, deleter, run)
    if live:
        log.event(
            "data sets, sources and adapters are kept while a run is at work",
            runs=" ".join(sorted(live)),
        )
    else:
        yield from _unused(store, deleter, runs)
    for prefix, objects in _unnamed(deleter, "probe", set()):
        if _are_ours(prefix, objects, _PROBE):
            yield Leftover(prefix, "left by a probe of the store", objects)


def _unused(store: ObjectStore, deleter: Deleter, runs: list[Run]) -> Iterator[Leftover]:
    """Data sets, frozen source files and adapters made elsewhere that nothing names."""
    used = _used_datasets(store, runs)
    for prefix, objects in _unnamed(deleter, "datasets", used):
        if _is_dataset(store, prefix, objects):
            yield Leftover(prefix, "no run and no report names the data set", objects)
    named = {run.config.prep.source for run in runs} | set(mirrored_raw(store))
    named |= set(_swept_sources(store))
    sources = {source.removeprefix("raw/") for source in named}
    for prefix, objects in _unnamed(deleter, "raw", sources):
        if _is_source(store, prefix, objects):
            yield Leftover(
                prefix, "no run, no sweep and no mirror names these source files", objects
            )
    adapters = {(run.config.eval.adapter or "").rstrip("/").rpartition("/")[2] for run in runs}
    for prefix, objects in _unnamed(deleter, "adapters", adapters):
        if _is_adapter(store, prefix, objects):
            yield Leftover(prefix, "no run names the adapter", objects)


def _swept_sources(store: ObjectStore) -> Iterator[str]:
    """Frozen source files of sweeps, which may have no run yet; StorageError on a sweep that cannot be read."""
    for key in store.keys("sweeps/"):
        if key.count("/") == 2 and key.endswith("/sweep.json"):
            yield from read_record(
                _Sweep, store.read(key), key, "restore it, or remove the sweep"
            ).sources()


class _Sweep(BaseModel):
    """What pruning needs of a sweep.json: the rows that its configurations name."""

    model_config = ConfigDict(extra="ignore")

    bases: dict[str, RunConfig]

    def sources(self) -> Iterator[str]:
        """The source of each configuration."""
        return (config.prep.source.rstrip("/") for config in self.bases.values())


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
        if prefix not in kept and _are_ours(prefix, objects, _CHECKPOINT):
            reason = f"not named by the last {KEPT_COMMITS} commits of {run.id}"
            yield Leftover(prefix, reason, objects, run.id)


def _kept_prefixes(store: ObjectStore, run_id: str) -> set[str]:
    """Prefixes of the newest KEPT_COMMITS sound commits that training went on from, or could."""
    return {commit.prefix for commit in islice(_continued(store, run_id), KEPT_COMMITS)}


def _continued(store: ObjectStore, run_id: str) -> Iterator[Commit]:
    """The sound commits, newest first, without those that a later one went back behind (chain.py says why)."""
    lowest: int | None = None
    for commit in sound_commits(store, run_id):
        if lowest is None or commit.step < lowest:
            lowest = commit.step
            yield commit


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


def _unnamed(
    deleter: Deleter, folder: str, used: set[str]
) -> Iterator[tuple[str, tuple[ObjectInfo, ...]]]:
    for prefix, objects in _grouped(deleter, f"{folder}/"):
        if prefix.rpartition("/")[2] not in used:
            yield prefix, objects


def _is_dataset(store: ObjectStore, prefix: str, objects: Sequence[ObjectInfo]) -> bool:
    """Whether a group is a data set that prep has finished: sealed under its own name, with its own files alone."""
    key = f"{prefix}/manifest.json"
    names = {each.key for each in objects}
    if key not in names:
        return _kept(prefix, "it has no manifest.json")
    try:
        manifest = decode(DatasetManifest, store.read(key), key)
    except StorageError:
        return _kept(prefix, "its manifest.json is not sealed")
    named = {key, *(f"{prefix}/{file.name}" for file in manifest.files)}
    if dataset_manifest_key(manifest.id) != key or names - named:
        return _kept(prefix, "it holds what its manifest.json does not name")
    return True


def _is_adapter(store: ObjectStore, prefix: str, objects: Sequence[ObjectInfo]) -> bool:
    """Whether a group is a frozen foreign adapter: sealed under the hash of its files, with its own files alone."""
    key = adapter_manifest_key(prefix)
    names = {each.key for each in objects}
    if key not in names:
        return _kept(prefix, "it has no manifest.json")
    try:
        manifest = decode(AdapterManifest, store.read(key), key)
    except StorageError:
        return _kept(prefix, "its manifest.json is not sealed")
    if adapter_prefix(manifest.files_id) != prefix:
        return _kept(prefix, "its manifest.json does not hash to its name")
    if names - {key, *(f"{prefix}/{file.name}" for file in manifest.files)}:
        return _kept(prefix, "it holds what its manifest.json does not name")
    return True


def _is_source(store: ObjectStore, prefix: str, objects: Sequence[ObjectInfo]) -> bool:
    """Whether a group is frozen rows: a manifest that hashes to the group's name, with its own files alone."""
    key = raw_manifest_key(prefix)
    names = {each.key for each in objects}
    if key not in names:
        return _kept(prefix, "it has no manifest.json")
    try:
        files = read_raw_manifest(store, prefix).files
    except (ConfigError, StorageError):
        return _kept(prefix, "its manifest.json does not hash to its name")
    if names - {key, *(f"{prefix}/{file.name}" for file in files)}:
        return _kept(prefix, "it holds what its manifest.json does not name")
    return True


def _are_ours(prefix: str, objects: Sequence[ObjectInfo], pattern: re.Pattern[str]) -> bool:
    """Whether every object's key, from the group's own name on, is one that this project writes."""
    start = len(prefix.rpartition("/")[0]) + 1
    if all(pattern.fullmatch(each.key[start:]) for each in objects):
        return True
    return _kept(prefix, "it holds names that are not this project's")


def _kept(prefix: str, reason: str) -> bool:
    log.event("kept, not ours", prefix=prefix, reason=reason)
    return False


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
