"""Greedy answers by a model of transformers, several at once: prompts are read one by one, answers grow together.

A prompt that is read alone needs neither padding nor a mask; an answer that has ended leaves the batch. The model's own
settings (sampling, temperature, length, stop ids) play no part. Answers are stored by `fingpt.eval.chunks`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from fingpt.eval.prompts import Prompt
from fingpt.eval.slots import Slots
from fingpt.record import Frozen

_KEPT_MARKS = ("<think>", "</think>")  # the parsers need to see where reasoning ends


class Answer(Frozen):
    """What a model wrote for one example: raw text, tokens with the stop id counted, `truncated` without one."""

    example: str
    prediction: str
    prompt_tokens: int
    new_tokens: int
    truncated: bool


@dataclass(frozen=True)
class Decoding:
    """How answers are made: greedy, at most `max_new_tokens`, ended by any of `stop_ids`."""

    stop_ids: tuple[int, ...]
    max_new_tokens: int


def generate_batch(
    model: Any, tokenizer: PreTrainedTokenizerFast, batch: Sequence[Prompt], decoding: Decoding
) -> tuple[list[Answer], float]:
    """Answers of one batch and the seconds it took, the transfer to the host included."""
    start = time.perf_counter()
    lines = greedy_ids(model, [prompt.prompt_ids for prompt in batch], decoding)
    seconds = time.perf_counter() - start
    hidden = _hidden_ids(tokenizer)
    return [
        _answer(tokenizer, prompt, line, decoding, hidden)
        for prompt, line in zip(batch, lines, strict=True)
    ], seconds


@torch.inference_mode()
def greedy_ids(model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[int]]:
    """The likeliest tokens after each of `prompts`, all at once; a stop id, where one was found, is the last."""
    place = model.device
    slots = Slots(len(prompts), max(map(len, prompts)) + decoding.max_new_tokens)
    lines: list[list[int]] = []
    for ids in prompts:
        read = model(input_ids=torch.tensor([ids]).to(place), use_cache=True, logits_to_keep=1)
        slots.put(read.past_key_values)
        lines.append(read.logits[:, -1].argmax(-1).tolist())
    running = list(range(len(prompts)))  # by slot: the number of its prompt
    while True:
        for slot in reversed(range(len(running))):
            line = lines[running[slot]]
            if line[-1] in decoding.stop_ids or len(line) == decoding.max_new_tokens:
                slots.drop(slot)
                running[slot] = running[-1]
                running.pop()
        if not running:
            return lines
        said = model(
            input_ids=torch.tensor([[lines[number][-1]] for number in running]).to(place),
            **slots.step(place),
            past_key_values=slots,
            use_cache=True,
            logits_to_keep=1,
        )
        for number, token in zip(running, said.logits[:, -1].argmax(-1).tolist(), strict=True):
            lines[number].append(token)


def _answer(
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    line: list[int],
    decoding: Decoding,
    hidden: frozenset[int],
) -> Answer:
    stop = next((index for index, token in enumerate(line) if token in decoding.stop_ids), None)
    written = line if stop is None else line[:stop]
    text = tokenizer.decode(
        [token for token in written if token not in hidden],
        skip_special_tokens=False,
        clean_up_tokenization_spaces=False,
    )
    return Answer(
        example=prompt.example.id,
        prediction=str(text),
        prompt_tokens=len(prompt.prompt_ids),
        new_tokens=len(written) + (stop is not None),
        truncated=stop is None,
    )


def _hidden_ids(tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Special tokens, as the published code skips them, but for the marks of reasoning."""
    added = tokenizer.added_tokens_decoder
    return frozenset(
        number
        for number, token in added.items()
        if token.special and token.content not in _KEPT_MARKS
    )


def answers_of(
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Prompt],
    lines: Sequence[list[int]],
    decoding: Decoding,
) -> list[Answer]:
    """The answers that `lines` of token ids are, one to each prompt, by whatever engine they were made."""
    hidden = _hidden_ids(tokenizer)
    return [
        _answer(tokenizer, prompt, line, decoding, hidden)
        for prompt, line in zip(prompts, lines, strict=True)
    ]
