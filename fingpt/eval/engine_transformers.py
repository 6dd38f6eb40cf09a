"""The engine that runs everywhere: the model that measures the loss also answers, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peft import PeftModel
from transformers import PreTrainedTokenizerFast

from fingpt.eval.generate import Answer, Decoding, generate_batch
from fingpt.eval.model import Variant, active
from fingpt.eval.prompts import Prompt


@dataclass(frozen=True)
class TransformersEngine:
    """`model` with its adapter on for `tuned` and off for `base`."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerFast
    decoding: Decoding
    start_seconds: float = 0.0

    def settings(self) -> dict[str, str | int | float | bool]:
        """What its results depend on."""
        return {"engine": "transformers", "attention": "sdpa", "adapter": "unmerged"}

    def answers(self, variant: Variant, prompts: Sequence[Prompt]) -> tuple[list[Answer], float]:
        """An answer to each prompt, and the seconds that they took."""
        with active(self.model, variant) as model:
            return generate_batch(model, self.tokenizer, prompts, self.decoding)
