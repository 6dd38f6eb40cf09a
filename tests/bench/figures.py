"""Lines of a benchmark, and processes that are timed with their memory."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def line(
    name: str,
    ours: float,
    unit: str,
    *,
    peer: float | None = None,
    limit: float | None = None,
    spread: float = 0.0,
) -> dict[str, Any]:
    """One figure as the JSON has it; `ratio` is ours over the peer's, `limit` what ours may be at most."""
    ratio = ours / peer if peer else None
    return {
        "name": name,
        "ours": ours,
        "peer": peer,
        "unit": unit,
        "ratio": ratio,
        "limit": limit,
        "spread": spread,
    }


@dataclass(frozen=True, slots=True)
class Timed:
    """How long a process took, its processor time (seconds both) and the most memory it held (MiB)."""

    wall: float
    processor: float
    memory: float
    output: str


def timed(words: Sequence[str], **environment: str) -> Timed:
    """Run `python <words>` in the checkout to a good end."""
    before = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as said:
        output = said.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{words} ended with {process.returncode}"
    wall = time.monotonic() - before
    return Timed(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile, of few values the largest."""
    return max(values) if len(values) < 100 else statistics.quantiles(values, n=100)[98]


def own_memory() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
