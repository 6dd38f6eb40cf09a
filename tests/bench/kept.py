"""Keeps a benchmark's JSON where none is ever replaced: later runs are held against what an earlier one found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "benchmarks"


def keep(content: Mapping[str, Any], wanted: Path) -> Path:
    """Write to `wanted`, or where that name is taken to the first free one of NAME-2, NAME-3, …; says so, and where."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    path, number = wanted, 1
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(as_json(content))
        except FileExistsError:
            # An earlier run's figures, or those of one that ends at the same time.
            number += 1
            path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
            continue
        if path != wanted:
            print(
                f"{wanted} is of an earlier run and stays; this one is kept in {path}.",
                file=sys.stderr,
            )
        return path


def as_json(content: Mapping[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(content, indent=1) + "\n"


def origin() -> dict[str, str | None]:
    """Of which commit the code is, with -dirty where tracked files differ from it, and the day (UTC).

    The commit is None where there is no git or no repository, as in an image.
    """
    words = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        commit = done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, no repository
        commit = None
    return {"commit": commit, "date": datetime.now(UTC).date().isoformat()}
