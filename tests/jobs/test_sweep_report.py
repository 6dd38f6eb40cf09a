"""`make sweep-report` as a person runs it."""

from __future__ import annotations

import json

import pytest

from fingpt.errors import ConfigError
from fingpt.runs.manifest import ReportManifest, decode
from fingpt.storage import open_store
from fingpt.sweeps.report.write import sweep_report
from tests.jobs.commands import command
from tests.sweeps.invented import InventedSweep, Plan, grid


def tiny(folder):
    store = open_store((folder / "store").as_uri())
    plan = Plan(definition=grid(), models=("tiny-llama31",), device="cpu", name="tiny")
    return store, InventedSweep(store, plan).sweep.id


def test_the_page_is_stored_once_and_copied_into_a_folder(tmp_path):
    store, sweep = tiny(tmp_path)
    page = sweep_report(store, [sweep], tmp_path / "my page")
    assert page == tmp_path / "my page" / "sweep.html"
    name = json.loads((tmp_path / "my page" / "sweep.json").read_bytes())["id"]
    key = f"reports/{name}/manifest.json"
    manifest = decode(ReportManifest, store.read(key), key)
    assert {file.name for file in manifest.files} == {"sweep.html", "sweep.json", "sweep.md"}
    assert store.read(f"reports/{name}/sweep.html") == page.read_bytes()
    before = list(store.keys("reports/"))
    sweep_report(store, [sweep], tmp_path / "again")
    assert list(store.keys("reports/")) == before


def test_a_sweep_must_be_named_and_once(tmp_path):
    store, sweep = tiny(tmp_path)
    with pytest.raises(ConfigError, match="SWEEP names no sweep"):
        sweep_report(store, [])
    with pytest.raises(ConfigError, match="named twice"):
        sweep_report(store, [sweep, sweep])


def test_an_unknown_sweep_ends_with_66_in_one_sentence(tmp_path):
    done = command(tmp_path, "sweep_report", "--sweep", "none-00000000")
    assert done.returncode == 66
    assert "no sweep 'none-00000000'" in done.stderr
    assert "Traceback" not in done.stderr
