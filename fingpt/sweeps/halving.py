"""Successive halving: which trial goes on beyond its rung, decided from what is known at a place in a fixed order.

The asynchronous form, by promotion (Li et al. 2020, ASHA): every job of a study is a slot that trains one trial to its
next rung, or to its end. A slot takes the best paused trial that is among the best 1/`reduction` of its rung, the
highest rung first; else a new trial. Pure: what is known is handed in, so nothing depends on when it came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fingpt.config import RunConfig
from fingpt.errors import ConfigError
from fingpt.sweeps.definition import Pruning
from fingpt.train.limits import require_limits


@dataclass(frozen=True, slots=True)
class Slot:
    """One job: `trial` trains to its rung `rung` (from 0), or to its end where it has no more rungs."""

    trial: int
    rung: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a slot ended: paused at its rung, or complete, with its value in nats; or failed."""

    state: Literal["paused", "complete", "failed"]
    value: float | None = None


Known = Mapping[int, Outcome]
"""Place of a slot in the order → how it ended, for those that a decision may rest on."""


def rungs(pruning: Pruning | None, epoch_tokens: int, total_tokens: float) -> tuple[int, ...]:
    """Tokens at which a training of `total_tokens` pauses: fixed ones, all below its own total."""
    if pruning is None:
        return ()
    places: list[int] = []
    tokens = pruning.first * epoch_tokens
    while tokens < total_tokens:
        places.append(max(round(tokens), 1))
        tokens *= pruning.reduction
    return tuple(places)


def promotable(slots: Sequence[Slot | None], known: Known, reduction: int) -> Slot | None:
    """The next slot of the best paused trial that is among the best 1/`reduction` of its rung and waits there."""
    begun = {slot for slot in slots if slot}
    for rung, ranked in _by_rung(slots, known):
        for trial in ranked[: len(ranked) // reduction]:
            if Slot(trial, rung + 1) not in begun:
                return Slot(trial, rung + 1)
    return None


def last_resort(slots: Sequence[Slot | None], known: Known) -> Slot | None:
    """The best paused trial of the highest rung, where all is known and no trial is complete: one has to be.

    Fewer than `reduction` trials at a rung would otherwise all stay there.
    """
    if any(outcome.state == "complete" for outcome in known.values()):
        return None
    begun = {slot for slot in slots if slot}
    waiting = (
        Slot(trial, rung + 1)
        for rung, ranked in _by_rung(slots, known)
        for trial in ranked
        if Slot(trial, rung + 1) not in begun
    )
    return next(waiting, None)


def require_prunable(config: RunConfig, keys: Collection[str] = ()) -> None:
    """ConfigError when trials of `config` cannot be pruned, or not while the settings `keys` are searched."""
    require_limits(config)
    for key in keys:
        if key.startswith("prep."):
            raise ConfigError(
                f"pruning compares trials after equal numbers of tokens of one data set, and {key} in space makes "
                "several: search it without pruning, or take it out."
            )


def _by_rung(slots: Sequence[Slot | None], known: Known) -> list[tuple[int, list[int]]]:
    """Rungs, the highest first, each with its trials, the best first; trials that failed later on count nowhere."""
    failed = {_trial(slots, place) for place, end in known.items() if end.state == "failed"}
    found: dict[int, list[tuple[float, int]]] = {}
    for place, outcome in known.items():
        slot = slots[place]
        if slot and outcome.state == "paused" and slot.trial not in failed:
            assert outcome.value is not None
            found.setdefault(slot.rung, []).append((outcome.value, slot.trial))
    return [
        (rung, [trial for _, trial in sorted(found[rung])]) for rung in sorted(found, reverse=True)
    ]


def _trial(slots: Sequence[Slot | None], place: int) -> int | None:
    slot = slots[place]
    return slot.trial if slot else None
