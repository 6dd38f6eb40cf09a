"""From a Selection to one Snapshot: folders are read and imported, other sources fetched, and what it rests on frozen.

The frozen record, `sources/snapshots/<digest>.json`, opens the same snapshot again from the bucket alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from fingpt import log
from fingpt.config import local_path
from fingpt.errors import (
    ConfigError,
    MissingInputError,
    PermissionDeniedError,
    StorageError,
    nearest,
)
from fingpt.reading import read_record
from fingpt.record import Frozen, canonical_json
from fingpt.sources.fetching import Wanted, fetch, require
from fingpt.sources.files import NAME as FILES
from fingpt.sources.files import FilesSnapshot, read_folder
from fingpt.sources.folder import SETTINGS, Folder, look, require_apart
from fingpt.sources.policy import Permission, UsagePolicy, Use
from fingpt.sources.protocol import Source
from fingpt.sources.raw_store import RawStore
from fingpt.sources.records import Kind
from fingpt.sources.selection import Choice, Selection
from fingpt.sources.snapshot import JoinedSnapshot, Snapshot
from fingpt.sources.stored import StoredSnapshot
from fingpt.storage import ObjectStore, put

JOINED = (Use.RESEARCH, Use.LOCAL_CACHE, Use.PERSISTENT_STORAGE)
"""What happens to all that is opened: it is kept in the bucket. Prices that only score forecasts are joined to them."""
NEEDED = (*JOINED, Use.MODEL_PROCESSING)
"""What happens besides to all that prompts tell: models learn from it and are asked about it."""

Available = Mapping[str, Callable[[Mapping[str, JsonValue]], Source]]
"""Sources by name, each made of its settings. Making one asks nobody and needs no key: only fetching does."""


class _Object(Frozen):
    key: str
    sha256: str


class FrozenPart(Frozen):
    """What one source gave: a folder's digest, or retrievals and what failed."""

    source: str
    kinds: tuple[Kind, ...]
    settings: Mapping[str, JsonValue] = {}
    folder: str = ""
    objects: tuple[_Object, ...] = ()
    failed: Mapping[str, str] = {}


class FrozenSnapshot(Frozen):
    """All that a snapshot rests on, by hash."""

    schema_version: int = 1
    digest: str
    parts: tuple[FrozenPart, ...]


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens selections over one bucket, with the sources that are available."""

    store: ObjectStore
    available: Available
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def open(self, selection: Selection, wanted: Wanted, uses: Sequence[Use] = NEEDED) -> Snapshot:
        """The snapshot of a selection; folders are imported, what the raw store lacks is fetched, all of it is frozen.

        Before anything is fetched or stored it raises ConfigError when a source is not known, not exactly one gives
        prices, or a folder and the bucket hold one another, and PermissionDeniedError when a policy prohibits one of
        `uses`; then what reading a folder raises, and the error of a part that could not be fetched and may not be
        missing.
        """
        raw = RawStore(self.store)
        opened: list[tuple[Snapshot, frozenset[Kind]]] = []
        parts = []
        for name, source, kinds in self._chosen(selection, uses):
            choice = selection.sources[name]
            if isinstance(source, Folder):
                files = self._import(raw, source)
                opened.append((files, kinds))
                parts.append(_part(name, kinds, choice, folder=files.digest))
                continue
            asked = replace(wanted, kinds=wanted.kinds & kinds)
            stored = self._fetch(raw, source, asked, selection)
            opened.append((stored, kinds))
            parts.append(_part(name, kinds, choice, stored=stored))
        return self._frozen(_joined(opened), parts)

    def _chosen(
        self, selection: Selection, uses: Sequence[Use]
    ) -> list[tuple[str, Source | Folder, frozenset[Kind]]]:
        """Each source with the kinds that it is used for, once all may be used so; nobody is asked anything."""
        chosen: list[tuple[str, Source | Folder, frozenset[Kind]]] = []
        for name, choice in selection.sources.items():
            if name == FILES:
                require_apart(self.store.uri, local_path(choice.folder))
                folder = look(local_path(choice.folder))
                chosen.append((name, folder, selection.kinds_of(name, frozenset(Kind))))
            else:
                source = self._source(name, choice.settings)
                able = source.capabilities()
                kinds = selection.kinds_of(name, able.kinds, able.refused)
                chosen.append((name, source, kinds))
        _one_gives_prices([kinds for _, _, kinds in chosen])
        for name, found, _ in chosen:
            if isinstance(found, Folder):
                remedy = f"change `policy` in {found.path / SETTINGS} where that is wrong"
                _permit(name, found.settings.policy, uses, remedy)
            else:
                accepted = selection.sources[name].settings.get("accept_terms") is True
                remedy = f"leave {name} out of SOURCES"
                _permit(name, found.policy, uses, remedy, accepted=accepted)
        return chosen

    def open_frozen(self, digest: str, scratch: Path) -> Snapshot:
        """The snapshot that was frozen under `digest`, from the bucket alone; folders are unpacked below `scratch`.

        MissingInputError when there is none, StorageError when the bucket holds other bytes by now.
        """
        raw, key = RawStore(self.store), frozen_key(digest)
        if not self.store.exists(key):
            raise MissingInputError(
                f"{self.store.uri}/{key} is not there; build again from the sources."
            )
        action = "restore it, or build again from the sources"
        manifest = read_record(
            FrozenSnapshot, self.store.read(key), f"{self.store.uri}/{key}", action
        )
        opened: list[tuple[Snapshot, frozenset[Kind]]] = []
        for number, part in enumerate(manifest.parts):
            kinds = frozenset(part.kinds)
            if part.source == FILES:
                folder = scratch / f"files-{number}"
                raw.fetch_folder(part.folder, folder)
                opened.append((read_folder(look(folder), now=self.clock()), kinds))
            else:
                source = self._source(part.source, part.settings)
                kept = [raw.retrieval(each.key, each.sha256) for each in part.objects]
                stored = StoredSnapshot(raw, source, kept, part.failed, part.settings)
                opened.append((stored, kinds))
        snapshot = _joined(opened)
        if snapshot.digest != digest:
            raise StorageError(
                f"{self.store.uri}/{key} does not name what its digest says; {action}."
            )
        return snapshot

    def _import(self, raw: RawStore, folder: Folder) -> FilesSnapshot:
        manifest = raw.keep_folder(folder.path, folder.refs())
        files = read_folder(folder, now=self.clock())
        if files.digest != manifest.digest:
            raise StorageError(f"{folder.path} changed while it was read; run it again.")
        return files

    def _fetch(
        self,
        raw: RawStore,
        source: Source,
        wanted: Wanted,
        selection: Selection,
    ) -> StoredSnapshot:
        fetched = fetch(raw, source, wanted, self.clock)
        require(fetched, selection.allow_missing)
        settings = selection.sources[source.name].settings
        return StoredSnapshot(raw, source, fetched.kept, fetched.reasons, settings)

    def _source(self, name: str, settings: Mapping[str, JsonValue]) -> Source:
        if name not in self.available:
            raise ConfigError(
                f"There is no source '{name[:40]}'; {nearest(name, [FILES, *self.available])}"
            )
        return self.available[name](settings)

    def _frozen(self, snapshot: Snapshot, parts: list[FrozenPart]) -> Snapshot:
        manifest = FrozenSnapshot(digest=snapshot.digest, parts=tuple(parts))
        put(self.store, frozen_key(snapshot.digest), canonical_json(manifest))
        return snapshot


def _part(
    name: str,
    kinds: frozenset[Kind],
    choice: Choice,
    folder: str = "",
    stored: StoredSnapshot | None = None,
) -> FrozenPart:
    return FrozenPart(
        source=name,
        kinds=tuple(sorted(kinds)),
        settings=choice.settings,
        folder=folder,
        objects=tuple(_Object(key=one.key, sha256=one.sha256) for one in stored.kept)
        if stored
        else (),
        failed=stored.failed if stored else {},
    )


def _joined(opened: list[tuple[Snapshot, frozenset[Kind]]]) -> Snapshot:
    """One snapshot of several; ConfigError unless exactly one of them gives prices."""
    _one_gives_prices([kinds for _, kinds in opened])
    (snapshot, kinds), *others = opened
    return snapshot if not others and kinds == frozenset(Kind) else JoinedSnapshot(opened)


def _one_gives_prices(several: list[frozenset[Kind]]) -> None:
    pricing = sum(Kind.PRICE in kinds for kinds in several)
    if pricing != 1:
        how = f"{pricing} sources give" if pricing else "No source gives"
        raise ConfigError(
            f"{how} prices; exactly one has to: name `price` in the `kinds` of one source in SOURCES."
        )


def _permit(
    name: str, policy: UsagePolicy, uses: Sequence[Use], remedy: str, *, accepted: bool = False
) -> None:
    """PermissionDeniedError when `policy` prohibits one of `uses`, unless its user `accepted` the terms.

    What nobody has verified, and what was accepted for oneself, is a warning.
    """
    prohibited = [use for use in uses if policy.permission(use) is Permission.PROHIBITED]
    unverified = [use for use in uses if policy.permission(use) is Permission.UNVERIFIED]
    terms = f" ({'; '.join(policy.terms)})"[:300] if policy.terms else ""
    if prohibited and not accepted:
        raise PermissionDeniedError(
            f"The policy of the source {name} prohibits {', '.join(prohibited)}{terms}, which this needs; {remedy}."
        )
    if prohibited:
        log.warning(
            f"The terms of the source {name} prohibit {', '.join(prohibited)}{terms}; accept_terms says that you may."
        )
    if unverified:
        log.warning(
            f"Nobody has verified that the terms of the source {name} allow {', '.join(unverified)}{terms}; read them."
        )


def frozen_key(digest: str) -> str:
    """Where the record of the snapshot with this digest is kept."""
    return f"sources/snapshots/{digest}.json"
