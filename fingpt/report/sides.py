"""One side of a comparison: the outputs of a model's finished runs, and why two sides may not be compared.

Reads no store (`inputs` does) and computes no score. What leaks forbid is `leaks`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fingpt.config import CompareConfig
from fingpt.leaks import Touched
from fingpt.models import ModelSpec
from fingpt.report.leaks import leaks
from fingpt.report.score_arrays import ScoreArrays
from fingpt.runs.manifest import (
    DatasetManifest,
    EvalManifest,
    Finding,
    TrainManifest,
    VariantScores,
)

_MODELS_OWN = frozenset({"stop_ids", "pad_id"})
"""Decoding settings that differ because the tokenizers do."""
_SPEED_ONLY = frozenset({"batch_size"})
"""Decoding settings that change how fast answers come, not which answers come."""
LEAST_READ, UNREAD_GAP = 0.95, 0.02
"""Shares of answers that can be read: the least of either model, and the largest gap between two."""
_MEASURED = frozenset({"peak_memory_bytes"})
"""Entries of `hardware` that are measured on a machine and do not describe it."""


@dataclass(frozen=True)
class Step:
    """One optimizer step: mean training loss and, where it was measured, the loss on held-out rows (nats per token)."""

    step: int
    loss: float | None
    eval_loss: float | None


@dataclass(frozen=True, eq=False)
class Side:
    """A model's finished runs. `title` is what tables and charts call it; `arrays` maps `base` and `tuned` to answers.

    A walk-forward has a run for each origin, and its answers are pooled: `datasets` are those of all origins, `origin`
    says which each row is of. `others`: the scored answers of the same model's other training seeds, over the same
    rows. `other_curves`: loss curves of the runs after the first. Everything else, timings among it, is of the first.

    An arm of an ablation (`arms`) has the first side's ids: `aliases` are those by its own, `asks` the data sets whose
    questions its rows ask. `references`: hash of the reference answers in that order.
    """

    runs: tuple[str, ...]
    title: str
    model: ModelSpec
    seed: int
    dataset: DatasetManifest
    adapter: TrainManifest
    evaluation: EvalManifest
    arrays: Mapping[str, ScoreArrays]
    curve: tuple[Step, ...]
    compare: CompareConfig = field(default_factory=CompareConfig)
    others: tuple[Mapping[str, ScoreArrays], ...] = ()
    other_curves: tuple[tuple[Step, ...], ...] = ()
    datasets: tuple[DatasetManifest, ...] = ()
    origin: NDArray[np.int64] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[str, ...] = ()
    references: str = ""

    @property
    def every_dataset(self) -> tuple[DatasetManifest, ...]:
        """The data sets of all origins; one where there is no walk-forward."""
        return self.datasets or (self.dataset,)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the linter found in any of them, each once."""
        return tuple(dict.fromkeys(f for data in self.every_dataset for f in data.findings))

    def leaks(self) -> dict[Touched, str]:
        """What leaks of the data spoil → why, as a verdict prints it."""
        return leaks(self.every_dataset, self.tuned)

    def seeds(self, variant: str) -> tuple[ScoreArrays, ...]:
        """The scored answers of every training seed; a base has no seeds, and one copy."""
        others = self.others if variant == "tuned" else ()
        return (self.arrays[variant], *(other[variant] for other in others))

    @property
    def tuned(self) -> ScoreArrays:
        """Scored answers of the tuned model."""
        return self.arrays["tuned"]

    @property
    def scores(self) -> VariantScores:
        """The tuned model's scores as eval wrote them."""
        return self.evaluation.scores["tuned"]

    @property
    def train_seconds(self) -> float:
        """Seconds of the whole train stage."""
        return total(self.adapter.seconds)

    @property
    def step_seconds(self) -> float | None:
        """Seconds of the optimizer steps alone: no loading, no evaluation, no checkpoints. None where not timed."""
        return self.adapter.seconds.get("steps")

    @property
    def eval_seconds(self) -> float:
        """Seconds of all phases of evaluating the tuned model."""
        return total(self.scores.seconds)


@dataclass(frozen=True)
class Obstacles:
    """Why figures of two sides must not be compared; an empty text means that they may.

    `rows`: for every score. `leaks`: for the scores that a leak touches. `decoding`: for scores of generated text.
    `references`: for likeness to the reference answers. `unread`: for scores that count an unread answer as something.
    `speed`, `training`: for timings. `loss`: for the loss, on top of `rows`.
    """

    rows: str = ""
    leaks: Mapping[Touched, str] = field(default_factory=dict)
    decoding: str = ""
    references: str = ""
    unread: str = ""
    speed: str = ""
    training: str = ""
    loss: str = ""

    def against(
        self,
        rows: Literal["all", "both", "scored"],
        touch: Touched | None,
        needs: Literal["loss", "decoding", ""],
    ) -> str:
        """What forbids comparing a metric over these rows that such a leak spoils and that needs this besides."""
        own = {"loss": self.loss, "decoding": self.decoding, "": ""}[needs]
        leak = self.leaks.get(touch, "") if touch else ""
        other = self.references if touch == "text" else ""
        return self.rows or leak or other or own or (self.unread if rows == "all" and touch else "")


def total(seconds: Mapping[str, float]) -> float:
    """Seconds of all phases; where a phase `total` was timed, that."""
    return seconds.get("total", sum(seconds.values()))


def phases(seconds: Mapping[str, float]) -> dict[str, float]:
    """Phases that do not overlap and add up to `total`.

    A trainer times `train` as a whole and `steps`, `checkpoints` and `evaluations` on held-out rows inside it; one that
    did not time the last spent on them what is left. What no phase covers is `other`.
    """
    found = {name: spent for name, spent in seconds.items() if name != "total"}
    evaluations = found.pop("evaluations", None)
    if "train" in found and "steps" in found:
        left = found.pop("train")
        for name in ("steps", "checkpoints"):
            if name in found:
                found[name] = min(found[name], left)
                left -= found[name]
        found["held-out loss"] = left if evaluations is None else min(evaluations, left)
    rest = total(seconds) - sum(found.values())
    return {**found, "other": rest} if rest > 0.01 * total(seconds) else found


def obstacles(first: Side, second: Side) -> Obstacles:
    """The reasons why two sides cannot be compared fairly, in a few words each."""
    same_rows = _rows(first, second)
    one, two = first.evaluation, second.evaluation
    decoding = _difference("decoding", one.decoding, two.decoding, _MODELS_OWN | _SPEED_ONLY)
    machine = _difference("hardware", one.hardware, two.hardware, _MEASURED)
    resumed = [side for side in (first, second) if side.adapter.resumed]
    other = first.references != second.references and not same_rows
    references = "the reference answers are not the same" if other else ""
    return Obstacles(
        rows=same_rows,
        leaks={**second.leaks(), **first.leaks()},
        decoding=decoding,
        references=references,
        unread=unread(first.seeds("tuned"), second.seeds("tuned")),
        speed=machine or _difference("decoding", one.decoding, two.decoding, _MODELS_OWN),
        training=_difference("hardware", first.adapter.hardware, second.adapter.hardware, _MEASURED)
        or (f"training of {resumed[0].title} was interrupted and resumed" if resumed else ""),
        loss=(references or _tokens(first.tuned, second.tuned)) if not same_rows else "",
    )


def own_obstacles(side: Side) -> Obstacles:
    """The reasons why a tuned model cannot be compared with its own base."""
    base, tuned = side.arrays["base"], side.tuned
    return Obstacles(
        rows="" if base.example == tuned.example else "different test rows",
        leaks=side.leaks(),
        unread=unread([base], side.seeds("tuned")),
    )


def unread(first: Sequence[ScoreArrays], second: Sequence[ScoreArrays]) -> str:
    """Why scores that count an unread answer as a wrong one say nothing of skill; empty where nearly all were read."""
    one, two = (read_share(side) for side in (first, second))
    if abs(one - two) <= UNREAD_GAP and min(one, two) >= LEAST_READ:
        return ""
    return f"{one * 100:.1f} % and {two * 100:.1f} % of the answers can be read"


def read_share(seeds: Sequence[ScoreArrays]) -> float:
    """Share of the answers that were asked for, of all seeds, that can be read."""
    asked = sum(float(scores.asked.sum()) for scores in seeds)
    read = sum(float((scores.valid * scores.asked).sum()) for scores in seeds)
    return read / asked if asked else 1.0


def _rows(first: Side, second: Side) -> str:
    if first.tuned.n != second.tuned.n:
        return f"{first.tuned.n} and {second.tuned.n} test rows"
    one, two = (
        side.asks or tuple(data.id for data in side.every_dataset) for side in (first, second)
    )
    if one != two:
        return f"different data sets ({first.dataset.id[:8]} and {second.dataset.id[:8]})"
    if first.tuned.example != second.tuned.example:
        return "different test rows"
    if first.compare != second.compare:
        return "the runs were frozen with different primary questions (compare)"
    return ""


def _tokens(first: ScoreArrays, second: ScoreArrays) -> str:
    one, two = first.answer_tokens.sum(), second.answer_tokens.sum()
    if one == two:
        return ""
    return f"the reference answers have {one:,.0f} and {two:,.0f} tokens"


def _difference(
    what: str, first: Mapping[str, object], second: Mapping[str, object], ignored: frozenset[str]
) -> str:
    for name in sorted((first.keys() | second.keys()) - ignored):
        if first.get(name) != second.get(name):
            return f"different {what} ({name}: {first.get(name)} and {second.get(name)})"
    return ""
