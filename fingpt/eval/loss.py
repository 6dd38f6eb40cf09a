"""Teacher-forced loss on answer tokens only: the sum of negative log-likelihoods of each example, in nats.

Logits are made on answer positions alone and one example at a time: over a vocabulary of 128,256 a whole batch of them
would not fit. Prompt tokens are never scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from fingpt.errors import DivergedError
from fingpt.eval.prompts import Prompt, batches, passes


def answer_nll(
    model: Any,
    prompts: Sequence[Prompt],
    batch_size: int,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """Example id → sum of −log p(answer token | prompt, answer so far), the stop id included.

    `model` is a causal language model of transformers; `done` is called with the size of every finished batch.
    DivergedError names the example whose loss is not finite.
    """
    found: dict[str, float] = {}
    for batch in batches(
        prompts, batch_size, lambda prompt: len(prompt.prompt_ids) + len(prompt.answer_ids)
    ):
        for prompt, nll in zip(batch, _batch_nll(model, batch), strict=True):
            found[prompt.example.id] = finite(prompt, nll)
        done(len(batch))
    return found


def finite(prompt: Prompt, nll: float) -> float:
    """`nll` itself; DivergedError names the row whose loss it is when it is not finite."""
    if nll != nll or nll == float("inf"):
        raise DivergedError(
            f"The loss of row {prompt.example.symbol} {prompt.example.period} is {nll}; the adapter's "
            "weights have diverged: train again with a lower train.lr."
        )
    return nll


@torch.inference_mode()
def _batch_nll(model: Any, batch: Sequence[Prompt]) -> list[float]:
    parts = passes(
        [len(prompt.prompt_ids + prompt.answer_ids) for prompt in batch], model.device.type
    )
    return [nll for part in parts for nll in _pass_nll(model, batch[part])]


def _pass_nll(model: Any, batch: Sequence[Prompt]) -> list[float]:
    place = model.device
    sequences = [torch.tensor(prompt.prompt_ids + prompt.answer_ids) for prompt in batch]
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for index, sequence in enumerate(sequences):
        ids[index, : len(sequence)] = sequence
    # No mask: under causal attention no real position sees the padding to its right, and the fast kernels want none.
    hidden = model.get_decoder()(input_ids=ids.to(place), use_cache=False).last_hidden_state
    head = model.get_output_embeddings()
    sums = []
    for index, prompt in enumerate(batch):
        start = len(prompt.prompt_ids) - 1  # the position before a token predicts it
        states = hidden[index, start : start + len(prompt.answer_ids)]
        target = torch.tensor(prompt.answer_ids, device=place)
        sums.append(cross_entropy(head(states).float(), target, reduction="sum"))
    return [float(value) for value in torch.stack(sums).tolist()]
