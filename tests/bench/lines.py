"""What a benchmark measures: lines of ours beside a peer in the same run, medians of three, as JSON and as a table.

A rate counts what a user waits for, so more is better. Ratios are ours over the peer's: they compare across machines of
one kind where rates do not.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.bench import kept

TIMES = 3
DISAGREEMENT = 2.0
"""Pairs of a line may differ by this factor without a warning.

Epochs that warm up differ by 1.7 at most in the runs that are kept, on an idle machine all but one line by less than 2;
on a busy one it was 67. A median of three such pairs tells nothing about the tenth that bench-check looks for.
"""
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "accelerate", "boto3", "urllib3")


@dataclass(frozen=True)
class Line:
    """One thing measured: median rates in `unit`, `ratio` of both, the least and the most ratio of one pair of runs.

    `limit`: the rate that the hardware allows, measured in the same run, where one is known. `rates`: of each
    repetition, "ours" and "peer", in the order they were taken; None in what was kept before they were.
    """

    name: str
    ours: float
    peer: float
    unit: str
    ratio: float
    limit: float | None
    spread: tuple[float, float]
    rates: dict[str, list[float]] | None = None


def line(
    name: str,
    unit: str,
    rates: tuple[Sequence[float], Sequence[float]],
    limit: float | None = None,
) -> Line:
    """A line of measured rates, ours and the peer's, taken in pairs."""
    ours, peer = map(statistics.median, rates)
    pairs = [one / other for one, other in zip(*rates, strict=True)]
    each = {"ours": list(rates[0]), "peer": list(rates[1])}
    return Line(name, ours, peer, unit, ours / peer, limit, (min(pairs), max(pairs)), each)


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
    own: Path | None = None,
) -> Path:
    """Keep a benchmark's figures under docs/benchmarks, named by day, kind and machine, and `more` beside its lines.

    Another run's file is never replaced (see `keep`); `own` is the file that this run wrote before, which is.
    """
    content = {**_content(kind, about, lines, left_out), **(more or {})}
    if own is None:
        return kept.keep(content, kept.FOLDER / f"{content['date']}-{kind}-{about['name']}.json")
    own.write_text(kept.as_json(content), "utf-8")
    return own


def _content(
    kind: str, about: dict[str, str], lines: Sequence[Line], left_out: Sequence[str]
) -> dict[str, Any]:
    return {
        "benchmark": kind,
        **kept.origin(),
        "machine": about,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
        "lines": [asdict(one) for one in lines],
        "left_out": list(left_out),
    }


def table(lines: Sequence[Line]) -> str:
    """The figures as a Markdown table, and a warning for each line whose pairs disagree."""
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
    warnings = [found for one in lines if (found := disagreement(one.name, one.spread))]
    return "\n".join([*rows, "", *warnings] if warnings else rows)


def disagreement(name: str, spread: tuple[float, float]) -> str:
    """A warning where the pairs of a line are further apart than DISAGREEMENT; empty where they are not."""
    low, high = spread
    if high <= low * DISAGREEMENT:
        return ""
    return (
        f"Warning: pairs of one line disagree by a factor of {high / low:.1f} ({low:.2f} to {high:.2f}): {name}. "
        "Measure it again on an idle machine before you use its ratio."
    )
