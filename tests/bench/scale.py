"""`make bench-scale`: ten thousand trials and ten thousand runs, each beside what else there is, as ratios and JSON.

Three parts, each left out with a sentence where what it needs is not there:
lists       `make list` and `make status SWEEP=` on invented runs and trials at a real S3 server (versitygw)
traffic     what concurrent trials ask of that server: claims, heartbeats, checkpoints, by the code that trials run
cluster     an Indexed Job on simulated nodes of the cluster that KUBECONFIG names, by our client and by bare kubectl

    python -m tests.bench.scale [--runs 10000] [--concurrent 1000] [--trials 10000] [--only lists] [--out FILE]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fingpt.errors import SetupError
from tests.bench import kept, scale_cluster, scale_lists, scale_traffic

Line = dict[str, Any]


def machine() -> str:
    """Processor and memory, and how busy it was: figures of a busy machine are no figures."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, load {load:.1f} when it began"


def parts(options: argparse.Namespace) -> dict[str, Callable[[Path], list[Line]]]:
    return {
        "lists": lambda folder: scale_lists.measure(folder, options.runs),
        "traffic": lambda folder: scale_traffic.measure(folder, options.concurrent),
        "cluster": lambda folder: scale_cluster.measure(folder, options.trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=1_000)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--only", choices=["lists", "traffic", "cluster"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    where, lines, left_out = machine(), [], []
    for name, part in parts(options).items():
        if options.only and name != options.only:
            continue
        scratch = Path(tempfile.mkdtemp(prefix=f"fingpt-bench-{name}-"))
        try:
            found = part(scratch)
        except SetupError as fault:
            left_out.append(f"{name}: {fault}")
            print(f"left out: {name}: {fault}", file=sys.stderr)
            continue
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        for line in found:
            print(as_text(line), flush=True)
        lines += found
    record = {
        "benchmark": "scale",
        **kept.origin(),
        "machine": where,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("boto3", "kubernetes")},
        },
        "left_out": left_out,
        "lines": lines,
    }
    print(kept.keep(record, options.out or kept.FOLDER / f"{record['date']}-scale.json"))
    over = [
        line["name"] for line in lines if line["limit"] is not None and line["ours"] > line["limit"]
    ]
    if over:
        sys.exit(f"above its limit: {', '.join(over)}")
    if not lines:
        sys.exit(SetupError.exit_code)


def as_text(line: Line) -> str:
    """One line: ours, the peer's, their ratio, the limit."""
    peer = "" if line["peer"] is None else f", peer {line['peer']:g}"
    ratio = "" if line["ratio"] is None else f", ratio {line['ratio']:.2f}"
    limit = "" if line["limit"] is None else f", limit {line['limit']:g}"
    return f"{line['name']}: {line['ours']:g} {line['unit']}{peer}{ratio}{limit}"


if __name__ == "__main__":
    main()
