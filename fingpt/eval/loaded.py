"""Base, adapter and tokenizer in memory, and what every score of them depends on; which rows are scored is others'."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch

from fingpt import hardware
from fingpt.eval.caches import compiled_cache, tell_compilers
from fingpt.eval.engine import settled
from fingpt.eval.inputs import Inputs, fetch_adapter
from fingpt.eval.model import Variant, load
from fingpt.eval.prompts import Prompt
from fingpt.eval.scoring import ScoredBy, Scoring, score_by
from fingpt.prompts.chat import load_tokenizer, render_all
from fingpt.prompts.examples import Example
from fingpt.record import FileRef, canonical_json
from fingpt.runs.manifest import EngineChoice
from fingpt.runs.stage import Context
from fingpt.weights.contents import open_base


class Loaded:
    """The tokenizer at once, the model by `load_model`: rows that are read before it are refused before weights are.

    `dropped_news`: news items that were left out so far to fit prompts into `train.max_tokens`. `scoring`: what makes
    losses and label scores of the loaded model; which it is, `choice` keeps.
    """

    model: Any = None
    scoring: Scoring
    choice: EngineChoice
    choice_file: FileRef

    def __init__(self, ctx: Context, inputs: Inputs) -> None:
        self.ctx, self.inputs, self.settings = ctx, inputs, ctx.run.config.eval
        self.folder = open_base(ctx.store, inputs.spec, ctx.environment.cache)
        self.tokenizer = load_tokenizer(self.folder)
        self.dropped_news = 0
        self.precision = hardware.resolve_precision(self.settings.precision, "eval.precision")
        self._scored: tuple[ScoredBy | None, str] = (None, "")
        tell_compilers(compiled_cache(ctx.environment.cache, ctx.scratch))

    def settle(self, here: Callable[[], EngineChoice]) -> None:
        """Read the run's stored choice, or make it: the engine of `here`, and the scoring that works on this machine.

        A choice that is made leaves the model loaded. SetupError where what was chosen cannot be had here.
        """

        def found() -> EngineChoice:
            engine = here()
            self.load_model()
            by, why = self._scored
            return engine.model_copy(update={"scoring": by, "scoring_why": why})

        self.choice, self.choice_file = settled(self.ctx.store, self.ctx.run.id, found)
        before, self._scored = self._scored[0], (self.choice.scoring, "")
        if before not in (None, self.choice.scoring):
            self.load_model()  # another process chose first, and otherwise

    def load_model(self) -> None:
        """Load base and adapter onto the device; DataError where they do not fit together."""
        self.model = load(
            self.folder,
            fetch_adapter(self.ctx, self.inputs),
            hardware.device(),
            hardware.dtype(self.precision),
            self.ctx.run.config.train.lora,
        )
        size, kept = self.settings.batch_size, self._scored[0]
        self.scoring, by, why = score_by(self.model, self.precision, size, kept)
        self._scored = (by, why)

    def release_model(self) -> None:
        """Give the memory of the loaded model back."""
        del self.model, self.scoring
        gc.collect()
        torch.cuda.empty_cache()

    def prompts(self, examples: list[Example]) -> list[Prompt]:
        """The examples as this model reads them."""
        found = []
        most = self.ctx.run.config.train.max_tokens
        rendered = render_all(self.inputs.spec, self.tokenizer, examples, most)
        for example, one in zip(examples, rendered, strict=True):
            self.dropped_news += one.dropped_news
            found.append(Prompt(example, one.prompt_ids, one.answer_ids))
        return found

    def decoding_settings(self) -> dict[str, str | int | float | bool]:
        """How scores are computed, for the manifest and for the identity of chunks."""
        return {
            "engine": "transformers",
            "attention": "sdpa",
            "adapter": "unmerged",
            "scoring": self.choice.scoring,
            "precision": self.precision,
            "batch_size": self.settings.batch_size,
        }

    def identity(self, variant: Variant) -> list[str]:
        """What loss, labels and answers depend on, besides the prompts."""
        adapter = self.inputs.adapter_sha256 if variant == "tuned" else ""
        settings = canonical_json(self.decoding_settings()).decode()
        return [self.inputs.base.sha256, adapter, self.inputs.adapter.template_sha256, settings]


def answer_tokens(prompts: list[Prompt]) -> int:
    """Supervised tokens of the reference answers."""
    return sum(len(prompt.answer_ids) for prompt in prompts)
