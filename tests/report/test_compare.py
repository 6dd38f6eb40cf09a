"""Comparing writes to the store, manifest last, and to a folder; repeating it finds the same report."""

from __future__ import annotations

import pytest

from fingpt.record import sha256_bytes
from fingpt.report.chosen import newest_runs
from fingpt.report.compare import compare
from fingpt.runs.manifest import ReportManifest, decode


@pytest.mark.slow  # two whole reports
def test_a_report_lands_in_the_store_and_in_a_folder_and_repeating_changes_nothing(
    world, plan, tmp_path
):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan(seed=2))]
    page = compare(world.store, ids, tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    keys = list(world.store.keys("reports/"))
    again = compare(world.store, newest_runs(world.store), tmp_path / "again")
    assert again.read_bytes() == page.read_bytes()
    assert list(world.store.keys("reports/")) == keys
    name = keys[0].split("/")[1]
    manifest = decode(ReportManifest, world.store.read(f"reports/{name}/manifest.json"), "manifest")
    assert manifest.runs == tuple(ids)
    for file in manifest.files:
        assert sha256_bytes(world.store.read(f"reports/{name}/{file.name}")) == file.sha256
        assert (tmp_path / "out" / file.name).stat().st_size == file.size


@pytest.mark.usefixtures("undrawn")
def test_the_folder_is_by_default_named_after_the_report(world, plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = compare(world.store, [world.add("llama31", plan())])
    assert page.parent.parent == tmp_path / "reports"
    assert world.store.exists(f"reports/{page.parent.name}/manifest.json")
