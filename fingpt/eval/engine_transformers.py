"""The engine that runs everywhere: the model that measures the loss also answers, a batch at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from peft import PeftModel
from transformers import PreTrainedTokenizerFast

from fingpt.eval.generate import Answer, Decoding, generate_batch
from fingpt.eval.labels import LabelScores, LabelTree, label_logp
from fingpt.eval.model import Variant, active
from fingpt.eval.prompts import Prompt


@dataclass(frozen=True)
class TransformersEngine:
    """`model` with its adapter on for `tuned`, off for `base`; labels of `batch_size` prompts are scored at once."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerFast
    decoding: Decoding
    batch_size: int
    start_seconds: float = 0.0

    def settings(self) -> dict[str, str | int | float | bool]:
        """What its results depend on."""
        return {"engine": "transformers", "attention": "sdpa", "adapter": "unmerged"}

    def answers(self, variant: Variant, prompts: Sequence[Prompt]) -> tuple[list[Answer], float]:
        """An answer to each prompt, and the seconds that they took."""
        with active(self.model, variant) as model:
            return generate_batch(model, self.tokenizer, prompts, self.decoding)

    def labels(
        self, variant: Variant, prompts: Sequence[Prompt], tree: LabelTree
    ) -> tuple[list[LabelScores], float]:
        """Log-likelihoods of the continuations of `tree` after each prompt, and the seconds that they took."""
        start = time.perf_counter()
        with active(self.model, variant) as model:
            found = label_logp(model, prompts, tree, self.batch_size)
        return found, time.perf_counter() - start
