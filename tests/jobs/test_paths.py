"""Commands write to the folders that they are given, whatever their names, and to no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fingpt.runs.freeze import SAMPLE

ROOT = Path(__file__).parent.parent.parent


def job(folder: Path, name: str, *words: str, **arguments: str) -> str:
    """`python -m jobs.<name>` in `folder`, with arguments as make passes them on; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *words],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder / "home"),
            "FINGPT_STORE": arguments.pop("STORE", ""),
            **{f"FINGPT_ARG_{key}": value for key, value in arguments.items()},
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow  # three processes each
@pytest.mark.parametrize("name", ["Bob's week%20one #1", "~/my results"])
def test_rows_and_results_lie_where_they_are_said_to_lie(tmp_path, name):
    place = tmp_path / (f"home/{name[2:]}" if name.startswith("~/") else name)
    shutil.copytree(SAMPLE, place / "rows")
    store = f"{name}/store"
    job(
        tmp_path,
        *("submit", "prep", "--mode", "local"),
        MODEL="tiny-llama31",
        DATA=f"{name}/rows",
        LIMIT="8",
        STORE=store,
        SET="prep.test_weeks=2 'prep.split=published'",
    )
    (run,) = [path.name for path in (place / "store" / "runs").iterdir()]
    config = json.loads((place / "store" / "runs" / run / "run.json").read_bytes())["config"]
    assert (config["prep"]["limit"], config["prep"]["test_weeks"]) == (8, 2)
    printed = job(tmp_path, "collect", RUN=run, OUT=f"{name}/out", STORE=store)
    assert printed == f"{place}/out\n" or printed == f"{name}/out\n"
    assert (place / "out" / "prep" / "COMPLETE.json").is_file()
    assert sorted(path.name for path in place.iterdir()) == ["out", "rows", "store"]
    assert {path.name for path in tmp_path.iterdir()} <= {"home", name}
