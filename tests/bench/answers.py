"""Losses, answers and tokens of rows, beside plain calls of transformers, a row at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from fingpt import hardware
from fingpt.eval.generate import Decoding, generate_batch
from fingpt.eval.loss import answer_nll
from fingpt.eval.prompts import Prompt, batches
from fingpt.models import ModelSpec
from fingpt.prompts.chat import labels, load_tokenizer, pad_id, render_all, stop_ids
from tests.bench.lines import Line, alternate, line
from tests.gpu.long_rows import long_rows

_MAX_TOKENS = 4096
_BATCH = 16


def token_lines(base: Path, spec: ModelSpec, rows: int) -> Iterator[Line]:
    """Rows a second from text to ids."""
    tokenizer, examples = load_tokenizer(base), long_rows(base, rows, 0)
    table = Dataset.from_list([{"text": one.user, "answer": one.answer} for one in examples])

    def plain() -> None:
        def one(row: dict[str, str]) -> dict[str, Any]:
            return {
                "ids": tokenizer(row["text"])["input_ids"] + tokenizer(row["answer"])["input_ids"]
            }

        table.map(one, load_from_cache_file=False, keep_in_memory=True)

    yield line(
        "rows to tokens, checked; peer: datasets.map, a row at a time",
        "rows/s",
        alternate(rows, lambda: render_all(spec, tokenizer, examples, _MAX_TOKENS), plain),
    )


def answer_lines(base: Path, spec: ModelSpec, rows: int, new_tokens: int) -> Iterator[Line]:
    """Rows a second: losses, and greedy answers of at most `new_tokens` tokens."""
    place, tokenizer = hardware.device(), load_tokenizer(base)
    kind = hardware.dtype(hardware.resolve_precision("auto", "precision"))
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=kind).eval().to(place)
    examples = long_rows(base, rows, 2)
    rendered = render_all(spec, tokenizer, examples, _MAX_TOKENS)
    prompts = [
        Prompt(example, one.prompt_ids, one.answer_ids)
        for example, one in zip(examples, rendered, strict=True)
    ]
    decoding = Decoding(stop_ids(spec, tokenizer), pad_id(spec, tokenizer), new_tokens)

    @torch.inference_mode()
    def plain_losses() -> None:
        for one in rendered:
            ids, wanted = (
                torch.tensor([each], device=place) for each in (one.input_ids, labels(one))
            )
            float(model(input_ids=ids, labels=wanted).loss)

    def plain_answers() -> None:
        for one in prompts:
            ids = torch.tensor([one.prompt_ids], device=place)
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=decoding.pad_id,
                eos_token_id=list(decoding.stop_ids),
            )
            tokenizer.decode(written[0, ids.shape[1] :])

    def ours() -> None:
        for batch in batches(prompts, _BATCH, lambda one: len(one.prompt_ids)):
            generate_batch(model, tokenizer, batch, decoding)

    yield line(
        "losses of answers; peer: transformers, a row at a time",
        "rows/s",
        alternate(rows, lambda: answer_nll(model, prompts, _BATCH), plain_losses),
    )
    yield line(
        "greedy answers; peer: transformers' generate, a row at a time",
        "rows/s",
        alternate(rows, ours, plain_answers),
    )
