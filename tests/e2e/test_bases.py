"""Base weights in pods: fetched from a gated hub with a token in a file, or made; and a run's results brought home.

The hub is on this machine, outside the cluster, and stands in the chart's values as a site's own hub does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fingpt.cluster import drive
from fingpt.cluster.api.cluster import Cluster
from fingpt.models import spec
from fingpt.runs.run import Stage, complete_key
from fingpt.runs.state import run_ids
from fingpt.storage import open_store
from fingpt.storage.deleting import open_deleter
from fingpt.weights.base import read_base_manifest
from tests.e2e.chart_lab import address_towards_nodes, apply, kubectl
from tests.e2e.invented_hub import published
from tests.e2e.run_lab import RunLab
from tests.hub_server import OTHER_TOKEN, TOKEN, HubServer, repository, serving

pytestmark = pytest.mark.e2e

MODEL, MADE = spec("llama31"), spec("tiny-deepseek-r1")
ROOT = Path(__file__).parents[2]


def gated_hub() -> HubServer:
    """The gated model and the rows of its configuration, which `make mirror` brings with it."""
    gated = HubServer(MODEL.base, MODEL.revision, repository(), gated=True)
    return published(address_towards_nodes(), gated)


def give_token(lab: RunLab, token: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fingpt-hub"}}
    apply(lab.namespace, {**secret, "stringData": {"token": f"{token}\n"}})


@pytest.fixture
def invented_weights(run_lab) -> Iterator[None]:
    """Takes what the invented hub gave out of the bucket again: it is no base that a run could use."""
    yield
    deleter = open_deleter(run_lab.store)
    for found in list(deleter.objects(f"{MODEL.base_prefix}/")):
        deleter.delete(found.key)


@pytest.mark.part3
@pytest.mark.usefixtures("invented_weights")
def test_a_gated_model_is_mirrored_by_a_pod_that_make_mirror_follows(run_lab):
    words = ("submit", "mirror", "--model", MODEL.key)
    with serving(gated_hub()) as hub:
        run_lab.upgrade("upgrade", "--set", f"hub.secret=fingpt-hub,hub.endpoint={hub.url}")
        cluster = Cluster.connect(run_lab.namespace)

        give_token(run_lab, OTHER_TOKEN)
        refused = run_lab.command(*words)
        print(f"a stranger's token: make mirror ended with {refused.returncode}: {refused.stderr}")
        assert refused.returncode == 77
        assert "accept its licence" in json.loads(refused.stderr.splitlines()[-1])["event"]

        give_token(run_lab, TOKEN)
        drive.start(cluster, drive.plan_base(MODEL, cluster.site()))
        done = run_lab.command(*words)  # one is under way, or was: it is followed
        print(f"the right token: make mirror ended with {done.returncode}: {done.stderr}")
        assert done.returncode == 0
        assert TOKEN not in done.stderr
        assert hub.asked("GET", f"^/api/models/{MODEL.base}/")[-1]["authorization"]
    assert TOKEN not in kubectl("get", "jobs,pods,events", "-n", run_lab.namespace, "-o", "json")
    manifest = read_base_manifest(run_lab.store, MODEL)
    assert {file.name for file in manifest.files} < set(repository())

    again = run_lab.command(*words)
    assert again.returncode == 0
    assert "base weights already in the store" in again.stderr
    assert "job" not in json.loads(again.stderr.splitlines()[-1])


@pytest.mark.part3
def test_a_base_that_a_pod_makes_has_the_bytes_that_this_machine_makes(run_lab, tmp_path):
    done = run_lab.command("submit", "tiny", "--model", MADE.key)
    print(f"make tiny ended with {done.returncode}: {done.stderr[-2000:]}")
    assert done.returncode == 0
    words = [sys.executable, "-m", "jobs.tiny", "--model", MADE.key]
    environment = {**os.environ, "FINGPT_STORE": tmp_path.as_uri()}
    subprocess.run(words, cwd=ROOT, env=environment, check=True, timeout=300)
    here = read_base_manifest(open_store(tmp_path.as_uri()), MADE)
    assert here.files == read_base_manifest(run_lab.store, MADE).files


@pytest.mark.core
def test_a_run_s_results_are_brought_home_verified(run_lab, reference, tmp_path):
    store = run_lab.store
    trained = [each for each in run_ids(store) if store.exists(complete_key(each, Stage.TRAIN))]
    words = ("collect", "--run", trained[0], "--out", str(tmp_path / "out"))
    done = run_lab.command(*words)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out" / "train" / "adapter").exists()
    assert run_lab.command(*words, "--adapter").returncode == 0
    weights = tmp_path / "out" / "train" / "adapter" / "adapter_model.safetensors"
    assert weights.read_bytes() == reference
