"""collect at the command line: where the files go, and its exit codes."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from jobs import collect
from tests.made_run import MadeRun


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command line in an empty folder with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    app = typer.Typer()
    app.command()(collect.main)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_run_s_files_go_to_a_folder_of_its_name_which_is_printed(run, store, tmp_path):
    made = MadeRun(store, tmp_path).whole()
    result = run("--run", made.id)
    assert (result.exit_code, result.stdout.strip()) == (0, f"collected/{made.id}")
    assert (tmp_path / "collected" / made.id / "eval" / "scores.parquet").is_file()
    assert run("--run", made.id, "--out", "there", "--adapter").exit_code == 0
    assert (tmp_path / "there" / "train" / "adapter" / "adapter_config.json").is_file()


def test_an_unknown_or_unnamed_run_cannot_be_collected(run):
    assert run("--run", "llama31-00000000").exit_code == 66
    assert run("--run", "").exit_code == 64
