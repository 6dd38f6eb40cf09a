"""How fast a training is on this machine: the trainer process on a base in a folder, without bucket transfers.

    python -m tests.gpu.random_base --model llama31 --tokenizer FOLDER --folder BASE [--layers 32]
    python -m tests.gpu.train_rate --model llama31 --base BASE [--rows 256] [--evaluated 16] [train.max_steps=12 …]

Prints one line: median tokens a second of the optimizer steps after the second, most memory, seconds of each phase and
from the start of the trainer to the end of its first step, what computed it, and the losses. With --cache, compiled
code is kept there for the next run. PATH=/nowhere leaves Triton without a compiler, so that layers stay PEFT's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingpt import log
from fingpt.config import RunConfig, load_config
from fingpt.record import canonical_json
from fingpt.runs.manifest import TrainSummary
from fingpt.runs.run import Run
from fingpt.storage import open_store
from fingpt.train.handoff import StepRecord, TrainTask, read_records
from fingpt.train.launch import run_trainer
from jobs import CONFIGS
from tests.bench.paths import a_folder
from tests.gpu.long_rows import write_splits


@dataclass(frozen=True)
class Training:
    """One that has ended; `first_step`: seconds from its start to the end of its first step."""

    summary: TrainSummary
    records: list[StepRecord]
    first_step: float

    @property
    def rates(self) -> list[float]:
        """Tokens a second of the steps after the second, all ranks together."""
        return [record.tokens_per_second for record in self.records[2:]]


def prepared(
    config: RunConfig, folder: Path, base: Path, rows: tuple[int, int], cache: Path | None
) -> TrainTask:
    """A task in `folder` on `rows` invented rows to train on and to evaluate on."""
    (folder / "train").mkdir(parents=True)
    write_splits(folder / "data", base, *rows)
    task = TrainTask(
        run=Run.of(config, {}),
        store=open_store((folder / "store").as_uri()).uri,
        folder=folder / "train",
        base=base,
        data=folder / "data",
        context={"base": "invented"},
        attempt=1,
        supervisor=os.getpid(),
        cache=cache,
    )
    task.path.write_bytes(canonical_json(task))
    return task


def trained(task: TrainTask) -> Training:
    """Run the trainer of `task` to its end."""
    started, seen = time.monotonic(), list[float]()

    def watch() -> None:
        while not seen and not over.wait(0.02):
            if task.metrics.is_file() and task.metrics.stat().st_size:
                seen.append(time.monotonic() - started)

    over = threading.Event()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        summary = run_trainer(task)
    finally:
        over.set()
        watcher.join()
    assert isinstance(summary, TrainSummary)
    return Training(summary, read_records(task.metrics), seen[0])


def described(training: Training) -> dict[str, Any]:
    """The figures of a training as JSON has them."""
    summary, records, rates = training.summary, training.records, training.rates
    return {
        "tokens_per_second": round(statistics.median(rates)),
        "spread": [round(min(rates)), round(max(rates))],
        "steps": len(rates),
        "first_steps_seconds": [round(record.seconds, 2) for record in records[:3]],
        "start_seconds": round(training.first_step, 1),
        "peak_gib": round(summary.peak_memory_bytes / 2**30, 1),
        "seconds": {name: round(value, 1) for name, value in summary.seconds.items()},
        "eval_seconds": [round(r.eval_seconds, 2) for r in records if r.eval_seconds],
        "hardware": summary.hardware,
        "versions": summary.versions,
        "losses": [round(record.loss, 5) for record in records],
        "eval_loss": summary.eval_loss,
    }


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--base", type=a_folder, required=True)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--evaluated", type=int, default=16)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_intermixed_args()
    log.setup()
    config = load_config(CONFIGS / f"{asked.model}.yaml", asked.settings)
    with tempfile.TemporaryDirectory() as scratch:
        rows = (asked.rows, asked.evaluated)
        task = prepared(config, Path(scratch), asked.base, rows, asked.cache)
        found = described(trained(task))
    print(json.dumps({"name": asked.name, **found}), flush=True)


if __name__ == "__main__":
    main()
