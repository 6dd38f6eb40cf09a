"""How fast one training is on several cards of this machine, for several sizes of a step, one after the other.

    python -m tests.gpu.cards_rate --model llama31 --base BASE --cache CACHE --plan 4:16x12,4:64x8 [train.epochs=9 …]

An entry of the plan is CARDS:ROWSxSTEPS, rows of a step on all cards together. Prints a line for each: median tokens a
second of all cards and of one, of the steps after the second. All trainers import their libraries at once and wait for
their turn, so that only the first is waited for.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fingpt import log
from fingpt.config import load_config
from fingpt.runs.manifest import TrainSummary
from fingpt.train.handoff import read_records, write_task
from fingpt.train.launch import EarlyTrainer, run_trainer
from jobs import CONFIGS
from tests.bench.paths import a_folder
from tests.gpu.train_rate import prepared


@dataclass(frozen=True)
class Entry:
    """One training: on how many cards, how many rows a step, how many steps."""

    cards: int
    rows: int
    steps: int

    @classmethod
    def of(cls, text: str) -> Entry:
        """From CARDS:ROWSxSTEPS."""
        cards, _, rest = text.partition(":")
        rows, _, steps = rest.partition("x")
        return cls(int(cards), int(rows), int(steps))

    def settings(self) -> list[str]:
        """What the configuration is changed by."""
        return [
            f"train.processes={self.cards}",
            "train.batch_size=1",
            f"train.accumulation={self.rows // self.cards}",
            f"train.max_steps={self.steps}",
            "train.eval_every=1.0",
        ]


def main() -> None:
    """Train each entry of the plan and print what it made."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--base", type=a_folder, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--plan", required=True)
    parser.add_argument("settings", nargs="*")
    asked = parser.parse_intermixed_args()
    log.setup()
    entries = [Entry.of(text) for text in asked.plan.split(",")]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        waiting = []
        for number, entry in enumerate(entries):
            settings = [*entry.settings(), *asked.settings]
            config = load_config(CONFIGS / f"{asked.model}.yaml", settings)
            folder = Path(scratch) / str(number)
            task = prepared(config, folder, asked.base, (asked.rows, 4), asked.cache)
            task.path.unlink()
            waiting.append((entry, task, stack.enter_context(EarlyTrainer(task))))
        for entry, task, early in waiting:
            write_task(task)
            summary = run_trainer(task, early.take())
            assert isinstance(summary, TrainSummary)
            records = read_records(task.metrics)
            rates = [record.tokens_per_second for record in records[2:]]
            found = {
                "cards": entry.cards,
                "rows": entry.rows,
                "tokens_per_second": round(statistics.median(rates)),
                "per_card": round(statistics.median(rates) / entry.cards),
                "spread": [round(min(rates)), round(max(rates))],
                "steps": len(rates),
                "peak_gib": round(max(r.peak_memory_bytes for r in records) / 2**30, 1),
                "seconds": {name: round(each, 1) for name, each in summary.seconds.items()},
                "pack_tokens": summary.hardware.get("pack_tokens"),
                "losses": [round(record.loss, 5) for record in records],
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
