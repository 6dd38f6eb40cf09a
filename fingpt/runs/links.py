"""Objects of a store held against the records that name them: one link for each, and what was found.

Reads only. A record must be the very bytes that its content encodes to, a file must have the sha256 that a record
names. What rests on what is chain.py's affair.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from fingpt.errors import DataError, StorageError
from fingpt.reading import parse_object
from fingpt.record import FileRef, Frozen, canonical_json, sha256_bytes
from fingpt.runs.manifest import decode
from fingpt.storage import ObjectStore, check_key

M = TypeVar("M", bound=Frozen)

_IN_MEMORY_BYTES = 64 << 20


class LinkStatus(StrEnum):
    """The result for one link."""

    OK = "ok"
    MISSING = "missing"
    DAMAGED = "damaged"
    SKIPPED = "skipped"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Link:
    """One object of the chain: its key, the result, and in `message` what is wrong or why it was skipped.

    SUPERSEDED is an object of a damaged checkpoint from which no training went on: nothing that counts rests on it.
    """

    key: str
    status: LinkStatus = LinkStatus.OK
    message: str = ""


@dataclass
class Links:
    """What was found so far; `on_link` is called with each link.

    `seen` holds the sha256 of every record read, for later records that name it as an input. While `superseding`,
    objects are looked at on which nothing rests.
    """

    store: ObjectStore
    on_link: Callable[[Link], None]
    links: list[Link] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    superseding: bool = False

    def add(self, key: str, status: LinkStatus = LinkStatus.OK, message: str = "") -> None:
        """Record one link."""
        if self.superseding and status in (LinkStatus.DAMAGED, LinkStatus.MISSING):
            status = LinkStatus.SUPERSEDED
            message += "; training went on from an older checkpoint, nothing rests on this one"
        self.links.append(Link(key, status, message))
        self.on_link(self.links[-1])

    def check(self, key: str, sound: bool, message: str) -> None:
        """Record a link that is ok, or damaged for the reason `message`."""
        self.add(key, LinkStatus.OK if sound else LinkStatus.DAMAGED, "" if sound else message)

    def read(self, key: str, kind: type[M], absent: str) -> M | None:
        """A sealed record, whose bytes must be the only ones that say what it says; None when it cannot be used."""
        if self.digest(key) is None:
            self.add(key, LinkStatus.MISSING, absent)
            return None
        try:
            data = self.store.read(key)
            record = decode(kind, data, key)
        except StorageError as fault:
            # The finding itself: what is damaged becomes a link, and the next is looked at.
            self.add(key, LinkStatus.DAMAGED, str(fault))
            return None
        whole = canonical_json(parse_object(data)) == data
        self.check(key, whole, "its bytes were written differently")
        return record

    def check_inputs(self, key: str, inputs: Mapping[str, str]) -> None:
        """What the record `key` was made from: a name is missing, or has another sha256, where that is so."""
        for name, sha256 in sorted(inputs.items()):
            digest = self.digest(name)
            if digest is None:
                self.add(name, LinkStatus.MISSING, f"{key} was made from it")
            elif digest != sha256:
                self.add(
                    name, LinkStatus.DAMAGED, f"{key} was made from other bytes ({sha256[:12]})"
                )

    def digest(self, key: str) -> str | None:
        """sha256 of a record's bytes, None when it is not there."""
        if key not in self.seen:
            if not self.store.exists(key):
                return None
            try:
                self.seen[key] = sha256_bytes(self.store.read(key))
            except StorageError:  # far too long for a record
                self.seen[key] = "unreadable"
        return self.seen[key]

    def check_files(self, prefix: str, files: Iterable[FileRef], *, prunable: bool = False) -> None:
        """The files that a record names, under `prefix`; `prunable` ones may be gone."""
        for file in files:
            key = f"{prefix}/{file.name}"
            try:
                check_key(key)
            except DataError as fault:
                # A name that leads elsewhere: the record that has it is damaged.
                self.add(prefix, LinkStatus.DAMAGED, str(fault))
                continue
            if not self.store.exists(key):
                message = "pruned: an older checkpoint" if prunable else "a record names it"
                self.add(key, LinkStatus.SKIPPED if prunable else LinkStatus.MISSING, message)
                continue
            got = self._hash(key, file)
            self.check(
                key, got == file.sha256, f"sha256 {got[:12]}, its record says {file.sha256[:12]}"
            )

    def _hash(self, key: str, file: FileRef) -> str:
        """sha256 of a stored file; a large one passes through the disk, not through memory."""
        if file.size <= _IN_MEMORY_BYTES:
            try:
                return sha256_bytes(self.store.read(key, file.size))
            except StorageError:
                # It has more bytes than its record says, so none of them need be read.
                return "of a longer file"
        with tempfile.TemporaryDirectory(prefix="fingpt-verify-") as folder:
            try:
                self.store.download(key, Path(folder) / "file", file.sha256)
            except StorageError:  # other bytes, three times; a full disk is another error
                return "differs"
        return file.sha256
