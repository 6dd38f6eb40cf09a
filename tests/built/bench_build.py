"""How long 30 symbols take and how much memory: `python -m tests.built.bench_build YEARS FOLDER`.

The market is invented into FOLDER/market the first time; the second call builds from it. Prints rows,
seconds, CPU seconds and the peak of resident memory.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from datetime import date
from pathlib import Path

from fingpt.built.build import build
from fingpt.sources.selection import parse_selection
from fingpt.storage import open_store
from fingpt.synthetic.market import write_market

SYMBOLS = tuple(f"S{number:02d}" for number in range(30))
LAST = date(2025, 12, 31)


def main() -> None:
    """Invent, or measure and print."""
    years, folder = int(sys.argv[1]), Path(sys.argv[2])
    market, store = folder / "market", folder / "store"
    if not market.is_dir():
        write_market(market, SYMBOLS, date(LAST.year - years - 1, 6, 1), LAST)
        return
    shutil.rmtree(store, ignore_errors=True)
    chosen = parse_selection({"sources": {"files": {"folder": str(market)}}}, "bench")
    start, cpu = time.monotonic(), time.process_time()
    made = build(
        open_store(store.absolute().as_uri()),
        chosen,
        SYMBOLS,
        (date(LAST.year - years + 1, 1, 1), LAST),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{years} years: {made.rows} rows, {time.monotonic() - start:.1f} s, "
        f"{time.process_time() - cpu:.1f} s of CPU, {peak} MiB"
    )


if __name__ == "__main__":
    main()
