"""The chain of a run: each record and file that its results rest on, hashed and compared with what names it (links.py).

Reads only. Claims, heartbeats and endings prove nothing and are left out.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from fingpt.errors import ConfigError, MissingInputError, StorageError
from fingpt.models import spec
from fingpt.record import FileRef, tree_sha256
from fingpt.rows.encoding import MAX_TEXT_BYTES
from fingpt.rows.layout import SPLITS
from fingpt.runs.links import Links, LinkStatus
from fingpt.runs.manifest import (
    AdapterManifest,
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
    adapter_manifest_key,
    adapter_prefix,
    base_manifest_key,
    claim_key,
    commit_key,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    raw_prefix,
    report_prefix,
    stage_prefix,
    trial_key,
)
from fingpt.runs.state import report_keys
from fingpt.storage import TooLargeError

S = TypeVar("S", bound=StageManifest)

KEPT_COMMITS = 3
"""So many newest checkpoints are never pruned; of older ones only the commit record must be there."""

EARLY_FILES = tuple(f"{split}{suffix}" for split in SPLITS for suffix in (".parquet", ".jsonl"))
"""What source files were called before they had a manifest, in the order of their hash."""

_FIRST = "0" * 64
_NUMBER = re.compile(r"([0-9]{6,12})\.json")


@dataclass
class Chain(Links):
    """One verification of `run`; `deep` hashes the base weights too.

    `early` is a run that was frozen before source files had a manifest.
    """

    run: Run = field(kw_only=True)
    deep: bool = field(kw_only=True)
    early: bool = field(default=False, kw_only=True)

    def check_all(self) -> None:
        """Check every link that can be reached; a record that cannot be read ends its own branch only."""
        self._raw()
        prep = self._complete(Stage.PREP, PrepManifest)
        if prep is not None:
            self._dataset(prep)
        trains = Stage.TRAIN in self.run.stages
        train = self._complete(Stage.TRAIN, TrainManifest) if trains else None
        foreign = None if trains else self._adapter()
        self._base(train)
        self._commits()
        if train is not None:
            self.check_files(stage_prefix(self.run.id, Stage.TRAIN), train.files)
        evaluation = self._complete(Stage.EVAL, EvalManifest)
        if evaluation is not None:
            if train is not None:
                self._fits(evaluation, train)
            if foreign is not None and evaluation.adapter_sha256 != _adapter_sha256(foreign.files):
                key = complete_key(self.run.id, Stage.EVAL)
                self.add(key, LinkStatus.DAMAGED, "it scored another adapter than the run names")
            self.check_files(stage_prefix(self.run.id, Stage.EVAL), evaluation.files)
        self._reports()

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
        try:
            files = read_raw_manifest(self.store, source).files
        except MissingInputError:
            if self.early:
                self._early_raw(source)
            else:
                absent = "the record of the source files is not in the store"
                self.add(key, LinkStatus.MISSING, absent)
            return
        except (ConfigError, StorageError) as fault:
            self.add(key, LinkStatus.DAMAGED, str(fault))
            return
        self.add(key)
        self.check_files(source, files)

    def _early_raw(self, source: str) -> None:
        """Source files without a manifest, as runs had them at first: together they hash to their folder's name."""
        there = {}
        with tempfile.TemporaryDirectory(prefix="fingpt-verify-") as folder:
            for key in filter(self.store.exists, (f"{source}/{name}" for name in EARLY_FILES)):
                try:
                    sha256 = self.store.copy(key, Path(folder) / "file", MAX_TEXT_BYTES).sha256
                except TooLargeError:
                    sha256 = "of a longer file"
                there[key.rpartition("/")[2]] = sha256
        if not there:
            self.add(source, LinkStatus.MISSING, "the source files are not in the store")
            return
        note = "the run was frozen before source files had one; they have to hash to their folder's name"
        self.add(raw_manifest_key(source), LinkStatus.SKIPPED, note)
        whole = source == raw_prefix(tree_sha256(there.items())[:16])
        for name in there:
            message = (
                "a source file was changed or is gone: they do not hash to their folder's name"
            )
            self.check(f"{source}/{name}", whole, message)

    def _complete(self, stage: Stage, kind: type[S]) -> S | None:
        """A stage's manifest, and whether what it read is still what it read; None when it cannot be used."""
        key = complete_key(self.run.id, stage)
        if stage is Stage.EVAL and self._is_trial() and not self.store.exists(key):
            self.add(key, LinkStatus.SKIPPED, "a trial of a sweep, which ends when it is trained")
            return None
        manifest = self.read(key, kind, f"stage {stage} has not finished")
        if manifest is None:
            return None
        claimed = (manifest.run, manifest.stage, manifest.config_sha256)
        if claimed != (self.run.id, str(stage), self.run.config.sha256):
            self.add(key, LinkStatus.DAMAGED, "it belongs to another run, stage or configuration")
        self.check_inputs(key, manifest.inputs)
        return manifest

    def _is_trial(self) -> bool:
        """Whether a sweep made the run as a trial, and nobody has begun to evaluate it."""
        begun = self.store.exists(claim_key(self.run.id, Stage.EVAL, 1))
        return not begun and self.store.exists(trial_key(self.run.id))

    def _adapter(self) -> AdapterManifest | None:
        """A foreign adapter: its folder is named by the hash of its files."""
        prefix = str(self.run.config.eval.adapter)
        key = adapter_manifest_key(prefix)
        manifest = self.read(key, AdapterManifest, "the adapter is not in the store")
        if manifest is None:
            return None
        if prefix != adapter_prefix(manifest.files_id):
            self.add(key, LinkStatus.DAMAGED, "its files do not hash to its folder's name")
        self.check_files(prefix, manifest.files)
        return manifest

    def _dataset(self, prep: PrepManifest) -> None:
        key = dataset_manifest_key(prep.dataset)
        manifest = self.read(key, DatasetManifest, "the data set was removed; run prep again")
        if manifest is None:
            return
        if self.seen[key] != prep.dataset_sha256:
            self.add(key, LinkStatus.DAMAGED, "it is not the data set that prep finished with")
        self.check_files(dataset_prefix(prep.dataset), manifest.files)

    def _base(self, train: TrainManifest | None) -> None:
        prefix = spec(self.run.config.model).base_prefix
        key = base_manifest_key(prefix)
        manifest = self.read(key, BaseManifest, "the base weights are not in the store")
        if manifest is None:
            return
        if train is not None and train.base_sha256 != manifest.sha256:
            self.add(
                key, LinkStatus.DAMAGED, "these are not the weights that the adapter was made for"
            )
        if self.deep:
            self.check_files(prefix, manifest.files)
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
        numbers = self._commit_numbers()
        superseded = self._superseded(numbers)
        before, previous = 0, _FIRST
        for n in numbers:
            key = commit_key(self.run.id, n)
            if n > before + 1:
                first, lost = commit_key(self.run.id, before + 1), n - before - 1
                message = (
                    f"the log of commits has a gap here: {lost:,} up to number {n - 1} are missing"
                )
                self.add(first, LinkStatus.MISSING, message)
                previous = ""
            self.superseding = n in superseded
            commit = self.read(key, Commit, "it was removed meanwhile")
            if commit is not None:
                if (commit.n, commit.previous) != (n, previous):
                    self.add(key, LinkStatus.DAMAGED, f"it does not follow commit {n - 1}")
                self.check_files(
                    commit.prefix, commit.files, prunable=n not in numbers[-KEPT_COMMITS:]
                )
            before, previous = n, self.digest(key) or ""
        self.superseding = False

    def _commit_numbers(self) -> list[int]:
        """The numbers of all commits that are there: listed, since probing stops at a gap."""
        folder = f"{commit_key(self.run.id, 1).rpartition('/')[0]}/"
        names = [_NUMBER.fullmatch(key.removeprefix(folder)) for key in self.store.keys(folder)]
        numbers = {int(name[1]) for name in names if name}
        return sorted(n for n in numbers if n and self.store.exists(commit_key(self.run.id, n)))

    def _superseded(self, numbers: Sequence[int]) -> set[int]:
        """Commits that a later attempt found damaged and went back behind.

        Steps grow from commit to commit. A later one that is not further repeats steps, so it began before; and where
        a record cannot be read, the next one names the hash of these very bytes if they were damaged by then.
        """
        found: set[int] = set()
        lowest: int | None = None
        following: Commit | None = None
        for n in reversed(numbers):
            key = commit_key(self.run.id, n)
            try:
                commit = decode(Commit, self.store.read(key), key) if self.digest(key) else None
            except StorageError:
                commit = None
            if commit is None:
                if following and self.digest(key) == following.previous:
                    found.add(n)
            elif lowest is not None and commit.step >= lowest:
                found.add(n)
            else:
                lowest = commit.step
            following = commit
        return found

    def _fits(self, evaluation: EvalManifest, train: TrainManifest) -> None:
        key = complete_key(self.run.id, Stage.EVAL)
        adapter = _adapter_sha256(train.files)
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
            report = self.read(key, ReportManifest, "")
            if report is not None:
                self.check_inputs(key, report.inputs)
                self.check_files(report_prefix(report.id), report.files)


def _adapter_sha256(files: Iterable[FileRef]) -> str:
    """Identity of an adapter, as eval has it: hash over the names and hashes of its files."""
    return tree_sha256((f.name, f.sha256) for f in files if f.name.startswith("adapter/"))
