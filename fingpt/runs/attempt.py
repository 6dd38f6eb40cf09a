"""Attempts at a stage: claims, heartbeats, and how each ended; the newest claim fences all older ones.

Claims are create-only and numbered from 1; attempt k+1 takes over from k. A process whose predecessor recorded no
ending watches its heartbeats by its own monotonic clock: a new one means a live owner (FencedError), silence means a
claim. Only liveness depends on time. Safety depends on the fence that every commit checks and on create-only keys.
"""

from __future__ import annotations

import os
import platform
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from fingpt import log
from fingpt.config import pod_and_node
from fingpt.errors import FencedError, FingptError, MissingInputError, StorageError
from fingpt.reading import read_record
from fingpt.record import canonical_json
from fingpt.runs.run import Stage, attempt_key, claim_key, heartbeat_key, last_number
from fingpt.storage import ObjectStore

R = TypeVar("R", bound=BaseModel)

BEAT_SECONDS = 10.0
WATCH_SECONDS = 30.0

_NOTE_BYTES = 1 << 16
_MESSAGE_CHARACTERS = 8000


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Host, boot and start time of a process: enough to see that a process of this machine is gone."""

    host: str
    boot: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    born: str

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process."""
        return cls(socket.gethostname(), _boot_id(), os.getpid(), _born(os.getpid()))

    def is_gone(self) -> bool:
        """True only when it is certain: same machine, same boot, and no such process any more."""
        here = ProcessIdentity.current()
        if not self.boot or (self.host, self.boot) != (here.host, here.boot):
            return False
        return _born(self.pid) != self.born or not self.born


class _Note(BaseModel):
    """Base of what an attempt leaves for people and for the next one: nothing depends on it, so each field may lack."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Claim(_Note):
    """Who took a stage, where, and when (RFC 3339 in UTC)."""

    pod: str = ""
    node: str = ""
    place: ProcessIdentity | None = None
    started_at: str = ""

    def is_gone(self) -> bool:
        """Whether the process that claimed is certainly gone."""
        return self.place is not None and self.place.is_gone()


class Heartbeat(_Note):
    """When an attempt was alive; one that cannot be read says that it was, at some time."""

    at: str = "unknown"


class Ending(_Note):
    """How an attempt ended; `code` is None where that cannot be read."""

    code: int | None = None
    message: str = ""
    ended_at: str = ""


def read_note(store: ObjectStore, kind: type[R], key: str) -> R:
    """A claim, heartbeat or ending; an empty one when it is missing, torn, or far too long."""
    try:
        return read_record(kind, store.read(key, _NOTE_BYTES), key, "it is left alone")
    except (StorageError, MissingInputError):
        return kind()


@dataclass
class Attempt:
    """Attempt `number` of a stage; a context manager that stores heartbeats while it lasts, and how it ended.

    `note`: what the ending says of an attempt that met no error, and left its stage incomplete all the same.
    """

    store: ObjectStore
    run_id: str
    stage: Stage
    number: int
    note: str = ""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def check(self) -> None:
        """FencedError when a newer attempt has taken over; to be called before every commit."""
        check_fence(self.store, self.run_id, self.stage, self.number)

    def __enter__(self) -> Attempt:
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        code = 0 if error is None else error.exit_code if isinstance(error, FingptError) else 1
        ending = {
            "attempt": self.number,
            "code": code,
            "message": self.note if error is None else str(error)[:_MESSAGE_CHARACTERS],
            "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            self.store.create(
                attempt_key(self.run_id, self.stage, self.number), canonical_json(ending)
            )
        except FingptError as fault:
            log.warning("how this attempt ended could not be stored", reason=str(fault))

    def _beat(self) -> None:
        beat, pause = 1, 0.0
        while not self._stop.wait(pause):
            pause = BEAT_SECONDS
            # The time is for people and for prune, never for the protocol.
            now = canonical_json({"at": datetime.now(UTC).isoformat(timespec="seconds")})
            try:
                self.store.create(heartbeat_key(self.run_id, self.stage, self.number, beat), now)
            except FingptError as fault:
                # The number stays: a reader that counts heartbeats stops at a gap.
                log.warning("heartbeat not stored", reason=str(fault))
            else:
                beat += 1


def check_fence(store: ObjectStore, run_id: str, stage: Stage, number: int) -> None:
    """FencedError when an attempt newer than `number` has claimed the stage."""
    if store.exists(claim_key(run_id, stage, number + 1)):
        raise FencedError(
            f"Attempt {number} of {stage} in {run_id} was taken over by attempt {number + 1}; "
            "this one stops without writing."
        )


def claim(
    store: ObjectStore,
    run_id: str,
    stage: Stage,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Attempt:
    """Claim the next attempt of a stage; FencedError when a living attempt owns it.

    Any number of processes may call this at once: each claim has one winner, the others watch the winner.
    """
    while True:
        number = last_number(store.exists, lambda n: claim_key(run_id, stage, n))
        if number and not _ended(store, run_id, stage, number):
            _watch(store, run_id, stage, number, sleep)
        pod, node = pod_and_node()
        mine = canonical_json(
            {
                "nonce": secrets.token_hex(8),
                "pod": pod,
                "node": node,
                "platform": platform.platform(),
                "place": _fields(ProcessIdentity.current()),
                "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        if store.create(claim_key(run_id, stage, number + 1), mine):
            log.event("attempt claimed", number=number + 1, stage=str(stage))
            return Attempt(store, run_id, stage, number + 1)


def _ended(store: ObjectStore, run_id: str, stage: Stage, number: int) -> bool:
    if store.exists(attempt_key(run_id, stage, number)):
        return True
    return read_note(store, Claim, claim_key(run_id, stage, number)).is_gone()


def _watch(
    store: ObjectStore, run_id: str, stage: Stage, number: int, sleep: Callable[[float], None]
) -> None:
    """Return when attempt `number` is silent for WATCH_SECONDS or ends; FencedError when it beats."""

    def beats() -> int:
        return last_number(store.exists, lambda n: heartbeat_key(run_id, stage, number, n))

    before = beats()
    log.event(
        "watching for heartbeats of an attempt without an ending",
        attempt=number,
        seconds=WATCH_SECONDS,
    )
    waited = 0.0
    while waited < WATCH_SECONDS:
        sleep(BEAT_SECONDS / 2)
        waited += BEAT_SECONDS / 2
        if store.exists(attempt_key(run_id, stage, number)):
            return
        if beats() > before:
            raise FencedError(
                f"Attempt {number} of {stage} in {run_id} is alive; this process stops, that one goes on."
            )


def _fields(place: ProcessIdentity) -> dict[str, str | int]:
    return {"host": place.host, "boot": place.boot, "pid": place.pid, "born": place.born}


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _born(pid: int) -> str:
    """Start time of a process in clock ticks since boot; with the pid it names one process. Empty when unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
