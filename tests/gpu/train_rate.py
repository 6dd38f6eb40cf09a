"""How fast a training is on this machine: the trainer process on a base in a folder, without bucket transfers.

    python -m tests.gpu.train_rate --model llama31 --base folder [--rows 256] [train.max_steps=12 …]

Prints one line: median tokens a second of the optimizer steps after the second, most memory, seconds of each phase,
what computed it, and the losses.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from fingpt import log
from fingpt.config import load_config
from fingpt.record import canonical_json
from fingpt.runs.run import Run
from fingpt.storage import open_store
from fingpt.train.handoff import TrainTask, read_records
from fingpt.train.launch import run_trainer
from jobs import CONFIGS
from tests.gpu.long_rows import write_splits


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    log.setup()
    run = Run.of(load_config(CONFIGS / f"{arguments.model}.yaml", arguments.settings), {})
    with tempfile.TemporaryDirectory() as scratch:
        folder, data = Path(scratch) / "train", Path(scratch) / "data"
        folder.mkdir()
        write_splits(data, arguments.base, arguments.rows)
        store = open_store((Path(scratch) / "store").as_uri())
        task = TrainTask(
            run=run,
            store=store.uri,
            folder=folder,
            base=arguments.base,
            data=data,
            context={"base": "invented"},
            attempt=1,
            supervisor=os.getpid(),
        )
        task.path.write_bytes(canonical_json(task))
        summary = run_trainer(task)
        records = read_records(task.metrics)
    rates = [record.tokens_per_second for record in records[2:]]
    print(
        json.dumps(
            {
                "tokens_per_second": round(statistics.median(rates)),
                "spread": [round(min(rates)), round(max(rates))],
                "first_steps_seconds": [round(record.seconds, 2) for record in records[:3]],
                "peak_gib": round(summary.peak_memory_bytes / 2**30, 1),
                "seconds": {name: round(value, 1) for name, value in summary.seconds.items()},
                "hardware": summary.hardware,
                "losses": [round(record.loss, 5) for record in records],
                "eval_loss": summary.eval_loss,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
