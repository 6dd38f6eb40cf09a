"""Losses and greedy answers of the 8B shape on one GPU, ours beside a row at a time, as the seed had them.

Stop ids are left out, so that every answer has as many tokens; a few dozen of them tell the rate, and on both sides
prompts weigh more beside them than beside the 384 of real answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fingpt import hardware
from fingpt.eval.engine_transformers import TransformersEngine
from fingpt.eval.generate import Decoding
from fingpt.eval.model import load
from fingpt.train.batching import Row
from tests.bench.lines import TIMES
from tests.bench.pipeline import ANSWER
from tests.gpu.answer_rate import AnyText, prompts

_BATCH, _NEW_TOKENS = 16, 48
_SEED_ROWS = 1


def loaded(base: Path, adapter: Path) -> Any:
    """The base with a trained adapter, as the eval stage has it."""
    return load(base, adapter, hardware.device(), torch.bfloat16)


def seed_losses(model: Any, rows: list[Row]) -> list[float]:
    """Rows a second of transformers' own loss, a row at a time."""

    @torch.inference_mode()
    def all_of_them() -> None:
        for row in rows:
            ids = torch.tensor([[*row.prompt, *row.answer]], device=model.device)
            wanted = ids.clone()
            wanted[0, : len(row.prompt)] = -100
            float(model(input_ids=ids, labels=wanted).loss)

    return _rates(len(rows), all_of_them)


def our_answers(model: Any) -> list[float]:
    """Rows a second of the engine that runs everywhere, as if an answer had ANSWER tokens."""
    engine = TransformersEngine(model, AnyText(), Decoding((), _NEW_TOKENS))  # type: ignore[arg-type]
    some = prompts(_BATCH)
    return _rates(_BATCH * _NEW_TOKENS / ANSWER, lambda: engine.answers("tuned", some))


def seed_answers(model: Any) -> list[float]:
    """The same of transformers' `generate`, a row at a time."""
    some = prompts(_SEED_ROWS)

    @torch.inference_mode()
    def one_by_one() -> None:
        for prompt in some:
            ids = torch.tensor([prompt.prompt_ids], device=model.device)
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=_NEW_TOKENS,
                min_new_tokens=_NEW_TOKENS,
                do_sample=False,
                pad_token_id=0,
            )

    return _rates(_SEED_ROWS * _NEW_TOKENS / ANSWER, one_by_one)


def _rates(amount: float, act: Callable[[], object]) -> list[float]:
    """`amount` a second, TIMES times, after a first time that is not counted."""
    act()
    found = []
    for _ in range(TIMES):
        torch.cuda.synchronize()
        start = time.perf_counter()
        act()
        torch.cuda.synchronize()
        found.append(amount / (time.perf_counter() - start))
    return found
