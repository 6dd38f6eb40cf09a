"""`make bench-gpu`: a whole run of the 8B shape on one GPU and its parts, beside what else there is.

Random weights of the real shape do: speed does not depend on them. FINGPT_BENCH_TOKENIZER names the folder of a
tokenizer.json. The matrix rate is measured first; shares of the limit refer to it. The JSON is written after every
part, so what is cut off has kept what it had. `python -m tests.bench.gpu --only training,losses` measures some parts,
and --base uses a base that `python -m tests.gpu.random_base` has left in a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from fingpt import hardware, log
from fingpt.models import spec
from fingpt.train.tokenised import tokenise
from tests.bench import gpu_answers
from tests.bench.answers import token_lines
from tests.bench.lines import TIMES, Line, line, machine, table, write
from tests.bench.pipeline import ANSWER, HELD_OUT, Rates, headline, pipeline_lines
from tests.bench.training import (
    PLAIN,
    SEED,
    epoch_rates,
    flops_a_token,
    matrix_rate,
    peer_rates,
    settings,
)
from tests.gpu.random_base import make_base
from tests.gpu.train_rate import Training, described, prepared, trained

PARTS = ("tokens", "training", "losses", "answers", "pipeline")
_MODEL = "llama31"
_ROWS, _STEP_ROWS, _PEER_ROWS, _LOSS_ROWS = 128, 16, 32, 16
_LOSSES = "losses of answers, in training; peer: transformers, a row at a time"
_ANSWERS = f"greedy answers of {ANSWER} tokens by transformers; peer: a row at a time"
_BY_VLLM = f"greedy answers of {ANSWER} tokens by vLLM; peer: transformers, a row at a time"
_DOLLARS_AN_HOUR = (
    2.5  # what an H100 is rented for; the price stands beside every figure that is made with it
)


class Benchmark:
    """Measures part after part; `lines` and `more` are what the JSON has so far."""

    def __init__(self, folder: Path, base: Path, parts: Sequence[str]) -> None:
        self._folder, self._base, self._parts = folder, base, parts
        self.about = machine({**hardware.hardware(), "driver": _driver()})
        self.lines: list[Line] = []
        self.more: dict[str, Any] = {}
        self._done: set[str] = set()

    def run(self, answers: Path | None) -> Path:
        """Measure what was asked for; `answers` is what tests.gpu.answer_rate printed of vLLM on this card."""
        matrix = matrix_rate()
        self.more["matrix_tflops"] = round(matrix / 1e12, 1)
        path = self._keep()
        for part, lines in self._measure(matrix, answers):
            self._done.add(part)
            self.lines += lines
            path = self._keep()
        return path

    def _keep(self) -> Path:
        left = [f"{part}: not asked for" for part in PARTS if part not in self._parts]
        left += [f"{part}: cut off before it" for part in self._parts if part not in self._done]
        return write("gpu", self.about, self.lines, left, self.more)

    def _measure(self, matrix: float, answers: Path | None) -> Iterator[tuple[str, list[Line]]]:
        """Lines as they are there, and which part they complete."""
        asked = set(self._parts)
        if "pipeline" in asked:
            asked |= {"training", "losses", "answers"}
        if "tokens" in asked:
            yield "tokens", list(token_lines(self._base, spec(_MODEL), 200))
        if asked == {"tokens"}:
            return
        config = settings(_MODEL, _ROWS, _STEP_ROWS, evaluations=TIMES)
        task = prepared(config, self._folder / "ours", self._base, (_ROWS, HELD_OUT), None)
        ours = trained(task)
        self.more["ours"] = described(ours)
        own, seed = epoch_rates(ours), list[float]()
        if "training" in asked:
            limit = matrix / flops_a_token(self._base)
            seed = peer_rates(SEED, config, self._base, task.data, _PEER_ROWS)
            yield "", [line(SEED.name, "tokens/s", (own, seed), limit)]
            plain = peer_rates(PLAIN, config, self._base, task.data, _PEER_ROWS)
            yield "training", [line(PLAIN.name, "tokens/s", (own, plain), limit)]
        if asked.isdisjoint({"losses", "answers"}):
            return
        model, scored = gpu_answers.loaded(self._base, task.adapter), _scored(ours)
        rows = tokenise(spec(_MODEL), self._base, task.data, config.train.max_tokens).evaluation
        seed_scored = gpu_answers.seed_losses(model, list(rows[:_LOSS_ROWS]))
        limit = matrix / flops_a_token(self._base, 2.0) / (sum(map(len, rows)) / len(rows))
        yield "losses", [line(_LOSSES, "rows/s", (scored, seed_scored), limit)]
        if "answers" not in asked:
            return
        answered, seed_answered = gpu_answers.our_answers(model), gpu_answers.seed_answers(model)
        yield "answers", [line(_ANSWERS, "rows/s", (answered, seed_answered))]
        engine = 0.0
        if answers is not None:
            answered, engine = _by_vllm(answers)
            yield "answers", [line(_BY_VLLM, "rows/s", (answered, seed_answered))]
        if "pipeline" in asked:
            whole = Rates(own, ours.first_step + engine, scored, answered)
            recipe = Rates(seed, ours.first_step, seed_scored, seed_answered)
            self.more["headline"] = headline(whole, recipe, _DOLLARS_AN_HOUR)
            yield "pipeline", pipeline_lines(whole, recipe)


def _scored(ours: Training) -> list[float]:
    """Rows a second of the evaluations of a training."""
    found = [HELD_OUT / record.eval_seconds for record in ours.records if record.eval_seconds]
    assert len(found) == TIMES, f"{len(found)} evaluations"
    return found


def _by_vllm(printed: Path) -> tuple[list[float], float]:
    """Rows a second, the same for all three, and seconds of a start, from the lines of tests.gpu.answer_rate."""
    lines = [
        json.loads(each) for each in printed.read_text("utf-8").splitlines() if each[:1] == "{"
    ]
    found = [each for each in lines if each.get("what") == "vllm answers tuned"]
    rates = sorted(
        each["rows"] / each["seconds"] * each["new_tokens"] / each["rows"] / ANSWER
        for each in found
    )
    return [rates[len(rates) // 2]] * TIMES, float(found[-1]["start"])


def main() -> int:
    """Measure, keep and print; the exit code."""
    parser = argparse.ArgumentParser(
        prog="tests.bench.gpu", description="Time the 8B shape on one GPU."
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--base", type=Path, help="a folder that tests.gpu.random_base made")
    parser.add_argument(
        "--answers", type=Path, help="what tests.gpu.answer_rate printed of vLLM on this card"
    )
    asked = parser.parse_args()
    parts = asked.only.split(",")
    if alien := [part for part in parts if part not in PARTS]:
        print(f"--only {alien[0]} is no part; there are {', '.join(PARTS)}.", file=sys.stderr)
        return 64
    if not torch.cuda.is_available():
        print(
            "This machine has no GPU that PyTorch can use; make bench measures a CPU.",
            file=sys.stderr,
        )
        return 78
    tokenizer = Path(os.environ.get("FINGPT_BENCH_TOKENIZER", ""))
    if asked.base is None and not (tokenizer / "tokenizer.json").is_file():
        print(
            "FINGPT_BENCH_TOKENIZER names no folder with the tokenizer.json of Llama 3.1; give one.",
            file=sys.stderr,
        )
        return 66
    log.setup()
    hardware.quiet_libraries()
    with tempfile.TemporaryDirectory(prefix="fingpt-bench-") as scratch:
        base = asked.base or Path(scratch) / "base"
        if asked.base is None:
            make_base(base, tokenizer)
        benchmark = Benchmark(Path(scratch), base, parts)
        path = benchmark.run(asked.answers)
    print(f"{table(benchmark.lines)}\n\n{json.dumps(benchmark.more)}\n\nKept in {path}")
    return 0


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]


if __name__ == "__main__":
    sys.exit(main())
