"""Holds a benchmark's JSON against one of the same kind and machine: make bench-check BEFORE=a.json AFTER=b.json

Fails (1) with one line for each ratio that fell by more than a tenth, and for each line that is missing, with what
AFTER says it left out; what cannot be compared is refused (64). Notes tell what else could have moved a ratio. Rates
are not compared: another hour of the same machine changes them, ratios it does not.
"""

from __future__ import annotations

import os
import sys

from fingpt.errors import ConfigError, FingptError
from tests.bench.lines import disagreement
from tests.bench.record import Benchmark, read

FALL = 0.1
"""A ratio may be this share lower than before."""


def faults(before: Benchmark, after: Benchmark) -> list[str]:
    """One line for each ratio that fell too far or is missing; ConfigError for benchmarks that do not compare."""
    for word, was, now in (
        ("benchmarks", before.benchmark, after.benchmark),
        ("machines", before.machine["name"], after.machine["name"]),
    ):
        if was != now:
            raise ConfigError(
                f"BEFORE and AFTER are of different {word}, {was} and {now}; their ratios do not compare: measure both "
                "alike."
            )
    if before == after:
        raise ConfigError(
            "BEFORE and AFTER are the same benchmark; name that of an earlier run as BEFORE."
        )
    ratios = {each.name: each.ratio for each in after.lines}
    found, missing = [], []
    for each in before.lines:
        ratio = ratios.get(each.name)
        if ratio is None:
            missing.append(f"{each.name}: was {each.ratio:.2f}, is missing")
        elif ratio < each.ratio * (1 - FALL):
            found.append(
                f"{each.name}: fell from {each.ratio:.2f} to {ratio:.2f}, {ratio / each.ratio - 1:+.0%}"
            )
    if missing:
        missing += [f"AFTER left out {reason}" for reason in after.left_out]
    return found + missing


def notes(before: Benchmark, after: Benchmark) -> list[str]:
    """What else could have moved a ratio: other versions or parts of the machine, pairs that disagree."""
    found = []
    for was, now in ((before.versions, after.versions), (before.machine, after.machine)):
        for name in sorted(was.keys() | now.keys()):
            then, today = was.get(name, "not told"), now.get(name, "not told")
            if then != today:
                found.append(f"Note: {name} was {then} and is {today}.")
    for variable, one in (("BEFORE", before), ("AFTER", after)):
        warnings = (disagreement(each.name, each.spread) for each in one.lines)
        found += [f"{variable}: {warning}" for warning in warnings if warning]
    return found


def main() -> int:
    """Print what got worse, and what else may have moved it; the exit code."""
    try:
        before, after = (
            read(name, os.environ.get(f"FINGPT_ARG_{name}", "")) for name in ("BEFORE", "AFTER")
        )
        worse = faults(before, after)
    except FingptError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(worse) or f"None of {len(before.lines)} ratios fell by more than a tenth.")
    print("".join(f"{note}\n" for note in notes(before, after)), end="")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
