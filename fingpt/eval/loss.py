"""Teacher-forced loss on answer tokens only: the sum of negative log-likelihoods of each row, in nats.

Logits are made on answer positions alone and row by row: over a vocabulary of 128,256 a whole batch of them would not
fit. Prompt tokens are never scored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from fingpt.errors import DivergedError
from fingpt.eval.prompts import Row, batches


def answer_nll(
    model: Any, rows: Sequence[Row], batch_size: int, done: Callable[[int], None] = lambda _: None
) -> dict[str, float]:
    """Example id → sum of −log p(answer token | prompt, answer so far), the stop id included.

    `model` is a causal language model of transformers; `done` is told the rows of every finished batch. DivergedError
    names the example whose loss is not finite.
    """
    found: dict[str, float] = {}
    for batch in batches(rows, batch_size, lambda row: len(row.prompt_ids) + len(row.answer_ids)):
        for row, nll in zip(batch, _batch_nll(model, batch), strict=True):
            if nll != nll or nll == float("inf"):
                raise DivergedError(
                    f"The loss of test row {row.example.symbol} {row.example.period} is {nll}; the adapter's weights "
                    "have diverged: train again with a lower train.lr."
                )
            found[row.example.id] = nll
        done(len(batch))
    return found


@torch.inference_mode()
def _batch_nll(model: Any, batch: Sequence[Row]) -> list[float]:
    place = model.device
    sequences = [torch.tensor(row.prompt_ids + row.answer_ids) for row in batch]
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for index, sequence in enumerate(sequences):
        ids[index, : len(sequence)] = sequence
    # No mask: under causal attention no real position sees the padding to its right, and the fast kernels want none.
    hidden = model.get_decoder()(input_ids=ids.to(place), use_cache=False).last_hidden_state
    head = model.get_output_embeddings()
    sums = []
    for index, row in enumerate(batch):
        start = len(row.prompt_ids) - 1  # the position before a token predicts it
        states = hidden[index, start : start + len(row.answer_ids)]
        target = torch.tensor(row.answer_ids, device=place)
        sums.append(cross_entropy(head(states).float(), target, reduction="sum"))
    return [float(value) for value in torch.stack(sums).tolist()]
