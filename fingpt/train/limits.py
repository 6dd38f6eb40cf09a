"""Limits of a training: records in the bucket that say how far it may go, and what it had reached there.

Whoever searches over runs writes `limits/<k>.json`, numbered from 1; the newest counts. At the first optimizer step
that reaches it the trainer evaluates, commits a checkpoint, writes `<k>-reached.json`, and ends its attempt: the run is
paused, neither complete nor failed. A newer limit lets it go on from that checkpoint, with the bytes of a training that
was never paused. A run without limits is asked once, at its start, whether it has any. Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from fingpt import log
from fingpt.config import RunConfig
from fingpt.errors import ConfigError, FencedError, StorageError, TransientError
from fingpt.record import Frozen
from fingpt.runs.manifest import SCHEMA_VERSION, decode, encode
from fingpt.runs.run import Run, Stage, last_number, stage_prefix
from fingpt.storage import ObjectStore

LOOK_SECONDS = 10.0
"""Least time between two looks for a newer limit while a training runs."""


class Limit(Frozen):
    """Train until `tokens` tokens of prompts and answers were seen, of all epochs together; None is to the end."""

    schema_version: int = SCHEMA_VERSION
    n: Annotated[int, Field(ge=1)]
    tokens: Annotated[int, Field(ge=0)] | None


class Reached(Frozen):
    """Where limit `n` paused a training: optimizer step, tokens seen, and the mean loss of the validation rows in nats
    per answer token.
    """

    schema_version: int = SCHEMA_VERSION
    n: int
    step: int
    tokens: int
    eval_loss: float

    @property
    def sentence(self) -> str:
        """What a person is told of it."""
        return (
            f"Paused at its limit, after step {self.step} ({self.tokens:,} tokens, validation loss "
            f"{self.eval_loss:.4f}); its checkpoint is committed, and its sweep says whether it goes on."
        )


def limit_key(run_id: str, n: int) -> str:
    """Limit n (from 1) of a run."""
    return f"{stage_prefix(run_id, Stage.TRAIN)}/limits/{n:06d}.json"


def reached_key(run_id: str, n: int) -> str:
    """What a training had reached when limit n paused it."""
    return f"{stage_prefix(run_id, Stage.TRAIN)}/limits/{n:06d}-reached.json"


def newest_limit(store: ObjectStore, run_id: str) -> Limit | None:
    """The limit that counts, None for a run without any; StorageError naming a record that is torn or another's."""
    n = last_number(store.exists, lambda n: limit_key(run_id, n))
    return _limit(store, run_id, n) if n else None


def set_limit(store: ObjectStore, run_id: str, tokens: int | None) -> Limit | None:
    """Let a run train up to `tokens`, or to its end; writes nothing where this holds already.

    Returns the limit that counts, None where there is none because none is needed. FencedError when somebody else
    sets limits of this run at the same time.
    """
    newest = newest_limit(store, run_id)
    if (newest.tokens if newest else None) == tokens:
        return newest
    limit = Limit(n=newest.n + 1 if newest else 1, tokens=tokens)
    key = limit_key(run_id, limit.n)
    if not store.create(key, encode(limit)) and _limit(store, run_id, limit.n) != limit:
        raise FencedError(
            f"Another process sets limits of {run_id} ({key}); this one stops. Run one sweep of it at a time."
        )
    return limit


def paused(store: ObjectStore, run: Run) -> Reached | None:
    """Where the newest limit has paused a run; None when it has not, or when there is none.

    StorageError naming a record that is torn or another's.
    """
    newest = newest_limit(store, run.id)
    return reached(store, run.id, newest.n) if newest else None


def reached(store: ObjectStore, run_id: str, n: int) -> Reached | None:
    """What a training had reached at limit n, None while it has not; errors as `paused`."""
    key = reached_key(run_id, n)
    if not store.exists(key):
        return None
    found = decode(Reached, store.read(key), key)
    if found.n != n:
        raise StorageError(f"{key} holds what was reached at limit {found.n}; restore the object.")
    return found


def record_reached(store: ObjectStore, run_id: str, found: Reached) -> Reached:
    """Write what was reached, and read it back; what an earlier attempt wrote stays and is returned."""
    key = reached_key(run_id, found.n)
    store.create(key, encode(found))
    return decode(Reached, store.read(key), key)


def require_limits(config: RunConfig) -> None:
    """ConfigError when a training of `config` cannot be paused: DeepSpeed's state is pickled, so none of it is kept."""
    if config.train.zero_stage is not None:
        raise ConfigError(
            f"train.zero_stage={config.train.zero_stage} uses DeepSpeed, which keeps no checkpoints, so a training "
            "cannot be paused and go on: leave train.zero_stage out, or search without pruning."
        )


class LimitWatch:
    """The limit that one training obeys; `look` brings the newest, on the rank that asks the bucket, else None.

    `tokens_after` gives the tokens seen by the end of an optimizer step (from 1). What `exceeded` says on the asking
    rank is to be told the others.
    """

    def __init__(
        self,
        limit: Limit,
        tokens_after: Callable[[int], int],
        look: Callable[[], Limit | None] | None,
        seconds: float | None = None,
    ) -> None:
        self.limit, self._tokens_after, self._look = limit, tokens_after, look
        self._seconds = LOOK_SECONDS if seconds is None else seconds
        self._looked = time.monotonic()

    def tokens_after(self, step: int) -> int:
        """Tokens seen by the end of `step`; none before the first."""
        return self._tokens_after(step) if step else 0

    def exceeded(self, step: int) -> bool:
        """Whether the training has to pause after `step`; looks for a newer limit where the last look is old."""
        if self._look is not None and time.monotonic() - self._looked >= self._seconds:
            self._refresh(self._look)
        return self.reached(step)

    def reached(self, step: int) -> bool:
        """The same by the limit that is known."""
        tokens = self.limit.tokens
        return tokens is not None and step > 0 and self.tokens_after(step) >= tokens

    def _refresh(self, look: Callable[[], Limit | None]) -> None:
        try:
            newest = look()
        except TransientError as fault:  # a store that is away must not end what trains
            log.warning("limits could not be read, the last one stays", reason=str(fault))
        else:
            self.limit = newest or self.limit
        self._looked = time.monotonic()


def _limit(store: ObjectStore, run_id: str, n: int) -> Limit:
    key = limit_key(run_id, n)
    found = decode(Limit, store.read(key), key)
    if found.n != n:
        raise StorageError(f"{key} holds limit {found.n}; restore the object.")
    return found
