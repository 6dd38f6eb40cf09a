"""`make eval ADAPTER=hub:…`: rows are prepared, the adapter is frozen, and what lacks is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import save

from fingpt.eval.foreign import CONFIG, WEIGHTS
from fingpt.runs.run import Stage, complete_key
from fingpt.storage import open_store
from tests.eval.test_foreign import SETTINGS, tensors
from tests.hub_server import TOKEN, HubServer, serving

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow  # submit, and prep as its process
def test_an_adapter_on_the_hub_is_frozen_and_its_rows_are_prepared_by_one_command(tmp_path):
    files = {CONFIG: json.dumps(SETTINGS).encode(), WEIGHTS: save(tensors()), "optimizer.bin": b"x"}
    with serving(HubServer("owner/name", "a" * 40, files, gated=True)) as server:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.submit", "eval", "--mode", "local"],
            cwd=ROOT,
            env={
                "FINGPT_STORE": str(tmp_path / "my store"),
                "FINGPT_CACHE": str(tmp_path / "cache"),
                "HF_ENDPOINT": server.url,
                "HF_HOME": str(tmp_path / "hf"),
                "HF_TOKEN": TOKEN,
                "NO_PROXY": "127.0.0.1,localhost",
                "PATH": os.environ["PATH"],
                "FINGPT_ARG_MODEL": "llama31",
                "FINGPT_ARG_DATA": "sample",
                "FINGPT_ARG_LIMIT": "4",
                "FINGPT_ARG_ADAPTER": f"hub:owner/name@{'a' * 40}",
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not server.asked("GET", "optimizer")
    assert done.returncode == 66, done.stderr
    assert "make mirror MODEL=llama31" in done.stderr
    assert TOKEN not in done.stderr
    store = open_store((tmp_path / "my store").as_uri())
    keys = list(store.keys("adapters/"))
    assert [key.partition("/")[2].partition("/")[2] for key in keys] == [
        f"adapter/{CONFIG}",
        f"adapter/{WEIGHTS}",
        "manifest.json",
    ]
    (run,) = [key.split("/")[1] for key in store.keys("runs/") if key.endswith("run.json")]
    assert store.exists(complete_key(run, Stage.PREP))
    assert store.read(keys[1]) == files[WEIGHTS]
