"""`python -m jobs.collect compare`: its command line and its exit codes; tests/report tests the reports."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from jobs import collect
from tests.made_run import MadeRun


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command line in an empty folder with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    return lambda *words: CliRunner().invoke(collect.app, list(words))


def test_the_runs_and_the_folder_are_handed_on_and_the_page_is_printed(run, monkeypatch, tmp_path):
    seen = []

    def compare(store, runs, out):
        seen.append((store.uri, runs, out))
        return tmp_path / "report.html"

    monkeypatch.setattr("fingpt.report.body.compare", compare)
    result = run("compare", "--runs", "run-a  run-b", "--out", "there")
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "report.html")
    (uri, runs, out), *_ = seen
    assert (uri, runs, str(out)) == ((tmp_path / "store").as_uri(), ["run-a", "run-b"], "there")


def test_without_a_finished_run_the_code_is_66(run):
    assert run("compare").exit_code == 66


def test_an_unknown_run_is_66_and_one_named_twice_is_64(run):
    assert run("compare", "--runs", "llama31-00000000").exit_code == 66
    assert run("compare", "--runs", "run-a run-a").exit_code == 64


def test_help_comes_without_the_report_libraries():
    code = "import sys, jobs.collect; print([m for m in ('altair', 'scipy', 'torch', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_s_files_go_to_a_folder_of_its_name_which_is_printed(run, store, tmp_path):
    made = MadeRun(store, tmp_path).whole()
    result = run("run", "--run", made.id)
    assert (result.exit_code, result.stdout.strip()) == (0, f"collected/{made.id}")
    assert (tmp_path / "collected" / made.id / "eval" / "scores.parquet").is_file()
    assert run("run", "--run", made.id, "--out", "there", "--adapter").exit_code == 0
    assert (tmp_path / "there" / "train" / "adapter" / "adapter_config.json").is_file()


def test_an_unknown_or_unnamed_run_cannot_be_collected(run):
    assert run("run", "--run", "llama31-00000000").exit_code == 66
    assert run("run", "--run", "").exit_code == 66
