"""`make bench`: storage, tokens, training, losses and answers on this CPU, each beside what else there is.

Writes docs/benchmarks/<day>-cpu-<machine>.json, or a name of its own where that is taken, and prints it as a
table; what could not be measured is named. The model is a tiny one: figures show what the code around it costs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from fingpt import hardware, log
from fingpt.models import spec
from fingpt.synthetic.tiny import Recipe, make_base
from tests.bench.answers import answer_lines, token_lines
from tests.bench.lines import Line, machine, table, write
from tests.bench.storage import server, storage_lines
from tests.bench.training import training_lines

_MODEL = "tiny-llama31"


def main() -> int:
    """Measure, keep and print; the exit code."""
    if torch.cuda.is_available():
        print(
            "This machine has a GPU: make bench-gpu measures it, make bench a CPU alone.",
            file=sys.stderr,
        )
        return 64
    start = time.perf_counter()
    log.setup()
    hardware.quiet_libraries()
    lines: list[Line] = []
    left_out = []
    with tempfile.TemporaryDirectory(prefix="fingpt-bench-") as scratch:
        folder = Path(scratch)
        if server():
            lines += storage_lines(folder)
        else:
            left_out.append(
                "storage: neither FINGPT_VERSITYGW nor FINGPT_MINIO names a server's program"
            )
        make_base(spec(_MODEL), folder / "base", Recipe(digests=1, prompts=1))
        lines += token_lines(folder / "base", spec(_MODEL), 100, 100)
        lines += training_lines(folder, folder / "base", 4, _MODEL)
        lines += answer_lines(folder / "base", spec(_MODEL), 16, 520)
    print(f"{table(lines)}\n")
    for each in left_out:
        print(f"Left out: {each}.")
    path = write("cpu", machine(), lines, left_out, {"seconds": time.perf_counter() - start})
    print(f"Kept in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
