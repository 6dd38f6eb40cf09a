"""compare at the command line: what it prints and its exit codes; tests/report tests the reports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from jobs import compare


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command line in an empty folder with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    app = typer.Typer()
    app.command()(compare.main)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_the_runs_and_the_folder_are_handed_on_and_the_page_is_printed(run, monkeypatch, tmp_path):
    seen = []

    def compare(store, runs, out, texts):
        seen.append((store.uri, runs, out, texts))
        return tmp_path / "report.html"

    monkeypatch.setattr("fingpt.report.compare.compare", compare)
    monkeypatch.setattr("jobs.compare.finished_runs", lambda *_: [])
    result = run("--runs", "run-a  run-b", "--out", "there", "--texts", "without-news")
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "report.html")
    (uri, runs, out, texts), *_ = seen
    assert texts == "without-news"
    assert (uri, runs, str(out)) == ((tmp_path / "store").as_uri(), ["run-a", "run-b"], "there")


def test_other_texts_than_there_are_end_with_64(run):
    result = run("--texts", "without-new")
    assert result.exit_code == 64
    assert "did you mean 'without-news'" in result.stderr


def test_without_a_finished_run_the_code_is_66(run):
    assert run().exit_code == 66


def test_an_unknown_run_is_66_and_one_named_twice_is_64(run):
    assert run("--runs", "llama31-00000000").exit_code == 66
    assert run("--runs", "run-a run-a").exit_code == 64


def test_mistyped_values_are_answered_without_the_report_libraries(tmp_path):
    code = f"""
import sys, typer
from typer.testing import CliRunner
from jobs import compare, score
codes = []
def run(command, *words):
    app = typer.Typer()
    app.command()(command)
    codes.append(CliRunner().invoke(app, words).exit_code)
run(compare.main, "--help")
run(compare.main)
run(compare.main, "--texts", "x")
run(compare.main, "--runs", "llama31-00000000")
run(score.score, "--answers", "none.parquet", "--data", "none", "--out", "there")
run(score.score, "--answers", {str(tmp_path / "some.csv")!r}, "--data", "none", "--out", "there")
heavy = ("altair", "scipy", "statsmodels", "torch", "evaluate", "transformers")
print(codes, [name for name in heavy if name in sys.modules])
"""
    (tmp_path / "some.csv").write_text("symbol,period,prediction\n")
    environment = os.environ | {"FINGPT_STORE": (tmp_path / "store").as_uri()}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[0, 66, 64, 66, 66, 66] []"
