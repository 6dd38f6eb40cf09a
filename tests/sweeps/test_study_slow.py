"""A Bayesian search with pruning by real trainings, its controller killed at every kind of moment, is one search."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fingpt.runs.manifest import decode
from fingpt.runs.progress import sound_commits
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.records import Ask, Tell
from tests.sweeps.processes import kill_with_children, pruned, started, until

SPACE = """
method: tpe
trials: 4
parallel: 2
pruning: {reduction: 2, first: 0.5}
space:
  train.lr: {low: 5e-4, high: 2e-2, log: true}
  train.lora.r: [4, 8]
"""
SETTINGS = "train.epochs=2 train.max_tokens=512"
GIVEN = ("four", SETTINGS)
CHOICE = r"/choice\.json$"


def records(store: ObjectStore) -> dict[str, Any]:
    """All records of the only sweep but who controlled it; a trial's seconds are those of machines."""
    found = {}
    for key in store.keys("sweeps/"):
        if "/controllers/" not in key:
            record = json.loads(store.read(key))
            found[key] = {
                **record,
                **{name: 0 for name in ("seconds", "gpu_seconds", "seal") if name in record},
            }
    return found


def numbered(store: ObjectStore, kind: type[Any], folder: str) -> list[Any]:
    keys = [key for key in store.keys("sweeps/") if f"/{folder}/" in key]
    return [decode(kind, store.read(key), key) for key in keys]


@pytest.mark.slow
@pytest.mark.part4
@pytest.mark.timeout(900)  # two searches of processes that each load torch
def test_a_search_killed_after_an_ask_a_report_a_tell_and_amid_trainings_asks_and_chooses_the_same(
    tmp_path,
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    (tmp_path / "four.yaml").write_text(SPACE)
    undisturbed, store = open_store(whole.as_uri()), open_store(broken.as_uri())
    killed(whole, CHOICE)  # what follows the choice is test_sweep_slow's
    tells = numbered(undisturbed, Tell, "tells")
    assert {"complete", "pruned"} == {each.state for each in tells}

    shutil.copytree(whole / "models", broken / "models")  # the tiny base, half a minute's work
    killed(broken, r"/asks/000000")  # asked, and nothing begun
    killed(broken, r"/reports/")  # one trial paused, another one training on by itself
    amid = started(broken, *GIVEN)
    until(300, store, 3, "/train/claims/")
    kill_with_children(amid)
    killed(broken, r"/tells/")  # told, and the next not asked
    killed(broken, CHOICE)

    assert records(store) == records(undisturbed)
    for ask, tell in zip(numbered(store, Ask, "asks"), tells, strict=True):
        adapter = f"runs/{ask.run_id}/train/adapter/adapter_model.safetensors"
        assert store.exists(adapter) == (tell.state == "complete")
        if tell.state == "complete":
            assert store.read(adapter, 1 << 28) == undisturbed.read(adapter, 1 << 28)
    kept = {
        ask.run_id: next(sound_commits(store, ask.run_id)) for ask in numbered(store, Ask, "asks")
    }
    gone = pruned(broken, store)
    assert not [key for key in gone if key.startswith("sweeps/")]
    for run_id, commit in kept.items():  # what a pruned trial would go on from
        assert {f"{commit.prefix}/{file.name}" for file in commit.files} <= set(
            store.keys(f"runs/{run_id}/")
        )
    shutil.rmtree(broken)


def killed(store: Path, fatal: str) -> None:
    """A controller that goes on until it has written such a key, and is killed at once."""
    process = started(store, *GIVEN, fatal)
    process.communicate(timeout=600)
    assert process.returncode == -9, f"{fatal} was never written"
