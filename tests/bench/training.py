"""Training of a tiny model on rows as long as real ones, beside Hugging Face's Trainer with PEFT, in two settings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from fingpt import hardware
from fingpt.config import RunConfig, load_config
from fingpt.models import spec
from fingpt.record import canonical_json
from fingpt.runs.run import Run
from fingpt.storage import open_store
from fingpt.train.batching import Row
from fingpt.train.handoff import TrainTask, read_records
from fingpt.train.launch import run_trainer
from fingpt.train.tokenised import tokenise
from fingpt.weights.adapter import peft_arguments
from jobs import CONFIGS
from tests.bench.lines import TIMES, Line, line
from tests.gpu.long_rows import write_splits

_SETTINGS = (
    f"train.epochs={TIMES}",
    "train.batch_size=4",
    "train.accumulation=1",
    "train.max_tokens=4096",
    "train.eval_every=1.0",
)


def training_lines(folder: Path, base: Path, rows: int, model: str) -> Iterator[Line]:
    """Real tokens a second over whole epochs of `rows` rows, without padding, evaluation and checkpoints."""
    config = load_config(CONFIGS / f"{model}.yaml", [*_SETTINGS, f"prep.limit={rows}"])
    write_splits(folder / "data", base, rows, evaluated=2)  # which no rate counts
    ours = _ours(config, folder, base)
    tokenised = tokenise(spec(model), base, folder / "data", config.train.max_tokens)
    limit = _matrix_rate() / _flops_a_token(base)
    for name, batch, checkpointing in (
        ("training; peer: the seed's recipe, a row at a time, recomputing", 1, True),
        ("training; peer: Trainer and PEFT, padded batches of 4", 4, False),
    ):
        peer = _peer(config, tokenised.train, tokenised.pad_id, (base, batch, checkpointing))
        yield line(name, "tokens/s", (ours, peer), limit)


def _ours(config: RunConfig, folder: Path, base: Path) -> list[float]:
    """Rates of the product's trainer, a process of its own, by epoch."""
    place = folder / "train"
    place.mkdir()
    store = open_store((folder / "store").as_uri())
    task = TrainTask(
        run=Run.of(config, {}),
        store=store.uri,
        folder=place,
        base=base,
        data=folder / "data",
        context={"base": "invented"},
        attempt=1,
        supervisor=os.getpid(),
    )
    task.path.write_bytes(canonical_json(task))
    run_trainer(task)
    records = read_records(task.metrics)
    size = len(records) // TIMES
    epochs = [records[start : start + size] for start in range(0, size * TIMES, size)]
    return [sum(r.tokens for r in epoch) / sum(r.seconds for r in epoch) for epoch in epochs]


class _Epochs(TrainerCallback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        self._start = time.perf_counter()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def _peer(
    config: RunConfig, rows: Sequence[Row], pad: int, shape: tuple[Path, int, bool]
) -> list[float]:
    """Rates of Trainer on the same rows, adapter, rows a step and precision, by epoch; `shape`: base, batch size, and
    whether activations are recomputed. A batch is padded to its longest row.
    """
    base, batch, checkpointing = shape
    torch.manual_seed(config.seed)
    lora = LoraConfig(**peft_arguments(config.train.lora))
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=hardware.dtype("fp32")), lora
    )
    if checkpointing:
        model.enable_input_require_grads()

    def collate(some: Sequence[Row]) -> dict[str, torch.Tensor]:
        width = max(map(len, some))
        ids = torch.full((len(some), width), pad)
        labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
        for index, row in enumerate(some):
            ids[index, : len(row)] = torch.tensor(row.prompt + row.answer)
            labels[index, len(row.prompt) : len(row)] = torch.tensor(row.answer)
            mask[index, : len(row)] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    clock = _Epochs()
    Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(base.parent / "peer"),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=config.train.batch_size // batch,
            gradient_checkpointing=checkpointing,
            learning_rate=config.train.lr,
            num_train_epochs=TIMES,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        ),
        train_dataset=list(rows),  # type: ignore[arg-type]
        data_collator=collate,  # type: ignore[arg-type]
        callbacks=[clock],
    ).train()
    tokens = sum(map(len, rows))
    return [tokens / seconds for seconds in clock.seconds]


def _matrix_rate(size: int = 1024) -> float:
    """Floating-point operations a second of one large matrix product on this device, the best of several."""
    place = hardware.device()
    size, kind = (8192, torch.bfloat16) if place.type == "cuda" else (size, torch.float32)
    left, right = (torch.randn(size, size, device=place, dtype=kind) for _ in range(2))
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        left @ right
        if place.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def _flops_a_token(base: Path) -> float:
    """Of the frozen linear layers alone, forward and for their inputs' gradients: four a parameter. Attention, adapters
    and the output layer come on top, so the limit that follows cannot be reached.
    """
    c = json.loads((base / "config.json").read_text("utf-8"))
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    narrow = hidden // heads * c["num_key_value_heads"]
    layer = 2 * hidden * (hidden + narrow) + 3 * hidden * c["intermediate_size"]
    return 4.0 * layer * int(c["num_hidden_layers"])
