"""`make bench-gpu`: a whole run of the 8B shape on one GPU and its parts, beside what else there is.

Random weights of the real shape do: speed does not depend on them. FINGPT_BENCH_TOKENIZER names the folder of a
tokenizer.json. The matrix rate is measured first; shares of the limit refer to it. The JSON is written after every
line, so what is cut off has kept what it had. `python -m tests.bench.gpu --only training,losses` measures some parts,
--base uses a base that `python -m tests.gpu.random_base` has left in a folder, and --cache keeps compiled code there.

vLLM has an environment of its own: `python -m tests.gpu.answer_rate` measures it on the same card, and --answers takes
what that printed; with --complete JSON it is added to a benchmark that has been kept, in a file beside it; that needs
no GPU.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from fingpt import hardware, log
from fingpt.models import spec
from fingpt.train.batching import Row
from fingpt.train.tokenised import tokenise
from tests.bench import gpu_answers
from tests.bench.answers import token_lines
from tests.bench.kept import keep
from tests.bench.lines import TIMES, Line, line, machine, table, write
from tests.bench.paths import a_file, a_folder
from tests.bench.pipeline import ANSWER, Rates, headline, pipeline_lines
from tests.bench.training import (
    PLAIN,
    PUBLISHED,
    SEED,
    epoch_rates,
    flops_a_token,
    matrix_rate,
    peer_rates,
    published_rates,
    settings,
)
from tests.gpu.random_base import make_base
from tests.gpu.train_rate import Training, described, prepared, trained

PARTS = ("training", "losses", "answers", "pipeline", "published", "tokens")
_MODEL = "llama31"
_ROWS, _STEP_ROWS, _EVALUATED, _PEER_ROWS, _LOSS_ROWS = 128, 16, 100, 32, 16
_TOKEN_ROWS = 8000  # as many as 30 symbols have in five years
_LOSSES = "losses of answers, in training; peer: transformers, a row at a time"
_ANSWERS = f"greedy answers of {ANSWER} tokens by transformers; peer: a row at a time"
_BY_VLLM = f"greedy answers of {ANSWER} tokens by vLLM; peer: transformers, a row at a time"
_DOLLARS_AN_HOUR = (
    2.5  # what an H100 is rented for; the price stands beside every figure that is made with it
)


class Benchmark:
    """Measures part after part; `lines` and `more` are what the JSON has so far."""

    def __init__(self, base: Path, parts: Sequence[str], cache: Path | None = None) -> None:
        self._base, self._parts, self._cache = base, parts, cache
        self.about = machine({**hardware.hardware(), "driver": _driver()})
        self.lines: list[Line] = []
        self.more: dict[str, Any] = {}
        self._faults: list[str] = []
        self._kept: Path | None = None
        self._start = time.perf_counter()
        self._done: set[str] = set()

    def run(self, folder: Path, answers: Path | None) -> Path:
        """Measure what was asked for; `answers` is what tests.gpu.answer_rate printed of vLLM on this card."""
        matrix = matrix_rate()
        self.more["matrix_tflops"] = round(matrix / 1e12, 1)
        path = self._keep()
        for part, lines in self._measure(folder, matrix, answers):
            self._done.add(part)
            self.lines += lines
            path = self._keep()
        return path

    def _keep(self) -> Path:
        left = [f"{part}: not asked for" for part in PARTS if part not in self._parts]
        left += [f"{part}: cut off before it" for part in self._parts if part not in self._done]
        self.more["seconds"] = time.perf_counter() - self._start
        left += self._faults
        self._kept = write("gpu", self.about, self.lines, left, self.more, self._kept)
        return self._kept

    def _measure(
        self, folder: Path, matrix: float, answers: Path | None
    ) -> Iterator[tuple[str, list[Line]]]:
        """Lines as they are there, and which part they complete."""
        asked = set(self._parts)
        if "pipeline" in asked:
            asked |= {"training", "losses", "answers"}
        if asked != {"tokens"}:
            yield from self._on_the_gpu(folder, matrix, answers, asked)
        if "tokens" in asked:
            yield "tokens", list(token_lines(self._base, spec(_MODEL), _TOKEN_ROWS, 100))

    def _on_the_gpu(
        self, folder: Path, matrix: float, answers: Path | None, asked: set[str]
    ) -> Iterator[tuple[str, list[Line]]]:
        config = settings(_MODEL, _ROWS, _STEP_ROWS, evaluations=TIMES)
        task = prepared(config, folder / "ours", self._base, (_ROWS, _EVALUATED), self._cache)
        ours = trained(task)
        self.more["ours"] = described(ours)
        mine = {"training": epoch_rates(ours), "losses": _scored(ours)}
        seed = dict[str, list[float]]()
        self.more["rates"] = {"ours": mine, "seed": seed, "start": ours.first_step}
        limit = matrix / flops_a_token(self._base)
        if "training" in asked:
            seed["training"] = peer_rates(SEED, config, self._base, task.data, _PEER_ROWS)
            yield "", [line(SEED.name, "tokens/s", (mine["training"], seed["training"]), limit)]
            plain = peer_rates(PLAIN, config, self._base, task.data, _PEER_ROWS)
            yield "training", [line(PLAIN.name, "tokens/s", (mine["training"], plain), limit)]
        if not asked.isdisjoint({"losses", "answers"}):
            rows = tokenise(spec(_MODEL), self._base, task.data, config.train.max_tokens)
            yield from self._evaluations(task.adapter, rows.evaluation, matrix, asked)
        if "pipeline" in asked:
            yield "pipeline", whole_runs(self.more, answers)
        if "published" in asked:
            gc.collect()
            torch.cuda.empty_cache()
            found = published_rates(_MODEL, self._base, task.data, _PEER_ROWS)
            lines = []
            if isinstance(found, str):
                self._faults.append(f"published: {found}")
            else:
                lines.append(line(PUBLISHED.name, "tokens/s", (mine["training"], found), limit))
            yield "published", lines

    def _evaluations(
        self, adapter: Path, rows: Sequence[Row], matrix: float, asked: set[str]
    ) -> Iterator[tuple[str, list[Line]]]:
        mine, seed = self.more["rates"]["ours"], self.more["rates"]["seed"]
        model = gpu_answers.loaded(self._base, adapter)
        limit = matrix / flops_a_token(self._base, 2.0) / (sum(map(len, rows)) / len(rows))
        seed["losses"] = gpu_answers.seed_losses(model, list(rows[:_LOSS_ROWS]))
        yield "losses", [line(_LOSSES, "rows/s", (mine["losses"], seed["losses"]), limit)]
        if "answers" in asked:
            seed["answers"] = gpu_answers.seed_answers(model)
            mine["answers"] = gpu_answers.our_answers(model)
            yield "answers", [line(_ANSWERS, "rows/s", (mine["answers"], seed["answers"]))]


def whole_runs(more: dict[str, Any], answers: Path | None) -> list[Line]:
    """Lines of whole runs from the rates of a benchmark, with vLLM's answers where there are some; and its headline."""
    ours, seed, start = (more["rates"][name] for name in ("ours", "seed", "start"))
    answered, engine, lines = ours["answers"], 0.0, []
    if answers is not None:
        answered, engine = _by_vllm(answers)
        lines.append(line(_BY_VLLM, "rows/s", (answered, seed["answers"])))
    more["answers"] = "transformers" if answers is None else f"vLLM, started in {engine:.1f} s"
    whole = Rates(ours["training"], start + engine, ours["losses"], answered)
    recipe = Rates(seed["training"], start, seed["losses"], seed["answers"])
    more["headline"] = headline(whole, recipe, _DOLLARS_AN_HOUR)
    return lines + pipeline_lines(whole, recipe)


def complete(path: Path, answers: Path) -> tuple[list[Line], Path]:
    """Add vLLM's answers to the benchmark kept at `path`, which stays; all lines, and where they are kept."""
    found = json.loads(path.read_text("utf-8"))
    made = whole_runs(found, answers)
    new = {each.name for each in made}
    lines = [Line(**each) for each in found["lines"] if each["name"] not in new] + made
    found["lines"] = [asdict(each) for each in lines]
    return lines, keep(found, path)


def _scored(ours: Training) -> list[float]:
    """Rows a second of the evaluations of a training."""
    found = [_EVALUATED / record.eval_seconds for record in ours.records if record.eval_seconds]
    assert len(found) == TIMES, f"{len(found)} evaluations"
    return found


def _by_vllm(printed: Path) -> tuple[list[float], float]:
    """Rows a second, the same for all three, and seconds of a start and of bringing in the adapter, from the lines of
    tests.gpu.answer_rate.
    """
    lines = [
        json.loads(each) for each in printed.read_text("utf-8").splitlines() if each[:1] == "{"
    ]
    starts = [each["seconds"] for each in lines if each.get("what") == "vllm started"]
    found = [each for each in lines if each.get("what") == "vllm answers tuned"]
    rates = sorted(each["new_tokens"] / each["seconds"] / ANSWER for each in found)
    merged = max(each["weights_seconds"] for each in found)
    return [rates[len(rates) // 2]] * TIMES, float(starts[-1] + merged)


def main() -> int:
    """Measure, keep and print; the exit code."""
    parser = argparse.ArgumentParser(
        prog="tests.bench.gpu", description="Time the 8B shape on one GPU."
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--base", type=a_folder, help="a folder that tests.gpu.random_base made")
    parser.add_argument(
        "--answers", type=a_file, help="what tests.gpu.answer_rate printed of vLLM on this card"
    )
    parser.add_argument("--cache", type=Path, help="a folder for compiled code")
    parser.add_argument(
        "--complete",
        type=a_file,
        metavar="JSON",
        help="add --answers to this benchmark, in a JSON beside it",
    )
    asked = parser.parse_args()
    if asked.complete:
        if asked.answers is None:
            parser.error("--complete needs --answers")
        lines, path = complete(asked.complete, asked.answers)
        print(f"{table(lines)}\n\nKept in {path}")
        return 0
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
        benchmark = Benchmark(base, parts, asked.cache)
        path = benchmark.run(Path(scratch), asked.answers)
    print(f"{table(benchmark.lines)}\n\n{json.dumps(benchmark.more)}\n\nKept in {path}")
    return 0


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]


if __name__ == "__main__":
    sys.exit(main())
