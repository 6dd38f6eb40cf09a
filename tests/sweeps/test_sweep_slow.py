"""`make sweep LOCAL=1` of a tiny model, killed with all its processes, ends as an undisturbed one does."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from fingpt.runs.links import LinkStatus
from fingpt.runs.run import Stage, run_key
from fingpt.runs.stage import load_run
from fingpt.runs.verify import require_sound, verify
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.records import SweepManifest, complete_key, read
from fingpt.sweeps.verify import verify_sweep
from tests.sweeps.processes import kill_with_children, pruned, started, until

SPACE = "method: grid\nparallel: 2\nspace: {train.lr: [2e-3, 5e-3]}\n"  # the smallest that there is
SETTINGS = "train.epochs=1 eval.include_base=false eval.answer_rows=1 eval.max_new_tokens=8 train.max_tokens=512"
GIVEN = ("two", SETTINGS)


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
    reference = ended(started(whole, *GIVEN), undisturbed)
    assert [each.state for each in reference.tells["tiny-llama31"]] == ["complete"] * 2

    shutil.copytree(whole / "models", broken / "models")  # the tiny base, half a minute's work
    store = open_store(broken.as_uri())
    first = started(broken, *GIVEN)
    until(300, store, 1, "/tells/")
    kill_with_children(first)
    assert not store.exists(complete_key(reference.sweep))
    second = started(broken, *GIVEN)
    until(300, store, 1, "/eval/claims/")
    kill_with_children(second)
    manifest = ended(started(broken, *GIVEN), store)

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
    gone = pruned(broken, store)
    assert {key.partition("/")[0] for key in gone} == {"probe"}, gone
    assert {link.status for link in verify_sweep(store, manifest.sweep)} == {LinkStatus.OK}
    shutil.rmtree(broken)
