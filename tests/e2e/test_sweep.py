"""A search in pods: an Indexed Job of four trials, one of whose pods is deleted, and the controller's pod too."""

from __future__ import annotations

import json

import pytest

from fingpt.runs.verify import require_sound, verify
from fingpt.sweeps.records import SweepManifest, complete_key, read
from tests.e2e.chart_lab import kubectl
from tests.e2e.run_lab import RunLab, until

pytestmark = pytest.mark.e2e

GIVEN = {
    "SPACE": "tiny-grid",
    "MODEL": "tiny-llama31",
    "LIMIT": "8",
    # The best point of the grid is the configuration itself, so that final runs are trained once for both.
    "SET": "train.epochs=2 train.max_tokens=512 eval.include_base=false eval.answer_rows=1 eval.max_new_tokens=8",
}


def pods(lab: RunLab, component: str, phase: str = "Running") -> list[str]:
    words = ("-l", f"app.kubernetes.io/component={component}", "-o", "json")
    found = json.loads(kubectl("get", "pods", "-n", lab.namespace, *words))["items"]
    return [each["metadata"]["name"] for each in found if each["status"].get("phase") == phase]


def swept(lab: RunLab, part: str) -> list[str]:
    return [key for key in lab.store.keys("sweeps/") if part in key]


@pytest.mark.part5
def test_a_search_outlives_a_trial_s_pod_and_its_controller_s(run_lab, monkeypatch):
    for name, value in GIVEN.items():
        monkeypatch.setenv(f"FINGPT_ARG_{name}", value)
    follower = run_lab.start("sweep")
    (key,) = until(120, "the sweep is frozen", lambda: swept(run_lab, "/sweep.json"))
    sweep = key.split("/")[1]
    job = f"{sweep}-tiny-llama31-trial"

    first = until(240, "a trial runs", lambda: pods(run_lab, "trial"))[0]
    kubectl("delete", "pod", first, "-n", run_lab.namespace, "--wait=false")
    controller = until(60, "the controller runs", lambda: pods(run_lab, "sweep"))[0]
    kubectl("delete", "pod", controller, "-n", run_lab.namespace, "--wait=false")
    said = follower.communicate(timeout=600)[0]
    assert follower.returncode == 0, said
    assert said.split()[-1] == sweep

    status = json.loads(kubectl("get", "job", job, "-n", run_lab.namespace, "-o", "json"))["status"]
    assert (status["completedIndexes"], status.get("failedIndexes", "")) == ("0-3", "")
    manifest = read(run_lab.store, SweepManifest, complete_key(sweep))
    assert manifest is not None
    assert [each.state for each in manifest.tells["tiny-llama31"]] == ["complete"] * 4
    finals = manifest.finals["tiny-llama31"]
    assert finals.failed == {}
    trials = [
        key.split("/")[1]
        for key in run_lab.store.keys("runs/")
        if key.endswith("/trial.json") and sweep.encode() in run_lab.store.read(key)
    ]
    assert len(trials) == 4
    opened = {
        key.rpartition("/")[2].removesuffix("-eval.json") for key in run_lab.store.keys("openings/")
    }
    assert {*finals.chosen, *finals.default} <= opened
    assert not opened & set(trials)
    for run_id in (trials[0], finals.chosen[0]):
        require_sound(run_id, verify(run_lab.store, run_id))

    again = run_lab.command("sweep")
    assert again.returncode == 0, again.stderr
    assert "sweep is complete, nothing to do" in again.stderr
    monkeypatch.delenv("FINGPT_ARG_MODEL")  # `make cancel` takes one of both
    gone = run_lab.command("cancel", "--sweep", sweep)
    assert gone.returncode == 0, gone.stderr
    own = ("-n", run_lab.namespace, "-l", f"fingpt-jobs/sweep={sweep}", "-o", "name")
    until(60, "its Jobs are gone", lambda: kubectl("get", "jobs", *own).strip() == "")
