"""A run's part of a store as one listing shows it: whether a key is there is then known without another request."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from fingpt.errors import MissingInputError
from fingpt.reading import RECORD_BYTES, parse_object
from fingpt.record import FileRef
from fingpt.runs.attempt import Claim, read_note
from fingpt.runs.run import Stage, claim_key, complete_key, last_number, run_prefix, trial_key
from fingpt.storage import ObjectStore

_MOST_KEYS = 5_000  # five requests; probing the keys of a larger run one by one costs less


class Seen:
    """An ObjectStore that answers for one run from a listing, and reads each object once.

    For display: the listing is of one moment, and of a run with very many keys nothing is remembered. `shared`: what
    runs have in common, such as the record of a data set; whoever looks at many runs keeps it.
    """

    def __init__(
        self, store: ObjectStore, run_id: str, shared: dict[str, bytes] | None = None
    ) -> None:
        self.run_id = run_id
        self._store, self._prefix = store, f"{run_prefix(run_id)}/"
        keys = set(islice(store.keys(self._prefix), _MOST_KEYS + 1))
        self._keys = keys if len(keys) <= _MOST_KEYS else None
        self._read: dict[str, bytes] = {}
        self._shared = self._read if shared is None else shared

    @property
    def uri(self) -> str:
        """That of the store."""
        return self._store.uri

    def exists(self, key: str) -> bool:
        """Whether the object was there when the run was listed."""
        if self._keys is None or not key.startswith(self._prefix):
            return self._store.exists(key)
        return key in self._keys

    def read(self, key: str, limit: int = RECORD_BYTES) -> bytes:
        """All bytes of an object."""
        kept = self._read if key.startswith(self._prefix) else self._shared
        if key not in kept:
            kept[key] = self._store.read(key, limit)
        return kept[key]

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys of the store."""
        return self._store.keys(prefix)

    def folders(self, prefix: str) -> Iterator[str]:
        """Folders of the store."""
        return self._store.folders(prefix)

    def create(self, key: str, data: bytes) -> bool:
        """As the store does."""
        return self._store.create(key, data)

    def upload(self, path: Path, key: str) -> FileRef:
        """As the store does."""
        return self._store.upload(path, key)

    def copy(self, key: str, path: Path, limit: int) -> FileRef:
        """As the store does."""
        return self._store.copy(key, path, limit)

    def download(self, key: str, path: Path, sha256: str) -> None:
        """As the store does."""
        self._store.download(key, path, sha256)

    def last_claim(self, stage: Stage) -> int:
        """The number of the newest attempt of a stage, 0 without any."""
        return last_number(self.exists, lambda n: claim_key(self.run_id, stage, n))

    def trial(self) -> str:
        """`<sweep>/<number>` of a trial, of several sweeps the first; empty for any other run, and for a torn note."""
        key = trial_key(self.run_id)
        if not self.exists(key):
            return ""
        try:
            note = parse_object(self.read(key, RECORD_BYTES))
        except (ValueError, MissingInputError):
            return ""
        return f"{note.get('sweep', '')}/{note.get('number', '')}".strip("/")

    def current(self) -> Stage | None:
        """The stage that keeps the run from being complete, by the presence of keys alone; None for none.

        A run that evaluates a foreign adapter trains nothing, so a stage after train that was claimed counts.
        """
        if self.exists(complete_key(self.run_id, Stage.EVAL)):
            return None
        left = [each for each in Stage if not self.exists(complete_key(self.run_id, each))]
        claimed = [each for each in left if self.last_claim(each)]
        return (claimed or left)[0]

    def began(self) -> datetime | None:
        """When the first attempt of its first stage began, None when that is not known."""
        for stage in Stage:
            if self.exists(claim_key(self.run_id, stage, 1)):
                started = read_note(self, Claim, claim_key(self.run_id, stage, 1)).started_at
                try:
                    began = datetime.fromisoformat(started)
                except ValueError:
                    return None
                return began if began.tzinfo else began.replace(tzinfo=UTC)
        return None
