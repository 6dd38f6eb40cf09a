"""Training on rows as long as real ones, beside Hugging Face's Trainer with PEFT in two settings."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from fingpt import hardware
from fingpt.config import RunConfig, load_config
from fingpt.models import spec
from fingpt.train.batching import Row
from fingpt.train.tokenised import tokenise
from fingpt.weights.adapter import peft_arguments
from jobs import CONFIGS
from tests.bench.lines import TIMES, Line, line
from tests.gpu.train_rate import Training, prepared, trained

_SETTINGS = (f"train.epochs={TIMES}", "train.accumulation=1", "train.max_tokens=4096")


@dataclass(frozen=True)
class Peer:
    """Trainer and PEFT with rows a micro-batch, activations recomputed or kept, adapters in fp32 or the base's type."""

    name: str
    batch: int
    recomputing: bool
    half_adapters: bool = False


SEED = Peer("training; peer: the seed's recipe, a row at a time, recomputing", 1, True)
PADDED = Peer("training; peer: Trainer and PEFT, padded batches of 4", 4, False)
PLAIN = Peer(
    "training; peer: Trainer and PEFT, a row at a time, nothing recomputed, bf16 adapters",
    1,
    False,
    True,
)  # larger batches of such rows do not fit 80 GB


def training_lines(folder: Path, base: Path, rows: int, model: str) -> Iterator[Line]:
    """Real tokens a second over whole epochs of `rows` rows, without padding, evaluation and checkpoints."""
    config = settings(model, rows, 4, evaluations=1)
    ours = trained(prepared(config, folder / "ours", base, (rows, 2), None))
    limit = matrix_rate() / flops_a_token(base)
    for peer in (SEED, PADDED):
        other = peer_rates(peer, config, base, folder / "ours" / "data", rows)
        yield line(peer.name, "tokens/s", (epoch_rates(ours), other), limit)


def settings(model: str, rows: int, step_rows: int, evaluations: int) -> RunConfig:
    """A run of TIMES epochs of `rows` rows, `step_rows` a step, with as many evaluations of the loss."""
    own = (
        f"train.batch_size={step_rows}",
        f"train.eval_every={1 / evaluations}",
        f"prep.limit={rows}",
    )
    return load_config(CONFIGS / f"{model}.yaml", [*_SETTINGS, *own])


def epoch_rates(training: Training) -> list[float]:
    """Rates of the product's trainer by epoch."""
    records = training.records
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


def peer_rates(peer: Peer, config: RunConfig, base: Path, data: Path, rows: int) -> list[float]:
    """Rates of Trainer on the first `rows` rows, with the adapter, rows a step and precision of `config`, by epoch."""
    found = tokenise(spec(config.model), base, data, config.train.max_tokens)
    rates = _trainer_rates(peer, config, found.train[:rows], found.pad_id, base)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return rates


def _trainer_rates(
    peer: Peer, config: RunConfig, rows: Sequence[Row], pad: int, base: Path
) -> list[float]:
    """A batch is padded to its longest row."""
    torch.manual_seed(config.seed)
    lora = LoraConfig(**peft_arguments(config.train.lora))
    kind = hardware.dtype(hardware.resolve_precision("auto", "precision"))
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=kind),
        lora,
        autocast_adapter_dtype=not peer.half_adapters,
    )
    if peer.recomputing:
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
            per_device_train_batch_size=peer.batch,
            gradient_accumulation_steps=config.train.batch_size // peer.batch,
            gradient_checkpointing=peer.recomputing,
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


def matrix_rate(size: int = 1024) -> float:
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


def flops_a_token(base: Path, passes: float = 4.0) -> float:
    """Of the frozen linear layers alone, a parameter: two forward and two for their inputs' gradients. Attention,
    adapters and the output layer come on top, so the limit that follows cannot be reached.
    """
    c = json.loads((base / "config.json").read_text("utf-8"))
    hidden, heads = c["hidden_size"], c["num_attention_heads"]
    narrow = hidden // heads * c["num_key_value_heads"]
    layer = 2 * hidden * (hidden + narrow) + 3 * hidden * c["intermediate_size"]
    return passes * layer * int(c["num_hidden_layers"])
