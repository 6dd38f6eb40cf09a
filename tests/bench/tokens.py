"""Rows a second from text to ids, by how many cores may be used.

    python -m tests.bench.tokens BASE [--model llama31] [--rows 8000] [--cores 1,2,4,8,16] [--times 3]

BASE holds the tokenizer.json of a real vocabulary. Each line of JSON has the rate of so many rows with the start of the
processes, and that of as many more, which is without it; both have to give the ids that one core gives.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from fingpt.models import spec
from fingpt.prompts.chat import Rendered, load_tokenizer, render_all
from fingpt.prompts.examples import Example
from fingpt.prompts.workers import worker_count
from tests.bench.lines import TIMES
from tests.gpu.long_rows import long_rows

_MAX_TOKENS = 4096
_AT_ONCE = 500


def invented(base: Path, rows: int) -> list[Example]:
    """Rows as long as published ones, invented by all cores."""
    parts = [(base, min(_AT_ONCE, rows - start), start) for start in range(0, rows, _AT_ONCE)]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return [row for part in pool.map(long_rows, *zip(*parts, strict=True)) for row in part]


def rates(
    base: Path, model: str, rows: Sequence[Example], cores: Sequence[int], times: int
) -> list[dict[str, float]]:
    """One line for each of `cores`, printed as it is there; of `rows`, the first half is measured alone as well."""
    tokenizer, half, all_cores = load_tokenizer(base), len(rows) // 2, os.sched_getaffinity(0)
    made = dict[int, list[Rendered]]()
    found = []

    def seconds(count: int) -> float:
        start = time.perf_counter()
        rendered = render_all(spec(model), tokenizer, rows[:count], _MAX_TOKENS)
        taken = time.perf_counter() - start
        assert made.setdefault(count, rendered) == rendered, "other ids with other cores"
        return taken

    try:
        for number in cores:
            os.sched_setaffinity(0, sorted(all_cores)[:number])
            first, whole = (
                statistics.median(seconds(count) for _ in range(times))
                for count in (half, len(rows))
            )
            line = {
                "cores": number,
                "processes": 1 + worker_count(half),
                "rows": half,
                "rows_per_second": round(half / first),
                "without_start": round((len(rows) - half) / max(whole - first, 1e-9)),
            }
            print(json.dumps(line), flush=True)
            found.append(line)
    finally:
        os.sched_setaffinity(0, all_cores)
    return found


def main() -> None:
    """Invent, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("--model", default="llama31")
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--cores", default="1,2,4,8,16")
    parser.add_argument("--times", type=int, default=TIMES)
    asked = parser.parse_args()
    usable = len(os.sched_getaffinity(0))
    cores = [each for each in map(int, asked.cores.split(",")) if each <= usable]
    rates(asked.base, asked.model, invented(asked.base, 2 * asked.rows), cores, asked.times)


if __name__ == "__main__":
    main()
