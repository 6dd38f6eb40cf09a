"""How fast losses and label scores of 300 rows are on a GPU, and how near both ways are to fp32, on random 8B weights.

    python -m tests.gpu.score_rate [--rows 300] [--layers 32] [--profile] [--cudnn]

Lengths, and what rows begin with, are those of published rows. One line for each measurement; the last ones compare
with fp32.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.eval.labels import LabelTree
from fingpt.eval.prompts import Prompt
from fingpt.eval.scoring import Scoring, TransformersScoring, fast_scoring
from fingpt.weights.adapter import peft_arguments
from tests.gpu.answer_rate import LORA, prompts, say
from tests.gpu.random_base import LLAMA_31_8B

ANSWER = 384
# Two directions, six sizes each, as a tokenizer splits " up by 2-3%\n": 52 nodes.
TREE = LabelTree.of(
    (58, 60, 41, 50, 60, 93, 72, 25),
    [(700 + way, 555, 200 + size, 12, 300 + size, 4, 198) for way in (0, 1) for size in range(6)],
)


def answered(rows: list[Prompt]) -> list[Prompt]:
    draw = random.Random(11)
    return [
        Prompt(
            row.example, row.prompt_ids, tuple(draw.randrange(1000, 100_000) for _ in range(ANSWER))
        )
        for row in rows
    ]


def model(layers: int) -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        config = LlamaConfig(num_hidden_layers=layers, dtype="bfloat16", **LLAMA_31_8B)
        base = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    tuned = peft.PeftModel(base, peft.LoraConfig(**peft_arguments(LORA), inference_mode=True))
    for name, weight in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.01)
    return tuned.to("cuda").eval()


def timed(what: str, scoring: Scoring, rows: list[Prompt], variant: Any) -> Any:
    """Labels and losses in the order of `rows`, as one matrix each: out of one pass where there is one for both."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    alone = scoring.labels(variant, rows, TREE, lambda _: None)
    between = time.perf_counter()
    losses = scoring.losses(variant, rows, lambda _: None)
    end = time.perf_counter()
    one_pass = not isinstance(scoring, TransformersScoring)
    both = scoring.labels(variant, rows, TREE, lambda _: None, answers=True) if one_pass else []
    tokens = sum(len(row.prompt_ids) for row in rows)
    say(what, variant=variant, rows=len(rows), labels_seconds=round(between - start, 2),
        loss_seconds=round(end - between, 2), one_pass_for_both_seconds=round(time.perf_counter() - end, 2),
        prompt_tokens_per_second=round(tokens / (between - start)),
        loss_tokens_per_second=round((tokens + ANSWER * len(rows)) / (end - between)),
        peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 1))  # fmt: skip
    names = [row.example.id for row in rows]
    labels = {one.example: one.logp for one in alone}
    found = torch.tensor([labels[n] for n in names]), torch.tensor([losses[n] for n in names])
    if both:
        labels = {one.example: one.logp for one in both}
        losses = {one.example: one.nll or 0.0 for one in both}
        twice = torch.tensor([labels[n] for n in names]), torch.tensor([losses[n] for n in names])
        say(
            f"{what}: one pass against two",
            label_nats=largest(twice[0] - found[0]),
            label_mean=float((twice[0] - found[0]).abs().mean()),
            loss_share=largest((twice[1] - found[1]) / found[1]),
        )
        return twice
    return found


def largest(gap: torch.Tensor) -> float:
    return float(gap.abs().max())


def with_cudnn(tuned: Any) -> Scoring:
    """The fast layers with the attention that training has: faster, but it builds a graph for each shape."""
    from fingpt.eval.branches import BranchAttention, flash_across
    from fingpt.eval.scoring_fast import FastScoring
    from fingpt.train.fast.cudnn import CudnnAttention
    from fingpt.train.fast.elementwise import fused
    from fingpt.train.fast.kernels import kernels
    from fingpt.train.fast.run import Means

    scale = 128**-0.5
    attention = BranchAttention(CudnnAttention(scale), flash_across, scale)
    return FastScoring(tuned, Means(attention, fused(), kernels()))


def profile(what: str, scoring: Scoring, rows: list[Prompt]) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        scoring.labels("tuned", rows, TREE, lambda _: None, answers=True)
        torch.cuda.synchronize()
    print(what)
    print(
        seen.key_averages().table(sort_by="cuda_time_total", row_limit=14, max_name_column_width=70)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--plain-rows", type=int, default=32)
    parser.add_argument("--exact-rows", type=int, default=6)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--cudnn", action="store_true")
    asked = parser.parse_args()
    begun = time.perf_counter()
    tuned = model(asked.layers)
    rows = answered(prompts(asked.rows))
    say("made", seconds=round(time.perf_counter() - begun, 1), card=torch.cuda.get_device_name(),
        torch=torch.__version__, prompt_tokens=sum(len(row.prompt_ids) for row in rows))  # fmt: skip
    plain = TransformersScoring(tuned, 16)
    some = rows[:: max(len(rows) // asked.plain_rows, 1)][: asked.plain_rows]
    timed("transformers, first time", plain, some[:8], "tuned")
    by_plain = {
        variant: timed("transformers", plain, some, variant) for variant in ("tuned", "base")
    }
    if asked.profile:
        profile("transformers, 16 rows", plain, some[:16])
    start = time.perf_counter()
    fast, which = fast_scoring(tuned, "bf16")
    say(
        "fast layers",
        seconds=round(time.perf_counter() - start, 1),
        attention=which,
        found=fast is not None,
    )
    if fast is None:
        raise SystemExit(1)
    timed("fast, first time", fast, rows[:24], "tuned")
    for variant in ("tuned", "base"):
        labels, _ = timed("fast", fast, rows, variant)
        again = timed("fast, some", fast, some, variant)
        one, two = by_plain[variant]
        places = [rows.index(row) for row in some]
        say(
            "fast against transformers",
            variant=variant,
            label_nats=largest(again[0] - one),
            label_mean=float((again[0] - one).abs().mean()),
            loss_share=largest((again[1] - two) / two),
            label_nats_of_other_packs=largest(labels[places] - again[0]),
        )
    if asked.profile:
        profile("fast, 16 rows", fast, some[:16])
    if asked.cudnn:
        other = with_cudnn(tuned)
        for _ in range(2):
            timed("fast with cuDNN's attention", other, rows, "tuned")
        del other
    few = some[: asked.exact_rows]
    found = {
        name: timed(name, way, few, "tuned") for name, way in (("plain", plain), ("fast", fast))
    }
    exact = timed("fp32", TransformersScoring(tuned.float(), 2), few, "tuned")
    for name, (labels, losses) in found.items():
        say(
            f"{name} against fp32",
            label_nats=largest(labels - exact[0]),
            label_mean=float((labels - exact[0]).abs().mean()),
            loss_share=largest((losses - exact[1]) / exact[1]),
        )


if __name__ == "__main__":
    main()
