"""What a benchmark measures: lines of ours beside a peer in the same run, medians of three, as JSON and as a table.

A rate counts what a user waits for, so more is better. Ratios are ours over the peer's: they compare across machines of
one kind where rates do not.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

TIMES = 3
DOCS = Path(__file__).resolve().parents[2] / "docs"
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "accelerate", "boto3", "urllib3")


@dataclass(frozen=True)
class Line:
    """One thing measured: median rates in `unit`, `ratio` of both, the least and the most ratio of one pair of runs.

    `limit`: the rate that the hardware allows, measured in the same run, where one is known.
    """

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    limit: float | None
    spread: tuple[float, float]


def line(
    name: str,
    unit: str,
    rates: tuple[Sequence[float], Sequence[float]],
    limit: float | None = None,
) -> Line:
    """A line of measured rates, ours and the peer's, taken in pairs."""
    ours, peer = map(statistics.median, rates)
    pairs = [one / other for one, other in zip(*rates, strict=True)]
    return Line(name, ours, peer, unit, ours / peer, limit, (min(pairs), max(pairs)))


def alternate(
    amount: float, ours: Callable[[], object], peer: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Rates of both in `amount` per second, TIMES times in turn: what disturbs the machine disturbs both."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(TIMES):
        for act, found in zip((ours, peer), rates, strict=True):
            start = time.perf_counter()
            act()
            found.append(amount / (time.perf_counter() - start))
    return rates


def machine(gpu: dict[str, str] | None = None) -> dict[str, str]:
    """What ratios depend on; `name` stands in the name of the file."""
    found = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*:\s*(.*)", found.read_text()) if found.is_file() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processor = (models or [platform.processor() or platform.machine()])[0]
    name = (gpu or {}).get("device", f"{cores} cores {processor}")
    slug = "-".join(re.findall("[a-z0-9]+", name.lower()))[:60]
    return {"name": slug, "processor": processor, "cores": str(cores), **(gpu or {})}


def write(
    kind: str,
    about: dict[str, str],
    lines: Sequence[Line],
    left_out: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Keep a benchmark's figures under docs/benchmarks, named by day, kind and machine, and `more` beside its lines."""
    day = datetime.now(UTC).date().isoformat()
    path = DOCS / "benchmarks" / f"{day}-{kind}-{about['name']}.json"
    path.parent.mkdir(exist_ok=True)
    content = {**_content(kind, about, lines, left_out), **(more or {})}
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return path


def _content(
    kind: str, about: dict[str, str], lines: Sequence[Line], left_out: Sequence[str]
) -> dict[str, Any]:
    return {
        "benchmark": kind,
        "machine": about,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
        "lines": [asdict(one) for one in lines],
        "left_out": list(left_out),
    }


def table(lines: Sequence[Line]) -> str:
    """The figures as a Markdown table."""
    rows = [
        "| | ours | the peer | ratio (least to most) | share of the limit |",
        "|---|---:|---:|---:|---:|",
    ]
    for one in lines:
        share = "" if one.limit is None else f"{one.ours / one.limit:.0%} of {one.limit:,.4g}"
        low, high = one.spread
        rows.append(
            f"| {one.name} | {one.ours:,.4g} {one.unit} | {one.peer:,.4g} | "
            f"{one.ratio:.2f} ({low:.2f} to {high:.2f}) | {share} |"
        )
    return "\n".join(rows)
