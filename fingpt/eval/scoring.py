"""Losses and label scores of a loaded model: by transformers everywhere, by the fast layers on GPUs that have them.

Which it is, is found out with the loaded model, stored with the engine's choice, and kept by an evaluation that goes
on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from fingpt import log
from fingpt.config import ResolvedPrecision
from fingpt.errors import SetupError
from fingpt.eval.labels import LabelScores, LabelTree, label_logp
from fingpt.eval.loss import answer_nll
from fingpt.eval.model import Variant, active
from fingpt.eval.packed import PACK_TOKENS
from fingpt.eval.prompts import Prompt
from fingpt.train.fast.card import AMPERE, FAULTS, HOPPER, lack, short
from fingpt.train.fast.documents import Attention, FlashAttention

FLASH = "PyTorch's FlashAttention over rows of different lengths"
KERNEL = "an own kernel over rows of different lengths"

Done = Callable[[int], None]
ScoredBy = Literal["transformers", "fast"]


class Scoring(Protocol):
    """Both variants of one model; `done` is called with the number of prompts that were scored."""

    def losses(self, variant: Variant, prompts: Sequence[Prompt], done: Done) -> dict[str, float]:
        """As `fingpt.eval.loss.answer_nll`."""

    def labels(
        self,
        variant: Variant,
        prompts: Sequence[Prompt],
        tree: LabelTree,
        done: Done,
        *,
        answers: bool = False,
    ) -> list[LabelScores]:
        """As `fingpt.eval.labels.label_logp`; with `answers`, their losses too where one pass gives both."""


@dataclass(frozen=True)
class TransformersScoring:
    """By transformers' layers and PEFT's adapters, `batch_size` padded rows at a time."""

    model: Any
    batch_size: int

    def losses(self, variant: Variant, prompts: Sequence[Prompt], done: Done) -> dict[str, float]:
        """As Scoring."""
        with active(self.model, variant) as model:
            return answer_nll(model, prompts, self.batch_size, done)

    def labels(
        self,
        variant: Variant,
        prompts: Sequence[Prompt],
        tree: LabelTree,
        done: Done,
        *,
        answers: bool = False,  # noqa: ARG002 - a pass for each is what padded batches have
    ) -> list[LabelScores]:
        """As Scoring; labels alone."""
        with active(self.model, variant) as model:
            return label_logp(model, prompts, tree, self.batch_size, done)


def fast_scoring(model: Any, precision: ResolvedPrecision) -> tuple[Scoring | None, str]:
    """The fast layers over a loaded PEFT model, after a trial, and their attention; None and why there are none."""
    from fingpt.train.fast.model import misfit

    reason = lack(AMPERE, precision) or misfit(model)
    if reason:
        return None, reason
    try:
        from fingpt.eval.branches import BranchAttention, flash_across
        from fingpt.eval.scoring_fast import FastScoring
        from fingpt.train.fast.elementwise import fused
        from fingpt.train.fast.kernels import kernels
        from fingpt.train.fast.run import Means

        base = model.get_base_model()
        width = int(base.model.layers[0].self_attn.head_dim)
        heads = (base.config.num_attention_heads, base.config.num_key_value_heads)
        inner, which = _attention(width, heads)
        attention = BranchAttention(inner, flash_across, width**-0.5)
        found = FastScoring(model, Means(attention, fused(), kernels()))
        found.rehearse()
        return found, which
    except FAULTS as fault:
        said = short(fault)
        if isinstance(fault, torch.OutOfMemoryError):
            said = f"too little memory for {PACK_TOKENS} tokens at once"
        log.warning("fast layers do not work here, losses and labels are slower", reason=said)
        return None, said


def _attention(width: int, heads: tuple[int, int]) -> tuple[Attention, str]:
    """The attention within documents on this card, for `heads` of queries and keys, and what it is, in words."""
    scale = width**-0.5
    if torch.cuda.get_device_capability() < HOPPER:
        return FlashAttention(scale), f"{FLASH}: the card is older than Hopper"
    try:
        from fingpt.eval.attention_kernel import tried

        return tried(scale, heads, width), KERNEL
    except torch.OutOfMemoryError:
        raise
    except FAULTS as fault:
        return FlashAttention(scale), f"{FLASH}: the own kernel does not work, {short(fault)}"


def score_by(
    model: Any, precision: ResolvedPrecision, batch_size: int, kept: ScoredBy | None
) -> tuple[Scoring, ScoredBy, str]:
    """What scores `model`, its name for the store, and what and why it is, in words.

    `kept`: the name that the evaluation began with, if it goes on; SetupError where that cannot be had here.
    """
    plain = TransformersScoring(model, batch_size)
    if kept == "transformers":
        return plain, kept, ""
    fast, why = fast_scoring(model, precision)
    if fast is not None:
        return fast, "fast", why
    if kept == "fast":
        raise SetupError(
            f"Losses and labels of this evaluation were begun with the fast layers, which do not work here ({why}): "
            "go on where they do, or delete all that eval stored of this run and run it again."
        )
    return plain, "transformers", why
