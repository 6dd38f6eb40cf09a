"""The log of committed checkpoints in the bucket: create-only, hash-chained, without pickles; damaged ones are skipped.

A checkpoint counts once `commits/<n>.json` names its files; anything else under `ckpt/` does not exist. `n` is found by
probing exact keys, never by listing. Imports no torch.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fingpt import log
from fingpt.errors import DataError, FencedError, MissingInputError, StorageError
from fingpt.record import canonical_json, sha256_bytes
from fingpt.runs.manifest import Commit, PrecisionGate, decode, encode
from fingpt.runs.run import checkpoint_prefix, commit_key, last_number
from fingpt.storage import ObjectStore, download_tree, read_verified, upload_tree

SAFE_SUFFIXES = frozenset({".safetensors", ".json", ".jsonl"})

_MACHINE = "machine"
"""A key of a commit's context that may differ on resume; then the result is close, not equal."""

PACK_TOKENS = "pack_tokens"
"""A key of a commit's context that a resume takes over: on the same machine it makes the same packs."""

GATE = "gate"
"""A key of a commit's context that a resume takes over: what the run's first rows said of products in 8 bits."""

_FREE = frozenset({_MACHINE, PACK_TOKENS, GATE})

_VERIFY_BYTES = 256 << 20
_FIRST = "0" * 64


@dataclass(frozen=True)
class Resume:
    """A verified checkpoint, on this machine: `step` optimizer steps are done; `same_machine` allows bit equality.

    `commit` is its number in the log. `pack_tokens`: of the packs that it was trained with; None for micro-batches.
    `gate`: whether it was trained with products in 8 bits, and why; None where none were asked for.
    """

    folder: Path
    step: int
    same_machine: bool
    pack_tokens: int | None = None
    commit: int = 0
    gate: PrecisionGate | None = None


class CheckpointLog:
    """The commits of one run; `context` holds the hashes that a resume must match, `machine` what it should.

    `fence` is called before every commit and raises FencedError when a newer attempt has taken over.
    """

    def __init__(
        self,
        store: ObjectStore,
        run_id: str,
        context: Mapping[str, str],
        machine: str,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._run_id, self._fence = store, run_id, fence
        self._context = {**context, _MACHINE: machine}
        self._head = last_number(store.exists, lambda n: commit_key(run_id, n))

    def commit(
        self,
        step: int,
        folder: Path,
        pack_tokens: int | None = None,
        gate: PrecisionGate | None = None,
    ) -> Commit:
        """Upload `folder` under a fresh prefix, read it back, and commit it as the state after `step` steps.

        FencedError when another process committed meanwhile; StorageError when the store returns other bytes.
        """
        nonce = secrets.token_hex(4)
        prefix = checkpoint_prefix(self._run_id, step, nonce)
        files = upload_tree(self._store, folder, prefix)
        if sum(file.size for file in files) <= _VERIFY_BYTES:
            for file in files:
                read_verified(self._store, f"{prefix}/{file.name}", file.sha256)
        commit = Commit(
            n=self._head + 1,
            previous=self._digest(self._head),
            nonce=nonce,
            step=step,
            prefix=prefix,
            context={**self._context, **_taken(pack_tokens, gate)},
            files=files,
        )
        self._fence()
        key, data = commit_key(self._run_id, commit.n), encode(commit)
        if not self._store.create(key, data) and self._store.read(key) != data:
            raise FencedError(
                f"Another process committed {key} while this one trained; this one stops. Run one attempt at a time."
            )
        self._head = commit.n
        return commit

    def newest(self, folder: Path) -> Resume | None:
        """Download the newest checkpoint that verifies into `folder`; None when there is none.

        Damaged commits are skipped with a warning. DataError when a sound commit was made from another
        configuration, base, template or data set.
        """
        for n in range(self._head, 0, -1):
            try:
                commit = self.fetch(n, folder)
            except (StorageError, MissingInputError) as error:
                log.warning("checkpoint skipped", commit=n, reason=str(error))
                continue
            same = commit.context.get(_MACHINE) == self._context[_MACHINE]
            packs = commit.context.get(PACK_TOKENS, "")
            size = int(packs) if packs.isdecimal() else None
            said = commit.context.get(GATE)
            gate = None if said is None else PrecisionGate.model_validate_json(said)
            return Resume(folder, commit.step, same, size, n, gate)
        if self._head:
            log.warning("no intact checkpoint, starting from step 0", commits=self._head)
        return None

    def fetch(self, n: int, folder: Path) -> Commit:
        """Download commit n into `folder`, verified; StorageError or MissingInputError when it is damaged."""
        key = commit_key(self._run_id, n)
        commit = decode(Commit, self._store.read(key), key)
        self._check(commit, n)
        shutil.rmtree(folder, ignore_errors=True)
        download_tree(self._store, commit.prefix, commit.files, folder)
        return commit

    def _check(self, commit: Commit, n: int) -> None:
        if commit.n != n:
            raise StorageError(f"commit {n} says that it is commit {commit.n}")
        for file in commit.files:
            if PurePosixPath(file.name).suffix not in SAFE_SUFFIXES:
                raise StorageError(
                    f"commit {n} names {file.name}, which is not safetensors or JSON"
                )
        want = {key: value for key, value in self._context.items() if key not in _FREE}
        got = {key: value for key, value in commit.context.items() if key not in _FREE}
        for key in sorted(want.keys() | got.keys()):
            if want.get(key) != got.get(key):
                raise DataError(
                    f"The checkpoint of step {commit.step} was made with another {key.replace('_', ' ')} "
                    f"({str(got.get(key))[:16]}, now {str(want.get(key))[:16]}); it cannot be continued. "
                    "Submit a new run."
                )

    def _digest(self, n: int) -> str:
        return sha256_bytes(self._store.read(commit_key(self._run_id, n))) if n else _FIRST


def _taken(pack_tokens: int | None, gate: PrecisionGate | None) -> dict[str, str]:
    """What a resume takes over, as entries of a commit's context."""
    found = {} if pack_tokens is None else {PACK_TOKENS: str(pack_tokens)}
    return found if gate is None else {**found, GATE: canonical_json(gate).decode()}
