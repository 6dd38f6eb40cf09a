"""Holds a benchmark's JSON against one of the same kind and machine: make bench-check BEFORE=a.json AFTER=b.json

Fails (1) with one line for each ratio that fell by more than a tenth, and for each line that is missing; what cannot be
compared is refused (64). Rates are not compared: another hour of the same machine changes them, ratios it does not.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from fingpt.errors import ConfigError, FingptError

FALL = 0.1
"""A ratio may be this share lower than before."""


def read(variable: str, path: str) -> dict[str, Any]:
    """The benchmark at `path`; ConfigError where it is none."""
    if not path:
        raise ConfigError(
            f"{variable} names no benchmark; give both, such as make bench-check BEFORE=docs/benchmarks/a.json "
            "AFTER=docs/benchmarks/b.json."
        )
    try:
        found = json.loads(Path(path).read_text("utf-8"))
        ratios = {each["name"]: float(each["ratio"]) for each in found["lines"]}
        return {"kind": found["benchmark"], "machine": found["machine"]["name"], "ratios": ratios}
    except OSError as error:
        raise ConfigError(
            f"{variable}={path} cannot be read ({error.strerror}); name the JSON of a benchmark."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{variable}={path} is not the JSON of a benchmark; make bench writes one under docs/benchmarks."
        ) from None


def faults(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line for each ratio that fell too far or is missing; ConfigError for benchmarks of different things."""
    for what, word in (("kind", "benchmarks"), ("machine", "machines")):
        if before[what] != after[what]:
            raise ConfigError(
                f"BEFORE and AFTER are of different {word}, {before[what]} and {after[what]}; their ratios do not "
                "compare: measure both alike."
            )
    found = []
    for name, was in before["ratios"].items():
        now = after["ratios"].get(name)
        if now is None:
            found.append(f"{name}: was {was:.2f}, is missing")
        elif now < was * (1 - FALL):
            found.append(f"{name}: fell from {was:.2f} to {now:.2f}, {now / was - 1:+.0%}")
    return found


def main() -> int:
    """Print what got worse; the exit code."""
    try:
        before, after = (
            read(name, os.environ.get(f"FINGPT_ARG_{name}", "")) for name in ("BEFORE", "AFTER")
        )
        worse = faults(before, after)
    except FingptError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(worse) or f"None of {len(before['ratios'])} ratios fell by more than a tenth.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
