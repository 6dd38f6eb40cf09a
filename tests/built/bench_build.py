"""How long rows take and how much memory, for 1,000, 7,800 and 31,000 of them: `make bench-build`.

A market is invented for each size; its rows are built (raw data brought into the store, and linted), linted alone, and
prepared for a run, each in a process of its own. Prints rows, seconds, CPU seconds and two peaks of memory: all that is
resident, and the anonymous part alone, looked at every few milliseconds, which leaves out pages that are mapped from
files and can be dropped at any time. Of processes below one another it is the larger one.
`python -m tests.built.bench_build 5 30` does one size: years and symbols.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq

from fingpt.built.build import build
from fingpt.built.linted import linted
from fingpt.sources.selection import parse_selection
from fingpt.storage.local import LocalStore
from fingpt.synthetic.market import write_market

LAST = date(2025, 12, 31)
SIZES = ((1, 20), (5, 30), (20, 30))


def main() -> None:
    """Every size, or the one that is named; with a folder and a word behind it, one measurement of what lies there."""
    if len(sys.argv) > 4:
        _measure(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
        return
    named = ((int(sys.argv[1]), int(sys.argv[2])),) if len(sys.argv) == 3 else SIZES
    print("| what | rows | s | CPU s | peak MiB | anonymous |", flush=True)
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    for years, count in named:
        with tempfile.TemporaryDirectory(prefix="fingpt-bench-") as folder:
            first = date(LAST.year - years - 1, 6, 1)
            write_market(Path(folder) / "market", _symbols(count), first, LAST)
            for what in ("build", "lint", "prep"):
                command = [sys.executable, "-m", "tests.built.bench_build", str(years), str(count)]
                with subprocess.Popen(
                    [*command, folder, what], stdout=subprocess.PIPE, text=True
                ) as child:
                    peak = 0
                    while child.poll() is None:
                        peak = max(peak, _anonymous(child.pid))
                        time.sleep(0.01)
                    told = child.stdout.read().strip() if child.stdout else ""
                if child.returncode:
                    sys.exit(child.returncode)
                print(f"{told} {peak >> 10} |", flush=True)


def _anonymous(pid: int) -> int:
    """KiB of anonymous memory of a process, or of the largest below it; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return 0
    own = re.search(r"^RssAnon:\s+(\d+)", status, re.MULTILINE)
    return max([int(own[1]) if own else 0, *(_anonymous(int(each)) for each in below)])


def _symbols(count: int) -> tuple[str, ...]:
    return tuple(f"S{number:02d}" for number in range(count))


def _measure(years: int, count: int, folder: Path, what: str) -> None:
    store, start = LocalStore(folder / "store"), time.monotonic()
    if what == "build":
        files = {"sources": {"files": {"folder": str(folder / "market")}}}
        span = (date(LAST.year - years + 1, 1, 1), LAST)
        build(store, parse_selection(files, "bench"), _symbols(count), span)
    (rows,) = (folder / "store").glob("built/*/rows.parquet")
    if what == "lint":
        linted(rows)
    if what == "prep":
        wanted = {"MODEL": "tiny-llama31", "DATA": str(rows.parent)}
        environment = {**os.environ, "FINGPT_STORE": str(folder / "store")}
        environment |= {f"FINGPT_ARG_{name}": value for name, value in wanted.items()}
        command = [sys.executable, "-m", "jobs.submit", "prep", "--mode", "local"]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"prep ended with {done.returncode}:\n{done.stderr[-2000:]}")
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in uses)
    peak = max(each.ru_maxrss for each in uses) >> 10
    seconds, number = time.monotonic() - start, pq.read_metadata(rows).num_rows
    print(f"| {what} | {number:,} | {seconds:.1f} | {cpu:.1f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()
