"""Sweeps by real processes of this machine, tiny models, and kills of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fingpt.storage import ObjectStore

ROOT = Path(__file__).parents[2]

_COMMAND = """
import os, pathlib, re, signal, sys, typer, jobs
from fingpt.storage.local import LocalStore
jobs.SWEEPS = pathlib.Path(sys.argv.pop())
fatal, create = sys.argv.pop(), LocalStore.create
def mortal(store, key, data):
    done = create(store, key, data)
    if done and fatal and re.search(fatal, key):
        os.kill(os.getpid(), signal.SIGKILL)
    return done
LocalStore.create = mortal
from jobs.sweep import main
typer.run(main)
"""


def started(store: Path, space: str, settings: str, fatal: str = "") -> subprocess.Popen[bytes]:
    """`make sweep LIMIT=8 LOCAL=1`, with a search of the folder above the store.

    `fatal`: once the controller has written a key that matches, it is killed (SIGKILL); its trials live on.
    """
    given = {"SPACE": space, "MODEL": "tiny-llama31", "LIMIT": "8", "SET": settings}
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "--mode", "local", fatal, str(store.parent)],
        cwd=ROOT,
        env={
            **os.environ,
            "FINGPT_STORE": str(store),
            **{f"FINGPT_ARG_{name}": value for name, value in given.items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def pruned(folder: Path, store: ObjectStore) -> set[str]:
    """`make prune CONFIRM=1` on a store that nobody has touched for a day; the keys that are gone."""
    then = time.time() - 86400
    for path in folder.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)
    before = set(store.keys())
    environment = {**os.environ, "FINGPT_STORE": str(folder)}
    command = [sys.executable, "-m", "jobs.prune", "--confirm"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return before - set(store.keys())


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the controller and all that it has started, sessions of their own included."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except (OSError, ValueError, IndexError):
            continue
    doomed = [process.pid]
    for parent in doomed:
        doomed += [child for child, its in parents.items() if its == parent]
    for pid in doomed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()


def until(seconds: float, store: ObjectStore, count: int, part: str) -> None:
    """Wait until so many objects of that kind are there."""
    end = time.monotonic() + seconds
    while sum(part in key for key in store.keys("")) < count:
        assert time.monotonic() < end, f"no {count} of {part} within {seconds} s"
        time.sleep(0.1)
