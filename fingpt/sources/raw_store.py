"""Raw answers in the bucket, under `sources/`: kept once, never changed, found again without listing.

    sources/answers/<sha[:2]>/<sha256>                            one answer's bytes
    sources/index/<source>/<kind>/<symbol>/<month>/<0001>.json    one retrieval: which answers, when; written last
    sources/folders/<id>.json                                     an imported folder of files: names and hashes
    sources/snapshots/<digest>.json                               a frozen list of these, which a build rests on

A month that was asked for before it was over is asked for again, and gets the next number. Retrievals are numbered
without holes, so the newest is found by looking, not by listing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from fingpt.errors import MissingInputError, StorageError
from fingpt.reading import DATA_BYTES, read_record
from fingpt.record import FileRef, Frozen, Moment, canonical_json, sha256_bytes, tree_sha256
from fingpt.sources.month import Month
from fingpt.sources.protocol import Answer
from fingpt.sources.records import Kind
from fingpt.storage import ObjectStore, check_key, put, read_verified

_NO_SYMBOL = "_"
_ACTION = "restore it, or remove it and fetch again"


class StoredAnswer(Frozen):
    """One answer of a retrieval: what was asked, when, and the hash that its bytes lie under."""

    request: str
    retrieved_at: Moment
    sha256: str
    size: int


class Retrieval(Frozen):
    """All answers about one part (source, kind, symbol, month), in the order in which they came; may be none."""

    schema_version: int = 1
    source: str
    kind: Kind
    symbol: str
    month: str
    retrieved_at: Moment
    """When it was asked for: what was published later may be missing."""
    answers: tuple[StoredAnswer, ...]

    def covers(self, until: datetime) -> bool:
        """Whether it was made when the month was over, or at least not before `until`."""
        return self.retrieved_at >= min(Month.parse(self.month).end, until)


class Part(Frozen):
    """What is asked for at once: one kind of one symbol (empty for macro figures) in one month."""

    source: str
    kind: Kind
    symbol: str
    month: str

    @property
    def name(self) -> str:
        """As it is called in `degraded`: source/symbol/month."""
        return f"{self.source}/{self.symbol}/{self.month}"

    def key(self, number: int) -> str:
        """Where its retrieval of that number lies."""
        symbol = self.symbol or _NO_SYMBOL
        return check_key(
            f"sources/index/{self.source}/{self.kind}/{symbol}/{self.month}/{number:04d}.json"
        )


class Kept(Frozen):
    """A retrieval as the store has it: its key, the hash of its bytes, what it says."""

    key: str
    sha256: str
    retrieval: Retrieval

    @property
    def final(self) -> bool:
        """Whether it was made when its month was over: no later one is looked for."""
        return self.retrieval.covers(Month.parse(self.retrieval.month).end)


class FolderManifest(Frozen):
    """The files of an imported folder, whose bytes lie among the answers."""

    schema_version: int = 1
    files: tuple[FileRef, ...]

    @property
    def digest(self) -> str:
        """Hash of names and bytes: equal folders have one, wherever they lay."""
        return tree_sha256((file.name, file.sha256) for file in self.files)


class RawStore:
    """The raw answers of one bucket. All methods raise what ObjectStore does."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._last = ("", b"")

    @property
    def uri(self) -> str:
        """The bucket's address."""
        return self._store.uri

    def keep(
        self, part: Part, answers: Sequence[Answer], retrieved_at: datetime, number: int
    ) -> Kept:
        """Store the answers, then the retrieval that names them, as the first free number from `number` on.

        Two may fetch a part at the same time. Where the other's retrieval was made when the month was over, nobody
        would ever look past it, so it is returned in place of ours; else ours gets the next number, and both stay.
        """
        stored = []
        for answer in answers:
            put(self._store, _answer_key(answer.sha256), answer.body)
            stored.append(
                StoredAnswer(
                    request=answer.request,
                    retrieved_at=answer.retrieved_at,
                    sha256=answer.sha256,
                    size=len(answer.body),
                )
            )
        retrieval = Retrieval(**part.model_dump(), retrieved_at=retrieved_at, answers=tuple(stored))
        data = canonical_json(retrieval)
        while not self._store.create(part.key(number), data):
            there = self._retrieval(part.key(number), part)
            if there and (there.retrieval == retrieval or there.final):
                return there
            number += 1
        return Kept(key=part.key(number), sha256=sha256_bytes(data), retrieval=retrieval)

    def newest(self, part: Part) -> tuple[int, Kept | None]:
        """(how many retrievals of a part there are, the newest of them)."""
        number, found = 0, None
        while found is None or not found.final:
            kept = self._retrieval(part.key(number + 1), part)
            if kept is None:
                break
            number, found = number + 1, kept
        return number, found

    def retrieval(self, key: str, sha256: str) -> Kept:
        """The retrieval that a snapshot names; StorageError when its bytes are others."""
        data = read_verified(self._store, key, sha256)
        retrieval = read_record(Retrieval, data, f"{self.uri}/{key}", _ACTION)
        return Kept(key=key, sha256=sha256, retrieval=retrieval)

    def answers(self, kept: Kept) -> Iterator[Answer]:
        """The answers of a retrieval, verified.

        MissingInputError when one is not there, StorageError when its bytes are others than were kept.
        """
        about = kept.retrieval
        for stored in about.answers:
            yield Answer(
                source=about.source,
                kind=about.kind,
                symbol=about.symbol,
                month=Month.parse(about.month),
                request=stored.request,
                retrieved_at=stored.retrieved_at,
                body=self._body(stored.sha256, kept.key),
            )

    def _body(self, sha256: str, named_by: str) -> bytes:
        """The bytes of an answer; the last one's are kept, since some sources answer for years at once."""
        key = _answer_key(sha256)
        if self._last[0] != sha256:
            try:
                self._last = sha256, read_verified(self._store, key, sha256)
            except MissingInputError:
                raise MissingInputError(
                    f"{self.uri}/{key} is not there, but {named_by} names it; restore it, or remove {named_by} and "
                    "fetch again."
                ) from None
        return self._last[1]

    def keep_folder(self, folder: Path, files: Sequence[FileRef]) -> FolderManifest:
        """Store the files of a folder, as `folder.Folder.refs` names them; repeated, it stores nothing.

        StorageError when a file is not any more what its reference says.
        """
        for file in files:
            ref = self._store.upload(folder / file.name, _answer_key(file.sha256))
            if ref.sha256 != file.sha256:
                raise StorageError(
                    f"{folder / file.name} changed while it was stored; run it again."
                )
        manifest = FolderManifest(files=tuple(files))
        put(self._store, _folder_key(manifest.digest), canonical_json(manifest))
        return manifest

    def fetch_folder(self, digest: str, folder: Path) -> None:
        """Bring the files of an imported folder to `folder`, verified; MissingInputError when it was never imported."""
        key = _folder_key(digest)
        where = f"{self.uri}/{key}"
        manifest = read_record(FolderManifest, self._read(key), where, _ACTION)
        if manifest.digest != digest:
            raise StorageError(f"{where} names other files than its own name says; {_ACTION}.")
        for file in manifest.files:
            self._store.download(
                _answer_key(file.sha256), folder / check_key(file.name), file.sha256
            )

    def _read(self, key: str) -> bytes:
        if not self._store.exists(key):
            raise MissingInputError(f"{self.uri}/{key} is not there; import the folder again.")
        return self._store.read(key)

    def _retrieval(self, key: str, part: Part) -> Kept | None:
        if not self._store.exists(key):
            return None
        data, where = self._store.read(key, DATA_BYTES), f"{self.uri}/{key}"
        retrieval = read_record(Retrieval, data, where, _ACTION)
        if Part.model_validate(retrieval.model_dump(include=set(Part.model_fields))) != part:
            raise StorageError(
                f"{where} speaks of {retrieval.source}/{retrieval.kind}/{retrieval.symbol}/{retrieval.month}: it was "
                f"not written there by a fetch; {_ACTION}."
            )
        return Kept(key=key, sha256=sha256_bytes(data), retrieval=retrieval)


def _answer_key(sha256: str) -> str:
    return check_key(f"sources/answers/{sha256[:2]}/{sha256}")


def _folder_key(digest: str) -> str:
    return check_key(f"sources/folders/{digest}.json")
