"""How a training on several nodes ends, as one: with the error of the node that met it, wherever the others noticed.

A node whose rank is gone makes collectives fail on all others within milliseconds, and each would tell its own
consequence. So a node that fails leaves its ending in the bucket, and one that has only lost the others waits for
theirs. A verdict of any node is then every pod's exit code, and node 0's attempt ends with it. Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fingpt import log
from fingpt.errors import FingptError, Interrupted, StageFailedError, TransientError
from fingpt.runs.attempt import Ending, read_note
from fingpt.runs.nodes import (
    NodeEnding,
    cause,
    ending_of,
    sign_out,
    silent,
    whereabouts,
)
from fingpt.runs.run import Stage, attempt_key, complete_key
from fingpt.storage import ObjectStore
from fingpt.train.handoff import LostPeersError, TrainTask

ENDING_SECONDS = 30.0
"""How long a node that lost the others waits for their endings; a cluster then sees the cause's pod end first."""

UPLOAD_SECONDS = 1800.0
"""How long node 0 may take to upload what all have trained."""

_POLL_SECONDS = 1.0


@contextmanager
def joint_ending(store: ObjectStore, task: TrainTask) -> Iterator[None]:
    """Turn what ends this node's part into what ends the training; nothing on one node.

    StageFailedError with the code and the words of the node that caused it, TransientError naming the nodes that are
    gone without a word; the error itself where this node is the cause, or has joined no attempt.
    """
    try:
        yield
    except (FingptError, RuntimeError, KeyboardInterrupt) as error:
        attempt = _attempt(task)
        if task.node.count == 1 or not attempt:
            raise
        fault = _as_fault(error)
        lost = isinstance(error, LostPeersError)
        sign_out(store, task.run.id, attempt, task.node.rank, fault, lost=lost)
        if not lost:
            raise
        raise _joint(store, task, attempt, fault) from None


def await_node_0(store: ObjectStore, task: TrainTask) -> None:
    """Return once node 0 has finished the stage.

    Raises StageFailedError with node 0's code when its attempt ends otherwise, TransientError when it is silent for
    UPLOAD_SECONDS.
    """
    attempt, waited = _attempt(task), 0.0
    while waited < UPLOAD_SECONDS:
        if store.exists(complete_key(task.run.id, Stage.TRAIN)):
            return
        ending = read_note(store, Ending, attempt_key(task.run.id, Stage.TRAIN, attempt))
        if ending.code:
            raise StageFailedError(f"Node 0 ended: {ending.message}", ending.code)
        time.sleep(_POLL_SECONDS)
        waited += _POLL_SECONDS
    raise TransientError(
        f"All steps are done, but node 0 has not finished the stage within {UPLOAD_SECONDS:.0f} s; the same command "
        "resumes from the last checkpoint."
    )


def _joint(store: ObjectStore, task: TrainTask, attempt: int, fault: FingptError) -> FingptError:
    """The error of the node that caused this one's loss, as soon as it has left it."""
    others = [node for node in range(task.node.count) if node != task.node.rank]
    endings: dict[int, NodeEnding] = {}
    log.event("the other nodes are lost; waiting for how they ended", seconds=ENDING_SECONDS)
    end = time.monotonic() + ENDING_SECONDS
    while True:
        endings = {node: ending_of(store, task.run.id, attempt, node) for node in others}
        found = cause(endings)
        if found is not None:
            where = whereabouts(store, task.run.id, attempt, found)
            return StageFailedError(
                f"{where[:1].upper()}{where[1:]} ended: {endings[found].message}",
                endings[found].code or TransientError.exit_code,
            )
        if time.monotonic() > end:
            break
        time.sleep(_POLL_SECONDS)
    gone = [whereabouts(store, task.run.id, attempt, node) for node in silent(endings, others)]
    if not gone:
        return fault
    return TransientError(
        f"{', '.join(gone)[:1].upper()}{', '.join(gone)[1:]} left without a word: killed, most likely out of memory, "
        "or its machine is gone; the same command resumes from the last checkpoint."
    )


def _attempt(task: TrainTask) -> int:
    """The attempt that this node works in, 0 while it has joined none."""
    if task.attempt:
        return task.attempt
    return int(task.joined.read_text(encoding="ascii")) if task.joined.is_file() else 0


def _as_fault(error: BaseException) -> FingptError:
    if isinstance(error, FingptError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Stopped; what was committed stays, the same command resumes.")
    return FingptError(str(error))
