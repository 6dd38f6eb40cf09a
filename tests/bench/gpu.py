"""`make bench-gpu`: training, losses and answers of the 8B shape on one GPU, beside what else there is.

Random weights of the real shape do: speed does not depend on them. FINGPT_BENCH_TOKENIZER names the folder of a real
tokenizer.json. The matrix rate is measured first; shares of the limit refer to it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt import hardware, log
from fingpt.models import spec
from tests.bench.answers import answer_lines, token_lines
from tests.bench.lines import Line, machine, table, write
from tests.bench.training import training_lines
from tests.gpu.random_base import LLAMA_31_8B

_MODEL = "llama31"


def main() -> int:
    """Measure, keep and print; the exit code."""
    if not torch.cuda.is_available():
        print(
            "This machine has no GPU that PyTorch can use; make bench measures a CPU.",
            file=sys.stderr,
        )
        return 78
    tokenizer = Path(os.environ.get("FINGPT_BENCH_TOKENIZER", ""))
    if not (tokenizer / "tokenizer.json").is_file():
        print(
            "FINGPT_BENCH_TOKENIZER names no folder with the tokenizer.json of Llama 3.1; give one.",
            file=sys.stderr,
        )
        return 66
    log.setup()
    hardware.quiet_libraries()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="fingpt-bench-") as scratch:
        base = Path(scratch) / "base"
        _random_base(base, tokenizer)
        lines += token_lines(base, spec(_MODEL), 200)
        lines += training_lines(Path(scratch), base, 64, _MODEL)
        lines += answer_lines(base, spec(_MODEL), 16, 128)
    path = write("gpu", machine({**hardware.hardware(), "driver": _driver()}), lines, ())
    print(f"{table(lines)}\n\nKept in {path}")
    return 0


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]


def _random_base(folder: Path, tokenizer: Path) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        LlamaForCausalLM(LlamaConfig(**LLAMA_31_8B, dtype="bfloat16")).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    torch.cuda.empty_cache()
    shutil.copy(tokenizer / "tokenizer.json", folder / "tokenizer.json")


if __name__ == "__main__":
    sys.exit(main())
