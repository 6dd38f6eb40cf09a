"""Verify a sweep that is complete: hash anew every record that its last one names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fingpt.errors import MissingInputError, StorageError
from fingpt.record import Frozen, sha256_bytes, tree_sha256
from fingpt.runs.links import Link, LinkStatus
from fingpt.runs.manifest import decode
from fingpt.runs.run import Stage
from fingpt.runs.run import complete_key as stage_complete_key
from fingpt.storage import ObjectStore
from fingpt.sweeps.records import (
    Ask,
    Finals,
    Report,
    SweepManifest,
    Tell,
    ask_key,
    choice_key,
    report_key,
    sweep_key,
    tell_key,
)
from fingpt.sweeps.sweep import Sweep, completed, load_sweep

_KINDS: dict[str, type[Frozen]] = {"asks": Ask, "tells": Tell, "reports": Report}


def single_records(sweep: Sweep, finals: Mapping[str, Finals]) -> Iterator[str]:
    """Keys of the records that a sweep has one of: its own, choices, manifests of final runs that did not fail."""
    yield sweep_key(sweep.id)
    for model, final in finals.items():
        yield choice_key(sweep.id, model)
        for run_id in sorted({*final.chosen, *final.default} - set(final.failed)):
            for stage in Stage:
                yield stage_complete_key(run_id, stage)


def numbered_records(
    store: ObjectStore, sweep: Sweep, model: str, told: Sequence[Tell]
) -> dict[str, list[str]]:
    """Folder → keys of the records of all trials of a model, of each kind that there are any of."""
    kinds = (
        [ask_key(sweep.id, model, each.number) for each in told],
        [tell_key(sweep.id, model, each.number) for each in told],
        list(_reports(store, sweep, model, told)),
    )
    return {f"{keys[0].rpartition('/')[0]}/": keys for keys in kinds if keys}


def verify_sweep(
    store: ObjectStore, sweep_id: str, on_link: Callable[[Link], None] = lambda _: None
) -> tuple[Link, ...]:
    """Every record that a complete sweep rests on, as it is.

    MissingInputError when there is no such sweep, or it is not complete; StorageError for a torn sweep.json or
    COMPLETE.json.
    """
    sweep = load_sweep(store, sweep_id)
    manifest = completed(store, sweep)
    if manifest is None:
        raise MissingInputError(
            f"Sweep {sweep_id} is not complete, so nothing says what it rests on; give the command that made it again."
        )
    found = []
    for link in _links(store, sweep, manifest):
        on_link(link)
        found.append(link)
    return tuple(found)


def is_sound(store: ObjectStore, sweep: Sweep, manifest: SweepManifest) -> bool:
    """Whether a complete sweep has all of its records; StorageError naming one that is damaged."""
    sound = True
    for link in _links(store, sweep, manifest):
        if link.status is LinkStatus.DAMAGED:
            raise StorageError(
                f"Sweep {sweep.id} is complete, but {link.key} is damaged: {link.message}."
            )
        sound = sound and link.status is LinkStatus.OK
    return sound


def _links(store: ObjectStore, sweep: Sweep, manifest: SweepManifest) -> Iterator[Link]:
    wanted = dict(manifest.inputs)
    for model, told in manifest.tells.items():
        tells = {tell_key(sweep.id, model, each.number): each for each in told}
        for folder, keys in numbered_records(store, sweep, model, told).items():
            kind, hashes = folder.split("/")[-2], []
            for key in keys:
                link, digest = _record(store, key, _KINDS[kind], tells.get(key))
                hashes.append((key, digest))
                yield link
            whole = wanted.pop(folder, "")
            if all(digest for _, digest in hashes) and tree_sha256(hashes) != whole:
                yield _damaged(folder, "its records are not those that the sweep ended with")
    for key, digest in wanted.items():
        if key.endswith("/") or not store.exists(key):
            yield Link(key, LinkStatus.MISSING, "the command that made the sweep makes it again")
        elif sha256_bytes(store.read(key)) != digest:
            yield _damaged(key, "its bytes are not those that the sweep ended with")
        else:
            yield Link(key, LinkStatus.OK)


def _record(
    store: ObjectStore, key: str, kind: type[Frozen], tell: Tell | None
) -> tuple[Link, str]:
    """A record of a trial, and its hash, empty where it is missing or torn."""
    if not store.exists(key):
        return Link(key, LinkStatus.MISSING, "the command that made the sweep makes it again"), ""
    data = store.read(key)
    try:
        found = decode(kind, data, key)
    except StorageError:
        return _damaged(key, "its seal does not match"), ""
    if tell is not None and found != tell:
        return _damaged(key, "it is another tell than the sweep ended with"), ""
    return Link(key, LinkStatus.OK), sha256_bytes(data)


def _damaged(key: str, what: str) -> Link:
    remedy = "restore it, or delete it and give the command that made the sweep again, which makes it anew"
    return Link(key, LinkStatus.DAMAGED, f"{what}; {remedy}")


def _reports(store: ObjectStore, sweep: Sweep, model: str, told: Sequence[Tell]) -> Iterator[str]:
    """Keys of the reports of a study that prunes; rungs of a trial have no gaps."""
    if sweep.definition.pruning is None:
        return
    for each in told:
        rung = 0
        while store.exists(key := report_key(sweep.id, model, each.number, rung)):
            yield key
            rung += 1
