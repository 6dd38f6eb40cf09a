"""forecast at the command line: what is not said or not there is refused before anything is loaded."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from fingpt.errors import DataError, MissingInputError
from fingpt.runs.run import run_key
from fingpt.sources.symbols import NO_PRICES
from jobs.forecast import _require_all, app
from tests.made_run import MadeRun


@pytest.fixture
def forecast(tmp_path, monkeypatch, capfd):
    """The command in this process: its exit code and what it logged."""
    monkeypatch.setenv("FINGPT_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.stderr + capfd.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ask", "--run", "x"], 64, "None of SYMBOL, SYMBOLS and WATCHLIST"),
        (["ask", "--symbol", "AAPL"], 64, "No run is named"),
        (["ask", "--run", "x-0a1b2c3d", "--symbol", "AAPL"], 66, "There is no run 'x-0a1b2c3d'"),
        (["ask", "--run", "x", "--symbol", "A/B"], 64, "is no symbol"),
        (["answer", "requests/x.json", "--run", "s3://b/no"], 64, "must look like"),
        (["week-answer"], 64, "No run is named"),
        (["week-request"], 64, "None of SYMBOL, SYMBOLS and WATCHLIST"),
    ],
)
def test_what_is_not_said_or_not_there_is_refused(forecast, arguments, code, words):
    found, said = forecast(*arguments)
    assert (found, words in said) == (code, True), said


def test_a_run_that_is_not_evaluated_is_refused_with_the_command_that_helps(
    forecast, store, tmp_path
):
    made = MadeRun(store, tmp_path / "scratch")
    made.prep()
    made.train()
    code, said = forecast("ask", "--run", made.id, "--symbol", "AAPL")
    assert code == 66
    assert "has not finished eval" in said
    assert "make run MODEL=tiny-llama31" in said


def test_the_name_of_a_model_is_answered_with_its_newest_run(forecast, store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch").whole()
    code, said = forecast("ask", "--run", "tiny-llama31", "--symbol", "AAPL")
    assert code == 66
    assert f"its newest run in {store.uri} is RUN={made.id}." in said


@pytest.mark.parametrize(
    ("why", "kind"), [(f"{NO_PRICES} ZZZ.", MissingInputError), ("It is stale.", DataError)]
)
def test_symbols_that_no_source_knows_end_as_missing_input(why, kind):
    with pytest.raises(kind) as told:
        _require_all({"ZZZ": why})
    assert type(told.value) is kind


def test_a_pod_answers_only_the_run_and_the_request_that_it_was_sent_for(forecast, store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch").whole()
    uri = f"{store.uri}/{run_key(made.id)}"
    code, said = forecast("answer", "requests/x.json", "--run", uri, "--sha256", "0" * 64)
    assert (code, "another run of the same short id" in said) == (73, True)
    code, said = forecast("answer", "requests/x.json", "--run", uri)
    assert (code, "There is no request" in said) == (66, True)
