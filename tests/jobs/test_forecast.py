"""forecast at the command line: refusals that cost nothing, and a forecast of a folder of files from end to end."""

from __future__ import annotations

import json
from datetime import date

import pytest

from fingpt.forecast.record import read_request
from fingpt.storage import open_store
from tests.forecast.conftest import (  # noqa: F401 - fixtures
    _FOREIGN_WARNINGS,
    adapter_folder,
    base_folder,
    evaluated,
    evaluated_once,
    small_model,
    tokenizer,
    world,
)
from tests.jobs.commands import command
from tests.made_run import MadeRun


def last(done) -> dict:
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--run", "x"], 64, "None of SYMBOL, SYMBOLS and WATCHLIST"),
        (["--symbol", "AAPL"], 64, "No run is named"),
        (["--run", "none-0a1b2c3d", "--symbol", "AAPL"], 66, "There is no run 'none-0a1b2c3d'"),
    ],
)
def test_what_is_not_said_or_not_there_is_refused(tmp_path, arguments, code, words):
    done = command(tmp_path, "forecast", "ask", *arguments)
    assert done.returncode == code
    assert words in last(done)["event"]
    assert done.stdout == ""


def test_a_run_that_is_not_evaluated_is_refused_with_the_command_that_helps(store, tmp_path):
    made = MadeRun(store, tmp_path / "scratch")
    made.prep()
    made.train()
    done = command(tmp_path, "forecast", "ask", "--run", made.id, "--symbol", "AAPL")
    assert done.returncode == 66
    assert "has not finished eval" in last(done)["event"]
    assert "make run MODEL=tiny-llama31" in last(done)["event"]


@pytest.mark.slow
def test_a_folder_of_files_is_forecast_and_asked_again_is_the_same(world, evaluated, tmp_path):  # noqa: F811
    from fingpt.synthetic.market import write_market

    write_market(tmp_path / "my data", ["AAA", "BBB"], date(2026, 1, 5), date(2026, 11, 20))
    words = ("forecast", "ask", "--run", evaluated.id, "--symbols", "AAA BBB NONE")
    variables = {
        "FINGPT_ARG_DATA": str(tmp_path / "my data"),
        "FINGPT_ARG_DATE": "2026-11-20",
        "OMP_NUM_THREADS": "1",
    }
    first = command(tmp_path, *words, **variables)
    assert first.returncode == 65, first.stderr
    assert "1 of the symbols were not forecast. NONE: There are no prices" in last(first)["event"]
    for text in ("AAA at the close of 2026-11-20", "BBB at the close", "any rise", "Skill", "LATE"):
        assert text in first.stdout
    assert first.stdout.count("kept: file://") == 2
    again = command(tmp_path, *words, **variables)
    assert again.returncode == 65, again.stderr
    assert again.stdout.count("made before, nothing was computed: file://") == 2
    made = "made before, nothing was computed"
    assert first.stdout.replace("kept", "") == again.stdout.replace(made, "")
    store = open_store((tmp_path / "store").as_uri())
    (key,) = store.keys("requests/")
    assert set(read_request(store, key).refused) == {"NONE"}
    assert len(list(store.keys(f"forecasts/{evaluated.id}/2026-11-20/"))) == 2
