"""Losses, answers and tokens of rows, beside plain calls of transformers: a row at a time, and padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from fingpt import hardware
from fingpt.eval.generate import Decoding, generate_batch
from fingpt.eval.loss import answer_nll
from fingpt.eval.prompts import Prompt, batches
from fingpt.models import ModelSpec
from fingpt.prompts.chat import labels, load_tokenizer, pad_id, render_all, render_packed, stop_ids
from tests.bench.endings import real_lengths
from tests.bench.lines import Line, alternate, line
from tests.gpu.long_rows import long_rows

_MAX_TOKENS = 4096
_BATCH = 16


def token_lines(base: Path, spec: ModelSpec, rows: int, peer_rows: int) -> Iterator[Line]:
    """Rows a second from text to ids; peers are given the first `peer_rows`, since they are slow."""
    tokenizer, examples = load_tokenizer(base), long_rows(base, rows, 0)
    texts = [text for one in examples[:peer_rows] for text in (one.user, one.answer)]
    table = Dataset.from_list(
        [{"text": one.user, "answer": one.answer} for one in examples[:peer_rows]]
    )

    def mapped() -> None:
        def one(row: dict[str, str]) -> dict[str, Any]:
            return {
                "ids": tokenizer(row["text"])["input_ids"] + tokenizer(row["answer"])["input_ids"]
            }

        table.map(one, load_from_cache_file=False, keep_in_memory=True)

    def at_once() -> None:
        for each in tokenizer.backend_tokenizer.encode_batch_fast(texts):
            each.ids  # noqa: B018  # a list of numbers, made when asked for

    for name, peer in (
        ("datasets.map, a row at a time", mapped),
        ("the tokenizer, all texts at once", at_once),
    ):
        ours, others = alternate(
            rows, lambda: [*render_packed(spec, tokenizer, examples, _MAX_TOKENS)], peer
        )
        yield line(
            f"rows to tokens, checked; peer: {name}",
            "rows/s",
            (ours, [rate * peer_rows / rows for rate in others]),
        )


def answer_lines(base: Path, spec: ModelSpec, rows: int, new_tokens: int) -> Iterator[Line]:
    """Rows a second: losses, and greedy answers as long as real ones, of at most `new_tokens` tokens."""
    place, tokenizer = hardware.device(), load_tokenizer(base)
    kind = hardware.dtype(hardware.resolve_precision("auto", "precision"))
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=kind).eval().to(place)
    examples = long_rows(base, rows, 2)
    rendered = render_all(spec, tokenizer, examples, _MAX_TOKENS)
    prompts = [
        Prompt(example, one.prompt_ids, one.answer_ids)
        for example, one in zip(examples, rendered, strict=True)
    ]

    @torch.inference_mode()
    def plain_losses() -> None:
        for one in rendered:
            ids, wanted = (
                torch.tensor([each], device=place) for each in (one.input_ids, labels(one))
            )
            float(model(input_ids=ids, labels=wanted).loss)

    yield line(
        "losses of answers; peer: transformers, a row at a time",
        "rows/s",
        alternate(rows, lambda: answer_nll(model, prompts, _BATCH), plain_losses),
    )
    stops, pad = stop_ids(spec, tokenizer), pad_id(spec, tokenizer)
    with real_lengths(model, rendered, stops[0], new_tokens):
        decoding = Decoding(stops, new_tokens)
        for name, size in (
            ("greedy answers; peer: transformers' generate, a row at a time", 1),
            (f"greedy answers; peer: transformers' generate, padded batches of {_BATCH}", _BATCH),
        ):
            yield line(
                name, "rows/s", _answer_rates((model, tokenizer, pad), decoding, prompts, size)
            )


def _answer_rates(
    loaded: tuple[Any, PreTrainedTokenizerFast, int],
    decoding: Decoding,
    prompts: Sequence[Prompt],
    size: int,
) -> tuple[list[float], list[float]]:
    """Rates of ours and of `generate` with batches of `size` rows, which have to say the same.

    `loaded`: model, tokenizer and the id that pads.
    """
    said: dict[str, dict[str, str]] = {}
    rates = alternate(
        len(prompts),
        lambda: said.update(ours=_written(loaded, prompts, decoding)),
        lambda: said.update(peer=_generate(loaded, decoding, prompts, size)),
    )
    assert said["ours"] == said["peer"], "the two answer differently"
    return rates


def _written(
    loaded: tuple[Any, PreTrainedTokenizerFast, int],
    prompts: Sequence[Prompt],
    decoding: Decoding,
) -> dict[str, str]:
    """Answers by example, ours."""
    model, tokenizer, _ = loaded
    return {
        answer.example: answer.prediction
        for batch in batches(prompts, _BATCH, _length)
        for answer in generate_batch(model, tokenizer, batch, decoding)[0]
    }


def _generate(
    loaded: tuple[Any, PreTrainedTokenizerFast, int],
    decoding: Decoding,
    prompts: Sequence[Prompt],
    size: int,
) -> dict[str, str]:
    """The same by transformers' own `generate`, `size` rows of like length at once, padded on the left."""
    model, tokenizer, pad = loaded
    found = {}
    for batch in batches(prompts, size, _length):
        width = max(map(_length, batch))
        ids = torch.full((len(batch), width), pad)
        for index, one in enumerate(batch):
            ids[index, width - _length(one) :] = torch.tensor(one.prompt_ids)
        mask = torch.arange(width) >= torch.tensor([[width - _length(one)] for one in batch])
        written = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.long().to(model.device),
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=list(decoding.stop_ids),
        )
        for one, text in zip(batch, written[:, width:], strict=True):
            found[one.example.id] = str(tokenizer.decode(text, skip_special_tokens=True))
    return found


def _length(prompt: Prompt) -> int:
    return len(prompt.prompt_ids)
