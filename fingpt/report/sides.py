"""One side of a comparison: everything that a finished run left behind, read and typed.

Knows when two sides may not be compared, and why; reads no store (`inputs` does) and computes no score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fingpt.manifest import AdapterManifest, DatasetManifest, EvalManifest, VariantScores
from fingpt.models import ModelSpec
from fingpt.report.rows import Rows

_MODELS_OWN = frozenset(
    {"stop", "stop_ids", "stop_tokens", "pad_id", "pad_token", "template_sha256"}
)
"""Decoding settings that differ because the tokenizers do; all others must be equal."""


@dataclass(frozen=True)
class Step:
    """One optimizer step: mean training loss and, where it was measured, the loss on held-out rows (nats per token)."""

    step: int
    loss: float | None
    eval_loss: float | None


@dataclass(frozen=True, eq=False)
class Side:
    """A finished run. `title` is what tables and charts call it; `rows` maps `base` and `tuned` to scored answers."""

    run: str
    title: str
    model: ModelSpec
    seed: int
    dataset: DatasetManifest
    adapter: AdapterManifest
    evaluation: EvalManifest
    rows: Mapping[str, Rows]
    curve: tuple[Step, ...]

    @property
    def tuned(self) -> Rows:
        """Scored answers of the tuned model."""
        return self.rows["tuned"]

    @property
    def scores(self) -> VariantScores:
        """The tuned model's scores as eval wrote them."""
        return self.evaluation.scores["tuned"]

    @property
    def train_seconds(self) -> float:
        """Seconds of all training phases together."""
        return total(self.adapter.seconds)

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
    """Seconds of all phases; a phase named `total` is the sum of the others."""
    return seconds.get("total", sum(seconds.values()))


def obstacles(first: Side, second: Side) -> Obstacles:
    """What stands between two runs and a fair comparison, in a few words each."""
    same_rows = _rows(first, second)
    decoding = _difference("decoding", first.evaluation.decoding, second.evaluation.decoding)
    return Obstacles(
        rows=same_rows,
        decoding=decoding,
        speed=_difference("hardware", first.evaluation.hardware, second.evaluation.hardware)
        or decoding,
        training=_difference("hardware", first.adapter.hardware, second.adapter.hardware),
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


def _tokens(first: Rows, second: Rows) -> str:
    one, two = first.answer_tokens.sum(), second.answer_tokens.sum()
    if one == two:
        return ""
    return f"the reference answers have {one:,.0f} and {two:,.0f} tokens"


def _difference(what: str, first: Mapping[str, object], second: Mapping[str, object]) -> str:
    for name in sorted((first.keys() | second.keys()) - _MODELS_OWN):
        if first.get(name) != second.get(name):
            return f"different {what} ({name}: {first.get(name)} and {second.get(name)})"
    return ""
