"""ledger, and verify LEDGER=, at the command line: what they print, and their exit codes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from jobs import ledger as jobs_ledger
from jobs import verify as jobs_verify
from tests.ledger.invented import CHAIN, OTHER, RUN, forecast, keep


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command line in an empty folder with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    return lambda *words: CliRunner().invoke(jobs_ledger.app, list(words))


@pytest.fixture
def written(run, store):
    """Two forecasts of a close two hours ago, written into the ledger `weekly`."""
    close = (datetime.now(UTC) - timedelta(hours=2)).replace(microsecond=0)
    keep(store, forecast("AAPL", 0, as_of=close), forecast("MSFT", 0, OTHER, as_of=close))
    result = run("write", "--runs", f"{RUN} {OTHER}")
    assert result.exit_code == 0, result.stderr
    return store


def test_write_begins_the_ledger_and_a_repeated_call_adds_nothing(written, run):
    before = list(written.keys("ledger/"))
    assert len(before) == 3
    again = run("write")
    assert again.exit_code == 0
    assert '"written": 0' in again.stderr
    assert list(written.keys("ledger/")) == before


def test_without_forecasts_or_a_ledger_the_code_is_66(run):
    assert run("write").exit_code == 66
    for words in (["page"], ["score", "--data", "x"], ["page", "--ledger", "other"]):
        result = run(*words)
        assert result.exit_code == 66
        assert "There is no ledger" in result.stderr


def test_the_weekly_score_before_the_first_entry_is_no_failure(run, written, tmp_path):
    """On the first Friday the score job comes before anything was written; a folder that is not there still is one."""
    prices = tmp_path / "data" / "prices.csv"
    prices.parent.mkdir()
    prices.write_text("symbol,date,open,high,low,close\n")
    assert run("score", "--if-begun", "--data", "nowhere", "--ledger", "other").exit_code == 66
    words = ("score", "--if-begun", "--data", str(prices.parent))
    result = run(*words, "--ledger", "other")
    assert result.exit_code == 0, result.stderr
    assert "nothing was written into the ledger yet" in result.stderr
    assert "weeks_not_over" in run(*words, "--ledger", "weekly").stderr


def test_a_name_that_no_ledger_can_have_is_64(run):
    assert run("page", "--ledger", "../runs").exit_code == 64


def test_page_prints_where_it_is(written, run, tmp_path):
    result = run("page", "--out", "there")
    assert (result.exit_code, result.stdout.strip()) == (0, "there/ledger.html")
    assert (tmp_path / "there" / "ledger.json").exists()


def test_update_writes_and_shows_and_says_that_nothing_was_scored(written, run, tmp_path):
    result = run("update")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == str(tmp_path / "reports" / "ledger-weekly" / "ledger.html")
    assert "nothing is scored: DATA= or SOURCES=" in result.stderr


@pytest.mark.parametrize("command", ["score", "update"])
def test_a_folder_of_prices_that_is_not_there_is_66_even_where_no_score_is_due(
    written, run, command
):
    keep(written, forecast("AAPL", 0, as_of=datetime.now(UTC).replace(microsecond=0)))
    before = list(written.keys("ledger/"))
    result = run(command, "--data", "nowhere")
    assert result.exit_code == 66
    assert "nowhere is no folder" in result.stderr
    assert list(written.keys("ledger/")) == before


def test_an_update_from_data_that_hold_the_store_writes_nothing(written, run, tmp_path):
    keep(written, forecast("AAPL", 0, as_of=datetime.now(UTC).replace(microsecond=0)))
    (tmp_path / "prices.csv").write_text("symbol,date,open,high,low,close\n")
    before = list(written.keys("ledger/"))
    result = run("update", "--data", str(tmp_path))
    assert result.exit_code == 64
    assert f"lies in the folder of data {tmp_path}" in result.stderr
    assert list(written.keys("ledger/")) == before


def verify(*words: str):
    app = typer.Typer()
    app.command()(jobs_verify.main)
    return CliRunner().invoke(app, list(words))


def test_a_sound_ledger_verifies_with_0_and_prints_its_heads(written):
    done = verify("--ledger", "weekly")
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5  # beginning, two entries, two forecasts
    assert f"{CHAIN} entry 1" in done.stderr


@pytest.mark.parametrize(("damage", "code"), [("flip", 74), ("remove", 66)])
def test_damage_and_absence_have_their_own_exit_codes(written, tmp_path, damage, code):
    key = next(iter(written.keys("forecasts/")))
    path = tmp_path / "store" / key
    if damage == "flip":
        path.write_bytes(path.read_bytes() + b" ")
    else:
        path.unlink()
    done = verify("--ledger", "weekly")
    assert done.exit_code == code
    assert any(key in line and not line.startswith("ok") for line in done.stdout.splitlines())


def test_a_run_and_a_ledger_are_two_things_to_verify(written):
    done = verify("--ledger", "weekly", "--run", "llama31-0a1b2c3d")
    assert done.exit_code == 64
    assert "RUN= and LEDGER= are both named; verify one of them." in done.stderr


def test_the_weekly_jobs_load_no_library_of_the_report():
    """They run in a small image: `write` needs the store alone."""
    code = (
        "import sys, jobs.ledger, fingpt.ledger.write, fingpt.ledger.score; "
        "print([m for m in ('altair', 'scipy', 'numpy', 'torch', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
