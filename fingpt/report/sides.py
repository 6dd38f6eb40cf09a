"""One side of a comparison: the outputs of a finished run, and why two sides may not be compared.

Reads no store (`inputs` does) and computes no score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fingpt.models import ModelSpec
from fingpt.report.score_arrays import ScoreArrays
from fingpt.runs.manifest import DatasetManifest, EvalManifest, TrainManifest, VariantScores

_MODELS_OWN = frozenset({"stop_ids", "pad_id"})
"""Decoding settings that differ because the tokenizers do."""
_SPEED_ONLY = frozenset({"batch_size"})
"""Decoding settings that change how fast answers come, not which answers come."""
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
    """A finished run. `title` is what tables and charts call it; `arrays` maps `base` and `tuned` to scored answers."""

    run: str
    title: str
    model: ModelSpec
    seed: int
    dataset: DatasetManifest
    adapter: TrainManifest
    evaluation: EvalManifest
    arrays: Mapping[str, ScoreArrays]
    curve: tuple[Step, ...]

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

    `rows`: for every score. `decoding`: for scores of generated text. `speed`, `training`: for timings. `loss`: for the
    loss, on top of `rows`.
    """

    rows: str = ""
    decoding: str = ""
    speed: str = ""
    training: str = ""
    loss: str = ""


def total(seconds: Mapping[str, float]) -> float:
    """Seconds of all phases; where a phase `total` was timed, that."""
    return seconds.get("total", sum(seconds.values()))


def phases(seconds: Mapping[str, float]) -> dict[str, float]:
    """Phases that do not overlap and add up to `total`.

    A trainer times `train` as a whole and `steps` and `checkpoints` inside it; what is left of it is evaluation on
    held-out rows. What no phase covers is `other`.
    """
    found = {name: spent for name, spent in seconds.items() if name != "total"}
    if "train" in found and "steps" in found:
        left = found.pop("train")
        for name in ("steps", "checkpoints"):
            if name in found:
                found[name] = min(found[name], left)
                left -= found[name]
        found["held-out loss"] = left
    rest = total(seconds) - sum(found.values())
    return {**found, "other": rest} if rest > 0.01 * total(seconds) else found


def obstacles(first: Side, second: Side) -> Obstacles:
    """The reasons why two runs cannot be compared fairly, in a few words each."""
    same_rows = _rows(first, second)
    one, two = first.evaluation, second.evaluation
    decoding = _difference("decoding", one.decoding, two.decoding, _MODELS_OWN | _SPEED_ONLY)
    machine = _difference("hardware", one.hardware, two.hardware, _MEASURED)
    resumed = [side for side in (first, second) if side.adapter.resumed]
    return Obstacles(
        rows=same_rows,
        decoding=decoding,
        speed=machine or _difference("decoding", one.decoding, two.decoding, _MODELS_OWN),
        training=_difference("hardware", first.adapter.hardware, second.adapter.hardware, _MEASURED)
        or (f"training of {resumed[0].title} was interrupted and resumed" if resumed else ""),
        loss=_tokens(first.tuned, second.tuned) if not same_rows else "",
    )


def _rows(first: Side, second: Side) -> str:
    if first.tuned.n != second.tuned.n:
        return f"{first.tuned.n} and {second.tuned.n} test rows"
    if first.dataset.id != second.dataset.id:
        return f"different data sets ({first.dataset.id[:8]} and {second.dataset.id[:8]})"
    if first.tuned.example != second.tuned.example:
        return "different test rows"
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
