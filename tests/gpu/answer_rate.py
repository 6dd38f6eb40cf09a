"""How fast an engine answers on a GPU, on random weights of the 8B shape and prompts of real lengths.

Stop ids are ignored, so that each answer has as many tokens as real ones have on average. One engine a process:

    python -m tests.gpu.answer_rate FOLDER weights
    python -m tests.gpu.answer_rate FOLDER vllm [--rows 300]
    python -m tests.gpu.answer_rate FOLDER transformers --rows 32 --new-tokens 64
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.config import LoraConfig
from fingpt.eval import engine_vllm
from fingpt.eval.engine_transformers import TransformersEngine
from fingpt.eval.generate import Decoding
from fingpt.eval.model import load
from fingpt.eval.prompts import Prompt
from fingpt.weights.adapter import WEIGHTS, peft_arguments

LORA = LoraConfig(dropout=0.0)
# Prompt tokens of published rows: mean, standard deviation, least and most.
PROMPT = (1508, 350, 600, 2700)
# What they begin with, in tokens of Llama 3's vocabulary (300 test rows of 30 symbols): all with the system text, the
# ten of a symbol with what introduces the company.
SYSTEM, COMPANY, ROWS_OF_A_SYMBOL = 103, 123, 10


class AnyText:
    """A tokenizer for ids that mean nothing."""

    added_tokens_decoder: dict[int, Any] = {}  # noqa: RUF012

    def decode(self, ids, **_):
        return " ".join(map(str, ids))


def prompts(count: int) -> list[Prompt]:
    draw = random.Random(7)

    def text(tokens: int) -> list[int]:
        return [draw.randrange(1000, 100_000) for _ in range(tokens)]

    system = text(SYSTEM)
    companies = [text(COMPANY) for _ in range(-(-count // ROWS_OF_A_SYMBOL))]
    found = []
    for number in range(count):
        mean, spread, least, most = PROMPT
        length = min(max(round(draw.gauss(mean, spread)), least), most)
        ids = system + companies[number % len(companies)]
        ids += text(length - len(ids))
        example: Any = SimpleNamespace(id=f"{number:04d}", symbol=f"S{number}", period="")
        found.append(Prompt(example, tuple(ids), ()))
    return sorted(found, key=lambda prompt: -len(prompt.prompt_ids))


def make(folder: Path, shape: dict[str, Any], layers: int) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, dtype="bfloat16", **shape))
    model.save_pretrained(folder / "base", max_shard_size="2GB")
    weights = {}
    for name, module in model.named_modules():
        if name.endswith(LORA.targets):
            below = f"base_model.model.{name}.lora"
            weights[f"{below}_A.weight"] = torch.randn(LORA.r, module.in_features).float() * 0.01
            weights[f"{below}_B.weight"] = torch.randn(module.out_features, LORA.r).float() * 0.01
    (folder / "adapter").mkdir()
    save_file(weights, folder / "adapter" / WEIGHTS)
    settings = {"peft_type": "LORA", **peft_arguments(LORA)}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(settings))


def say(what: str, **figures: object) -> None:
    print(json.dumps({"what": what, **figures}), flush=True)


def measure(name: str, engine: Any, rows: list[Prompt], tokens: int, repeats: int) -> None:
    for variant in ("base", "tuned"):
        seen = []
        for _ in range(repeats):
            before = engine.start_seconds
            answers, seconds = engine.answers(variant, rows)
            seen.append([answer.prediction for answer in answers])
            made = sum(answer.new_tokens for answer in answers)
            assert made == tokens * len(rows)
            same = sum(one == two for one, two in zip(seen[0], seen[-1], strict=True))
            say(f"{name} answers {variant}", seconds=round(seconds, 2), rows=len(rows), new_tokens=made,
                tokens_per_second=round(made / seconds), weights_seconds=round(engine.start_seconds - before, 2),
                same_as_first=same)  # fmt: skip
        few, _ = engine.answers(variant, rows[:16])
        alone = [one.prediction == two for one, two in zip(few, seen[0], strict=False)]
        say(f"{name} 16 of them asked alone", variant=variant, same=sum(alone))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("weights", "vllm", "transformers"))
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--new-tokens", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--start-only", action="store_true")
    asked = parser.parse_args()
    base, adapter = asked.folder / "base", asked.folder / "adapter"
    if asked.what == "weights":
        from tests.gpu.random_base import LLAMA_31_8B

        return make(asked.folder, LLAMA_31_8B, asked.layers)
    rows = prompts(asked.rows)
    decoding = Decoding((), asked.new_tokens)
    begun = time.perf_counter()
    if asked.what == "transformers":
        model = load(base, adapter, torch.device("cuda"), torch.bfloat16, LORA)
        engine: Any = TransformersEngine(model, AnyText(), decoding)
        return measure("transformers", engine, rows, asked.new_tokens, asked.repeats)
    longest = max(len(row.prompt_ids) for row in rows) + asked.new_tokens + 32
    started = engine_vllm.VllmSettings(base, adapter, LORA, "bf16", longest, asked.folder / "cache")
    engine = engine_vllm.VllmEngine(started, AnyText(), decoding)
    engine.answers("base", rows[:1])
    say(
        "vllm started",
        seconds=round(engine.start_seconds, 1),
        all=round(time.perf_counter() - begun, 1),
    )
    if not asked.start_only:
        measure("vllm", engine, rows, asked.new_tokens, asked.repeats)
    return None


if __name__ == "__main__":
    main()
