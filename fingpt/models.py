"""The model table: a model is one row here, one golden render in the tests and one file in jobs/configs.

Two families of chat template are known. The two 8B models are the same architecture; the tiny ones have the same
families, special tokens and code path at a size that a CPU trains in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from fingpt.errors import ConfigError, nearest

Family = Literal["llama31", "deepseek-r1"]

LINEAR_LAYERS: tuple[str, ...] = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)


@dataclass(frozen=True, slots=True)
class Cutoff:
    """Until when a base may have read what happened.

    `stated`: the end of the training data as the vendor states it, None where it states none. `clean_from`: the first
    day that cannot have been in it. `source`: who says so, or why that day.
    """

    stated: date | None
    clean_from: date
    source: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One base model: where its weights come from and how it is spoken to.

    `revision` pins the hub commit (or the recipe version of a tiny model). `stop_tokens` end an answer, the first of
    them is the one that is trained; `pad_token` pads batches. `title` is what charts call the model. `licence` is the
    hub's word for the base's licence, `terms` what an adapter's user must know of it. `cutoff` is None for a base that
    never read anything of the world.
    """

    key: str
    title: str
    base: str
    revision: str
    family: Family
    stop_tokens: tuple[str, ...]
    pad_token: str
    licence: str
    terms: str
    cutoff: Cutoff | None = None
    tiny: bool = False
    lora_targets: tuple[str, ...] = LINEAR_LAYERS

    @property
    def base_prefix(self) -> str:
        """Bucket prefix of the base weights."""
        return f"models/{self.base}@{self.revision}"


_LLAMA_STOPS = ("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>")
_LLAMA_PAD = "<|finetune_right_pad_id|>"
_LLAMA_TERMS = (
    "The Llama 3.1 Community License applies, also to what is made from it: pass a copy of it on, show 'Built with "
    "Llama', and begin the name of a published model with 'Llama'."
)
_DEEPSEEK_STOPS = ("<｜end▁of▁sentence｜>",)
_DEEPSEEK_PAD = "<｜▁pad▁｜>"

MODELS: dict[str, ModelSpec] = {
    spec.key: spec
    for spec in (
        ModelSpec(
            key="llama31",
            title="Llama-3.1-8B",
            base="meta-llama/Llama-3.1-8B-Instruct",
            revision="0e9e39f249a16976918f6564b8830bc894c89659",
            family="llama31",
            stop_tokens=_LLAMA_STOPS,
            pad_token=_LLAMA_PAD,
            licence="llama3.1",
            terms=_LLAMA_TERMS,
            cutoff=Cutoff(
                date(2023, 12, 31),
                date(2024, 1, 1),
                "Meta's model card of Llama 3.1: pretraining data up to December 2023",
            ),
        ),
        ModelSpec(
            key="deepseek-r1",
            title="DeepSeek-R1-Distill-Llama-8B",
            base="deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
            revision="6a6f4aa4197940add57724a7707d069478df56b1",
            family="deepseek-r1",
            stop_tokens=_DEEPSEEK_STOPS,
            pad_token=_DEEPSEEK_PAD,
            licence="mit",
            terms=f"The base is under the MIT licence; it was made from Llama-3.1-8B. {_LLAMA_TERMS}",
            cutoff=Cutoff(
                None,
                date(2025, 2, 1),
                "no cutoff of its teacher is published; the distilled weights were released on 20 January 2025",
            ),
        ),
        ModelSpec(
            key="tiny-llama31",
            title="tiny Llama-3.1",
            base="fingpt-jobs/tiny-llama31",
            revision="v2",
            family="llama31",
            stop_tokens=_LLAMA_STOPS,
            pad_token=_LLAMA_PAD,
            licence="mit",
            terms="The base is made by this project, from invented text.",
            tiny=True,
        ),
        ModelSpec(
            key="tiny-deepseek-r1",
            title="tiny DeepSeek-R1",
            base="fingpt-jobs/tiny-deepseek-r1",
            revision="v2",
            family="deepseek-r1",
            stop_tokens=_DEEPSEEK_STOPS,
            pad_token=_DEEPSEEK_PAD,
            licence="mit",
            terms="The base is made by this project, from invented text.",
            tiny=True,
        ),
    )
}


def spec(key: str) -> ModelSpec:
    """The row of `key`; ConfigError names the nearest one when there is none."""
    if key not in MODELS:
        raise ConfigError(f"Model '{key}' is not in the model table; {nearest(key, MODELS)}")
    return MODELS[key]
