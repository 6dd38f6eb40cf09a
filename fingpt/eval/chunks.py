"""Losses, answers and label scores in the store, written as soon as they are made: an interrupted evaluation continues.

A chunk holds a head line (context, count, sha256 of the rest) and one line per record, such as an answer; its bytes
depend on inputs alone. The batch's seconds lie in an object of their own, written first, because they differ from run
to run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from fingpt.errors import StorageError
from fingpt.eval.prompts import Prompt
from fingpt.reading import DATA_BYTES, LINE_BYTES, parse_json
from fingpt.record import FileRef, Frozen, canonical_json, sha256_bytes
from fingpt.runs.manifest import decode, encode
from fingpt.storage import ObjectStore

R = TypeVar("R", bound=Frozen)
Make = Callable[[Sequence[Prompt]], tuple[list[R], float]]
"""From the prompts of a chunk to a record for each, and the seconds that making them took."""


class Head(Frozen):
    """First line of a chunk."""

    context: str
    rows: int
    sha256: str


class Timing(Frozen):
    """Wall-clock seconds of one batch."""

    seconds: float


@dataclass(frozen=True)
class Chunk(Generic[R]):
    """Records of one chunk, the seconds that making them took, and the stored files."""

    records: tuple[R, ...]
    seconds: float
    files: tuple[FileRef, ...]
    reused: bool


def context_of(inputs: Sequence[str], prompts: Sequence[Prompt]) -> str:
    """Hex sha256 over all that a result depends on: `inputs` (hashes, decoding) and the example ids in order."""
    return sha256_bytes(canonical_json([list(inputs), [prompt.example.id for prompt in prompts]]))


def encode_chunk(records: Sequence[Frozen], context: str) -> bytes:
    """The stored bytes of a chunk."""
    body = b"".join(canonical_json(record) + b"\n" for record in records)
    head = Head(context=context, rows=len(records), sha256=sha256_bytes(body))
    return canonical_json(head) + b"\n" + body


def decode_chunk(kind: type[R], data: bytes, context: str, key: str) -> tuple[R, ...]:
    """Inverse of `encode_chunk`; StorageError when a byte was changed or the chunk was made from other inputs."""
    first, _, body = data.partition(b"\n")
    try:
        head = Head.model_validate(parse_json(first, LINE_BYTES))
        if sha256_bytes(body) != head.sha256:
            raise ValueError
        records = tuple(
            kind.model_validate(parse_json(line, LINE_BYTES)) for line in body.splitlines()
        )
        if len(records) != head.rows:
            raise ValueError
    except (ValueError, ValidationError):
        raise StorageError(
            f"{key} does not match its own sha256: the object was changed; delete it and run eval again."
        ) from None
    if head.context != context:
        raise _other_inputs(key)
    return records


def timing_key(key: str) -> str:
    """Where the seconds of the chunk at `key` lie."""
    return key.removesuffix(".jsonl") + ".timing.json"


def chunk(
    kind: type[R],
    store: ObjectStore,
    key: str,
    context: str,
    batch: Sequence[Prompt],
    make: Make[R],
) -> Chunk[R]:
    """The chunk at `key`, read back and verified if it is there, made and stored if it or its timing is not.

    What is stored is never replaced: where one of the two is lost, the other stays.
    """
    clock = timing_key(key)
    reused = store.exists(key) and store.exists(clock)
    if not reused:
        records, seconds = make(batch)
        store.create(clock, encode(Timing(seconds=seconds)))
        store.create(key, encode_chunk(records, context))
    # What is stored is what counts, also when another process was first.
    data, time_data = store.read(key, DATA_BYTES), store.read(clock)
    return Chunk(
        records=decode_chunk(kind, data, context, key),
        seconds=decode(Timing, time_data, clock).seconds,
        files=(_ref(key, data), _ref(clock, time_data)),
        reused=reused,
    )


class StoredLosses(Frozen):
    """Sums of answer tokens' negative log-likelihoods by example id, as stored."""

    context: str
    seconds: float
    test: dict[str, float]
    train: dict[str, float]


@dataclass(frozen=True)
class Losses:
    """Losses of one variant, the seconds that measuring them took, and the stored file."""

    test: dict[str, float]
    train: dict[str, float]
    seconds: float
    files: tuple[FileRef, ...]


def losses(
    store: ObjectStore,
    key: str,
    context: str,
    measure: Callable[[], tuple[dict[str, float], dict[str, float]]],
) -> Losses:
    """The losses at `key`, read back and verified if they are there, measured (test, train) and stored if not."""
    if not store.exists(key):
        start = time.perf_counter()
        test, train = measure()
        seconds = time.perf_counter() - start
        store.create(
            key, encode(StoredLosses(context=context, seconds=seconds, test=test, train=train))
        )
    data = store.read(key)
    stored = decode(StoredLosses, data, key)
    if stored.context != context:
        raise _other_inputs(key)
    return Losses(stored.test, stored.train, stored.seconds, (_ref(key, data),))


def _other_inputs(key: str) -> StorageError:
    return StorageError(
        f"{key} was made from another adapter, base, data set or decoding; delete it and run eval again."
    )


def _ref(key: str, data: bytes) -> FileRef:
    """Named relative to the run's eval prefix, such as `predictions/<variant>/<file>`."""
    return FileRef(name=key.partition("/eval/")[2], size=len(data), sha256=sha256_bytes(data))
