"""One controller of a sweep at a time: a claim with heartbeats, as attempts at a stage have them.

Safety does not depend on it, since every record is created once and every stage has a claim of its own. It keeps a
second controller from doing the same work beside the first, and says who that is.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fingpt import log
from fingpt.config import pod_and_node
from fingpt.errors import FencedError, FingptError
from fingpt.record import canonical_json
from fingpt.runs.attempt import (
    BEAT_SECONDS,
    WATCH_SECONDS,
    Claim,
    Ending,
    Heartbeat,
    ProcessIdentity,
    read_note,
)
from fingpt.runs.run import last_number
from fingpt.runs.state import seconds_since
from fingpt.storage import ObjectStore
from fingpt.sweeps.records import sweep_prefix

SILENT_SECONDS = 120.0
"""A controller that was not heard of for so long is gone, as far as a reader can tell."""


@dataclass(frozen=True, slots=True)
class Controller:
    """The newest controller of a sweep: where it is, when it was last heard of (RFC 3339), and whether it has ended."""

    where: str
    heard: str
    ended: bool

    def works(self, now: datetime) -> bool:
        """Whether it is at work, as far as its heartbeats tell."""
        silence = seconds_since(self.heard, now)
        return not self.ended and silence is not None and silence < SILENT_SECONDS


def controller_of(store: ObjectStore, sweep: str) -> Controller | None:
    """The newest controller, None for a sweep that never had one."""
    number = last_number(store.exists, lambda n: _claim_key(sweep, n))
    if not number:
        return None
    claim = read_note(store, Claim, _claim_key(sweep, number))
    ending = read_note(store, Ending, _ending_key(sweep, number))
    beat = last_number(store.exists, lambda n: _beat_key(sweep, number, n))
    heard = read_note(store, Heartbeat, _beat_key(sweep, number, beat)).at if beat else ""
    ended = store.exists(_ending_key(sweep, number)) or claim.is_gone()
    return Controller(_where(claim), ending.ended_at or heard or claim.started_at, ended)


def who_works(store: ObjectStore, sweep: str, now: datetime) -> tuple[bool, str]:
    """Whether somebody works on a sweep that is not over, and who, or since when nobody does, as the bucket tells."""
    found = controller_of(store, sweep)
    if found is not None and found.works(now):
        return True, f"{found.where} works on it"
    heard = f", the last one was heard of at {found.heard}" if found else ""
    return False, f"nobody works on it{heard}; the command that made it goes on with it"


@contextmanager
def controlling(
    store: ObjectStore, sweep: str, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Callable[[], None]]:
    """Be the controller of a sweep; gives a check, FencedError once another one has taken over.

    FencedError where a living controller has the sweep. A dead one's claim is taken over: at once where that is known,
    else after WATCH_SECONDS without a heartbeat.
    """
    number = _take(store, sweep, sleep)

    def check() -> None:
        if store.exists(_claim_key(sweep, number + 1)):
            raise FencedError(
                f"Sweep {sweep} was taken over by another controller; this one stops. Wait for that one: make wait "
                f"SWEEP={sweep}."
            )

    stop = threading.Event()
    threading.Thread(target=_beat, args=(store, sweep, number, stop), daemon=True).start()
    try:
        yield check
    finally:
        stop.set()
        ending = {"ended_at": _now()}
        try:
            store.create(_ending_key(sweep, number), canonical_json(ending))
        except FingptError as fault:
            log.warning("that this controller ended could not be stored", reason=str(fault))


def _take(store: ObjectStore, sweep: str, sleep: Callable[[float], None]) -> int:
    while True:
        number = last_number(store.exists, lambda n: _claim_key(sweep, n))
        if number and not store.exists(_ending_key(sweep, number)):
            _require_gone(store, sweep, number, sleep)
        pod, node = pod_and_node()
        mine = {
            "nonce": secrets.token_hex(8),
            "pod": pod,
            "node": node,
            "place": asdict(ProcessIdentity.current()),
            "started_at": _now(),
        }
        if store.create(_claim_key(sweep, number + 1), canonical_json(mine)):
            return number + 1


def _require_gone(
    store: ObjectStore, sweep: str, number: int, sleep: Callable[[float], None]
) -> None:
    """Return once controller `number` is gone; FencedError when it lives."""
    claim = read_note(store, Claim, _claim_key(sweep, number))
    if claim.is_gone():
        return
    here = ProcessIdentity.current()
    if claim.place and here.boot and (claim.place.host, claim.place.boot) == (here.host, here.boot):
        raise _held(sweep, claim)

    def beats() -> int:
        return last_number(store.exists, lambda n: _beat_key(sweep, number, n))

    before, waited = beats(), 0.0
    log.event("watching for a sign of the controller that has the sweep", seconds=WATCH_SECONDS)
    while waited < WATCH_SECONDS:
        sleep(BEAT_SECONDS / 2)
        waited += BEAT_SECONDS / 2
        if store.exists(_ending_key(sweep, number)):
            return
        if beats() > before:
            raise _held(sweep, claim)


def _held(sweep: str, claim: Claim) -> FencedError:
    return FencedError(
        f"Sweep {sweep} is being carried out by {_where(claim)} since {claim.started_at}; wait for it: make wait "
        f"SWEEP={sweep}."
    )


def _where(claim: Claim) -> str:
    if claim.pod:
        return f"pod {claim.pod} on {claim.node}"
    return f"process {claim.place.pid} on {claim.place.host}" if claim.place else "another process"


def _beat(store: ObjectStore, sweep: str, number: int, stop: threading.Event) -> None:
    beat, pause = 1, 0.0
    while not stop.wait(pause):
        pause = BEAT_SECONDS
        try:
            store.create(_beat_key(sweep, number, beat), canonical_json({"at": _now()}))
        except FingptError as fault:
            log.warning("heartbeat not stored", reason=str(fault))
        else:
            beat += 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _claim_key(sweep: str, n: int) -> str:
    return f"{sweep_prefix(sweep)}/controllers/claims/{n:06d}.json"


def _beat_key(sweep: str, number: int, n: int) -> str:
    return f"{sweep_prefix(sweep)}/controllers/heartbeats/{number:06d}/{n:06d}.json"


def _ending_key(sweep: str, n: int) -> str:
    return f"{sweep_prefix(sweep)}/controllers/endings/{n:06d}.json"
