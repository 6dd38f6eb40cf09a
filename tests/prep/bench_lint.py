"""How long the linter takes for as many rows as the published set has, and for four times as many: `make bench-lint`.

Prints CPU seconds of one core and their ratio: 4 is linear. The yardstick is the importer, which reads every row once.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fingpt.prep.importer import import_rows
from fingpt.prep.lint import lint
from fingpt.prompts.examples import Example
from fingpt.rows.raw_rows import RawRow

ROWS = 1530


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this process, all its threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def vars_of(row: Example) -> dict[str, object]:
    """The published columns of a row, but for its answer."""
    return {name: getattr(row, name) for name in ("symbol", "period", "label", "prompt")}


def main() -> None:
    """Measure and print."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    spec = importlib.util.spec_from_file_location(
        "lint_rows", Path(__file__).parent / "lint" / "test_leaks.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    lint(module.made_rows(60))  # what is done once
    print("| rows | lint, CPU s | import, CPU s | lint / import |\n|---:|---:|---:|---:|")
    seconds = []
    for count in (ROWS, 4 * ROWS):
        rows = module.made_rows(count)
        raw = [
            RawRow(split, "rows.jsonl", number, {**vars_of(row), "answer": row.raw_answer})
            for split, part in rows.items()
            for number, row in enumerate(part, start=1)
        ]
        reading = cpu_seconds(lambda raw=raw: import_rows(raw, 1.0))  # type: ignore[misc]
        seconds.append(cpu_seconds(lambda rows=rows: lint(rows)))  # type: ignore[misc]
        print(f"| {count:,} | {seconds[-1]:.1f} | {reading:.2f} | {seconds[-1] / reading:.0f} |")
    print(f"\nFour times the rows take {seconds[1] / seconds[0]:.1f} times as long.")


if __name__ == "__main__":
    main()
