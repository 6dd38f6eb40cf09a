"""The chain of a run: each record and file that its results rest on, hashed and compared with what names it.

Reads only. Every record must be the very bytes that its content encodes to, every file must have the sha256 that a
record names. Claims, heartbeats and endings prove nothing and are left out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from fingpt.errors import StorageError
from fingpt.models import spec
from fingpt.record import FileRef, Frozen, canonical_json, sha256_bytes, tree_sha256
from fingpt.runs.ledger import report_keys
from fingpt.runs.manifest import (
    BaseManifest,
    Commit,
    DatasetManifest,
    EvalManifest,
    PrepManifest,
    ReportManifest,
    StageManifest,
    TrainManifest,
    decode,
)
from fingpt.runs.raw import raw_manifest_key, read_raw_manifest
from fingpt.runs.run import (
    Run,
    Stage,
    base_manifest_key,
    commit_key,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    report_prefix,
    stage_prefix,
)
from fingpt.storage import ObjectStore

M = TypeVar("M", bound=Frozen)
S = TypeVar("S", bound=StageManifest)

KEPT_COMMITS = 3
"""So many newest checkpoints are never pruned; of older ones only the commit record must be there."""

_FIRST = "0" * 64
_IN_MEMORY_BYTES = 64 << 20


class LinkStatus(StrEnum):
    """The result for one link."""

    OK = "ok"
    MISSING = "missing"
    DAMAGED = "damaged"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Link:
    """One object of the chain: its key, the result, and in `message` what is wrong or why it was skipped."""

    key: str
    status: LinkStatus = LinkStatus.OK
    message: str = ""


@dataclass
class Chain:
    """One verification; `seen` holds the sha256 of every record read, for later records that name it as an input."""

    store: ObjectStore
    run: Run
    deep: bool
    on_link: Callable[[Link], None]
    links: list[Link] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)

    def check_all(self) -> None:
        """Check every link that can be reached; a record that cannot be read ends its own branch only."""
        self._raw()
        prep = self._complete(Stage.PREP, PrepManifest)
        if prep is not None:
            self._dataset(prep)
        train = self._complete(Stage.TRAIN, TrainManifest)
        self._base(train)
        self._commits()
        if train is not None:
            self._files(stage_prefix(self.run.id, Stage.TRAIN), train.files)
        evaluation = self._complete(Stage.EVAL, EvalManifest)
        if evaluation is not None:
            if train is not None:
                self._fits(evaluation, train)
            self._files(stage_prefix(self.run.id, Stage.EVAL), evaluation.files)
        self._reports()

    def add(self, key: str, status: LinkStatus = LinkStatus.OK, message: str = "") -> None:
        """Record one link."""
        self.links.append(Link(key, status, message))
        self.on_link(self.links[-1])

    def check(self, key: str, sound: bool, message: str) -> None:
        """Record a link that is ok, or damaged for the reason `message`."""
        self.add(key, LinkStatus.OK if sound else LinkStatus.DAMAGED, "" if sound else message)

    def _raw(self) -> None:
        """Frozen source files: their folder is named by the hash of their names and hashes."""
        source = self.run.config.prep.source
        if not source.startswith("raw/"):
            self.add(
                source,
                LinkStatus.SKIPPED,
                "a remote source; the rows that were read from it are the data set",
            )
            return
        key = raw_manifest_key(source)
        if not self.store.exists(key):
            self.add(source, LinkStatus.MISSING, "the source files are not in the store")
            return
        try:
            files = read_raw_manifest(self.store, source).files
        except StorageError as fault:
            self.add(key, LinkStatus.DAMAGED, str(fault))
            return
        self.add(key)
        self._files(source, files)

    def _complete(self, stage: Stage, kind: type[S]) -> S | None:
        """A stage's manifest, and whether what it read is still what it read; None when it cannot be used."""
        key = complete_key(self.run.id, stage)
        manifest = self._record(key, kind, f"stage {stage} has not finished")
        if manifest is None:
            return None
        claimed = (manifest.run, manifest.stage, manifest.config_sha256)
        if claimed != (self.run.id, str(stage), self.run.config.sha256):
            self.add(key, LinkStatus.DAMAGED, "it belongs to another run, stage or configuration")
        self._inputs(key, manifest.inputs)
        return manifest

    def _dataset(self, prep: PrepManifest) -> None:
        key = dataset_manifest_key(prep.dataset)
        manifest = self._record(key, DatasetManifest, "the data set was removed; run prep again")
        if manifest is None:
            return
        if self.seen[key] != prep.dataset_sha256:
            self.add(key, LinkStatus.DAMAGED, "it is not the data set that prep finished with")
        self._files(dataset_prefix(prep.dataset), manifest.files)

    def _base(self, train: TrainManifest | None) -> None:
        prefix = spec(self.run.config.model).base_prefix
        key = base_manifest_key(prefix)
        manifest = self._record(key, BaseManifest, "the base weights are not in the store")
        if manifest is None:
            return
        if train is not None and train.base_sha256 != manifest.sha256:
            self.add(
                key, LinkStatus.DAMAGED, "these are not the weights that the adapter was made for"
            )
        if self.deep:
            self._files(prefix, manifest.files)
            return
        for file in manifest.files:
            there = self.store.exists(f"{prefix}/{file.name}")
            message = "exists, not hashed (DEEP=1 does)" if there else "missing"
            self.add(
                f"{prefix}/{file.name}",
                LinkStatus.SKIPPED if there else LinkStatus.MISSING,
                message,
            )

    def _commits(self) -> None:
        """The checkpoint log: each commit names the hash of the one before."""
        # Listed, not probed: probing stops at a gap.
        folder = commit_key(self.run.id, 1).rpartition("/")[0]
        names = [key.rpartition("/")[2].removesuffix(".json") for key in self.store.keys(folder)]
        last = max((int(name) for name in names if name.isdecimal()), default=0)
        previous = _FIRST
        for n in range(1, last + 1):
            key = commit_key(self.run.id, n)
            commit = self._record(key, Commit, "the log of commits has a gap here")
            if commit is not None:
                if (commit.n, commit.previous) != (n, previous):
                    self.add(key, LinkStatus.DAMAGED, f"it does not follow commit {n - 1}")
                self._files(commit.prefix, commit.files, prunable=n <= last - KEPT_COMMITS)
            previous = self._digest(key) or ""

    def _fits(self, evaluation: EvalManifest, train: TrainManifest) -> None:
        key = complete_key(self.run.id, Stage.EVAL)
        files = [file for file in train.files if file.name.startswith("adapter/")]
        adapter = tree_sha256((file.name, file.sha256) for file in files)
        pairs = (
            ("adapter", evaluation.adapter_sha256, adapter),
            ("base weights", evaluation.base_sha256, train.base_sha256),
            ("data set", evaluation.dataset, train.dataset),
        )
        for what, scored, trained in pairs:
            if scored != trained:
                self.add(key, LinkStatus.DAMAGED, f"it scored another {what} than train made")

    def _reports(self) -> None:
        """Reports that name the run."""
        for key in report_keys(self.store, self.run.id):
            report = self._record(key, ReportManifest, "")
            if report is not None:
                self._inputs(key, report.inputs)
                self._files(report_prefix(report.id), report.files)

    def _record(self, key: str, kind: type[M], absent: str) -> M | None:
        """A sealed record, whose bytes must be the only ones that say what it says; None when it cannot be used."""
        if self._digest(key) is None:
            self.add(key, LinkStatus.MISSING, absent)
            return None
        data = self.store.read(key)
        try:
            record = decode(kind, data, key)
        except StorageError as fault:
            self.add(key, LinkStatus.DAMAGED, str(fault))
            return None
        self.check(
            key, canonical_json(json.loads(data)) == data, "its bytes were written differently"
        )
        return record

    def _inputs(self, key: str, inputs: Mapping[str, str]) -> None:
        for name, sha256 in sorted(inputs.items()):
            digest = self._digest(name)
            if digest is None:
                self.add(name, LinkStatus.MISSING, f"{key} was made from it")
            elif digest != sha256:
                self.add(
                    name, LinkStatus.DAMAGED, f"{key} was made from other bytes ({sha256[:12]})"
                )

    def _digest(self, key: str) -> str | None:
        """sha256 of a record's bytes, None when it is not there."""
        if key not in self.seen:
            if not self.store.exists(key):
                return None
            self.seen[key] = sha256_bytes(self.store.read(key))
        return self.seen[key]

    def _files(self, prefix: str, files: Iterable[FileRef], *, prunable: bool = False) -> None:
        for file in files:
            key = f"{prefix}/{file.name}"
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
            return sha256_bytes(self.store.read(key))
        with tempfile.TemporaryDirectory(prefix="fingpt-verify-") as folder:
            try:
                self.store.download(key, Path(folder) / "file", file.sha256)
            except StorageError:
                return "differs"
        return file.sha256
