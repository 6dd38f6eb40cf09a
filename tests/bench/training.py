"""Training on rows as long as real ones, beside Hugging Face's Trainer with PEFT in several settings.

    python -m tests.bench.training PEER --model llama31 --base BASE --data DATA --rows 32 [--step-rows 16]

measures one of PEERS in a process of its own, which DeepSpeed needs, and prints a line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import subprocess
import sys
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
from fingpt.train.engine import deepspeed_config
from fingpt.train.tokenised import tokenise
from fingpt.weights.adapter import peft_arguments
from jobs import CONFIGS
from tests.bench.lines import TIMES, Line, line
from tests.bench.paths import a_folder
from tests.gpu.train_rate import Training, prepared, trained
from tests.s3_servers import free_port

_SETTINGS = (f"train.epochs={TIMES}", "train.accumulation=1", "train.max_tokens=4096")


@dataclass(frozen=True)
class Peer:
    """Trainer and PEFT with rows a micro-batch, activations recomputed or kept, adapters in fp32 or the base's type.

    `published`: in fp16 by DeepSpeed with the optimizer and adapter of the published code; needs a GPU.
    """

    name: str
    batch: int
    recomputing: bool
    half_adapters: bool = False
    published: bool = False


SEED = Peer("training; peer: the seed's recipe, a row at a time, recomputing", 1, True)
PUBLISHED = Peer(
    "training; peer: the seed's recipe as published, by DeepSpeed in fp16 with 0/1 Adam",
    1,
    True,
    published=True,
)
PADDED = Peer("training; peer: Trainer and PEFT, padded batches of 4", 4, False)
PLAIN = Peer(
    "training; peer: Trainer and PEFT, a row at a time, nothing recomputed, bf16 adapters",
    1,
    False,
    True,
)  # larger batches of such rows do not fit 80 GB
PEERS = {"seed": SEED, "published": PUBLISHED, "padded": PADDED, "plain": PLAIN}
_PUBLISHED_RUN = "seed-repro-llama31"
_PEER_SECONDS = 120


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


def published_rates(model: str, base: Path, data: Path, rows: int) -> list[float] | str:
    """Rates of PUBLISHED on the first `rows` rows, by epoch, in a process of its own; or why there are none."""
    if importlib.util.find_spec("deepspeed") is None:
        return "DeepSpeed is not installed"
    words = ["--model", model, "--base", str(base), "--data", str(data), "--rows", str(rows)]
    command = [sys.executable, "-m", "tests.bench.training", "published", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PEER_SECONDS)
    except subprocess.TimeoutExpired:
        return f"not there after {_PEER_SECONDS} s"
    said = [each for each in done.stdout.splitlines() if each.startswith('{"peer"')]
    if done.returncode or not said:
        sys.stderr.write(done.stderr)
        faults = [each for each in done.stderr.splitlines() if "Error" in each] or [""]
        return f"ended with {done.returncode}: {faults[-1][:200]}"
    rates: list[float] = json.loads(said[-1])["rates"]
    return rates


def _trainer_rates(
    peer: Peer, config: RunConfig, rows: Sequence[Row], pad: int, base: Path
) -> list[float]:
    """A batch is padded to its longest row."""
    torch.manual_seed(config.seed)
    train = config.train
    precision = hardware.resolve_precision("auto", "precision")
    if peer.published:
        # Its file of settings says the rest; DeepSpeed makes halves of all weights, the adapter's too.
        train = load_config(CONFIGS / f"{_PUBLISHED_RUN}.yaml", []).train
        precision = "fp16"
    lora = LoraConfig(**peft_arguments(train.lora))
    kind = hardware.dtype(precision)
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
            gradient_checkpointing_kwargs={"use_reentrant": True},  # transformers' default then
            learning_rate=train.lr,
            num_train_epochs=TIMES,
            use_cpu=not torch.cuda.is_available(),
            bf16=precision == "bf16",
            fp16=precision == "fp16",
            deepspeed=deepspeed_config(train) if peer.published else None,
            warmup_steps=1 if peer.published else 0,  # DeepSpeed refuses none
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


def main() -> None:
    """Measure one peer, print its rates by epoch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("--model", required=True)
    parser.add_argument("--base", type=a_folder, required=True)
    parser.add_argument("--data", type=a_folder, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--step-rows", type=int, default=16)
    asked = parser.parse_args()
    hardware.quiet_libraries()
    if PEERS[asked.peer].published:
        # One rank, which a launcher would tell DeepSpeed in these words.
        rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {**rank, "MASTER_PORT": str(free_port())}
    config = settings(asked.model, asked.rows, asked.step_rows, evaluations=1)
    rates = peer_rates(PEERS[asked.peer], config, asked.base, asked.data, asked.rows)
    print(json.dumps({"peer": asked.peer, "rates": rates}), flush=True)


if __name__ == "__main__":
    main()
