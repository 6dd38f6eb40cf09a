"""What a sweep leaves in the bucket besides its runs: sealed, create-only records, and their keys.

A record that is there already with the same content is a resume; other content under its key is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field

from fingpt.errors import RunConflictError
from fingpt.record import Frozen, sha256_bytes
from fingpt.runs.manifest import SCHEMA_VERSION, decode, encode
from fingpt.storage import ObjectStore
from fingpt.sweeps.definition import Settings

R = TypeVar("R", bound=Frozen)

SWEEPS = "sweeps/"

Number = Annotated[int, Field(ge=0)]


class Ask(Frozen):
    """Trial `number` of a study: its settings, and the run that computes it, by id and whole hash."""

    schema_version: int = SCHEMA_VERSION
    number: Number
    settings: Settings
    run_id: str
    run_sha256: str


class Report(Frozen):
    """What trial `number` had reached at `rung` (from 0): optimizer step, training tokens, value in nats."""

    schema_version: int = SCHEMA_VERSION
    number: Number
    rung: Number
    step: int
    tokens: int
    value: float


class Tell(Frozen):
    """How trial `number` ended: complete with its value in nats, pruned after `rung`, or failed for `reason`.

    `seconds`: of its training, all attempts that are known. `gpu_seconds`: the same times its processes on GPUs.
    """

    schema_version: int = SCHEMA_VERSION
    number: Number
    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    reason: str = ""
    rung: int | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0


class Choice(Frozen):
    """The setting that a study chose: that of its trial with the lowest value; of equals the lowest number.

    It is created before any final run starts, and so before the test split is opened.
    """

    schema_version: int = SCHEMA_VERSION
    trial: Number
    settings: Settings
    value: float


class Finals(Frozen):
    """The runs after the search of one model: ids of the chosen and of the default setting, a run for each seed.

    `failed`: those among them that failed, with the reason.
    """

    chosen: tuple[str, ...]
    default: tuple[str, ...]
    failed: dict[str, str] = Field(default_factory=dict)


class SweepManifest(Frozen):
    """COMPLETE.json: the end of a sweep. `tells`, `choices` and `finals` by model; tells in number order.

    `inputs`: bucket key → sha256 of every record that it rests on. `finished_at`: UTC, for people only.
    """

    schema_version: int = SCHEMA_VERSION
    sweep: str
    sweep_sha256: str
    tells: dict[str, tuple[Tell, ...]]
    choices: dict[str, Choice]
    finals: dict[str, Finals]
    inputs: dict[str, str]
    finished_at: str


def sweep_prefix(sweep_id: str) -> str:
    """All records of one sweep."""
    return f"{SWEEPS}{sweep_id}"


def sweep_key(sweep_id: str) -> str:
    """The frozen sweep."""
    return f"{sweep_prefix(sweep_id)}/sweep.json"


def ask_key(sweep_id: str, model: str, number: int) -> str:
    """The ask of a trial."""
    return f"{sweep_prefix(sweep_id)}/{model}/asks/{number:06d}.json"


def report_key(sweep_id: str, model: str, number: int, rung: int) -> str:
    """What a trial had reached at a rung."""
    return f"{sweep_prefix(sweep_id)}/{model}/reports/{number:06d}-{rung:02d}.json"


def tell_key(sweep_id: str, model: str, number: int) -> str:
    """How a trial ended."""
    return f"{sweep_prefix(sweep_id)}/{model}/tells/{number:06d}.json"


def choice_key(sweep_id: str, model: str) -> str:
    """The setting that a study chose."""
    return f"{sweep_prefix(sweep_id)}/{model}/choice.json"


def complete_key(sweep_id: str) -> str:
    """The sweep's manifest: its presence is the only proof that it is over."""
    return f"{sweep_prefix(sweep_id)}/COMPLETE.json"


def write(store: ObjectStore, key: str, record: Frozen) -> bool:
    """Create a record; False when it is there with this content. RunConflictError when it holds another.

    StorageError naming the key when what is there is torn, or no such record.
    """
    data = encode(record)
    if store.create(key, data):
        return True
    there = store.read(key)
    if there == data:
        return False
    decode(type(record), there, key)  # a torn one is that before it is another one
    raise RunConflictError(
        f"{key} holds another {type(record).__name__.lower()} (sha256 {sha256_bytes(there)[:12]}) than this command "
        f"makes ({sha256_bytes(data)[:12]}); nothing was changed: use another store, or find out who wrote it."
    )


def read(store: ObjectStore, kind: type[R], key: str) -> R | None:
    """The record under a key, None when there is none; StorageError naming the key when it is torn or foreign."""
    if not store.exists(key):
        return None
    return decode(kind, store.read(key), key)
