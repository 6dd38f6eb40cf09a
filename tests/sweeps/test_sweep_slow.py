"""`make sweep LOCAL=1` of a tiny model, killed with all its processes, ends as an undisturbed one does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fingpt.runs.run import Stage, run_key
from fingpt.runs.stage import load_run
from fingpt.runs.verify import require_sound, verify
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.records import SweepManifest, complete_key, read

ROOT = Path(__file__).parents[2]
SPACE = "method: grid\nparallel: 2\nspace: {train.lr: [2e-3, 5e-3]}\n"  # the smallest that there is
SETTINGS = "train.epochs=1 eval.include_base=false eval.answer_rows=1 eval.max_new_tokens=8 train.max_tokens=512"


COMMAND = """
import sys, pathlib, typer, jobs
jobs.SWEEPS = pathlib.Path(sys.argv.pop())
from jobs.sweep import main
typer.run(main)
"""


def started(store: Path) -> subprocess.Popen[bytes]:
    """`make sweep`, with a search of the folder above the store."""
    given = {"SPACE": "two", "MODEL": "tiny-llama31", "LIMIT": "8", "SET": SETTINGS}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--mode", "local", str(store.parent)],
        cwd=ROOT,
        env={
            **os.environ,
            "FINGPT_STORE": str(store),
            **{f"FINGPT_ARG_{name}": value for name, value in given.items()},
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


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


def results(manifest: SweepManifest) -> dict[str, Any]:
    plain = json.loads(manifest.model_dump_json(exclude={"finished_at", "inputs"}))
    for tells in plain["tells"].values():
        for tell in tells:
            del tell["seconds"], tell["gpu_seconds"]
    return plain


def ended(process: subprocess.Popen[bytes], store: ObjectStore) -> SweepManifest:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    manifest = read(store, SweepManifest, complete_key(said.decode().split()[-1]))
    assert manifest is not None
    return manifest


@pytest.mark.slow
@pytest.mark.part2
@pytest.mark.timeout(900)  # two sweeps of processes that each load torch
def test_a_sweep_killed_in_the_middle_goes_on_to_the_same_end(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    (tmp_path / "two.yaml").write_text(SPACE)
    undisturbed = open_store(whole.as_uri())
    reference = ended(started(whole), undisturbed)
    assert [each.state for each in reference.tells["tiny-llama31"]] == ["complete"] * 2

    shutil.copytree(whole / "models", broken / "models")  # the tiny base, half a minute's work
    store = open_store(broken.as_uri())
    first = started(broken)
    until(300, store, 1, "/tells/")
    kill_with_children(first)
    assert not store.exists(complete_key(reference.sweep))
    second = started(broken)
    until(300, store, 1, "/eval/claims/")
    kill_with_children(second)
    manifest = ended(started(broken), store)

    assert results(manifest) == results(reference)
    finals = manifest.finals["tiny-llama31"]
    assert (
        finals.chosen == finals.default
    )  # the best of the grid is the configuration itself: one training for both
    opened = {key.rpartition("/")[2] for key in store.keys("openings/")}
    assert opened == {f"{each}-eval.json" for each in (*finals.chosen, *finals.default)}
    trials = [key.split("/")[1] for key in store.keys("runs/") if key.endswith("/trial.json")]
    assert len(trials) == 2
    for run_id in (*trials, finals.chosen[0]):
        require_sound(run_id, verify(store, run_id))
        adapter = f"runs/{run_id}/train/adapter/adapter_model.safetensors"
        assert store.read(adapter, 1 << 28) == undisturbed.read(adapter, 1 << 28)
        assert load_run(store, run_id).encode() == store.read(run_key(run_id))
    assert len([key for key in store.keys("datasets/") if key.endswith("/manifest.json")]) == 1
    assert not [
        key for key in store.keys("runs/") if f"/{Stage.PREP}/" in key and "/claims/000003" in key
    ]
    shutil.rmtree(broken)
