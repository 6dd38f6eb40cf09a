"""`make forecast` as a person runs it: a folder of files from end to end, and the same again."""

from __future__ import annotations

import json
from datetime import date

import pytest

from fingpt.forecast.record import read_request
from fingpt.storage import open_store
from fingpt.synthetic.market import write_market
from tests.jobs.commands import command


@pytest.mark.slow
def test_a_folder_of_files_is_forecast_and_asked_again_is_the_same(world, evaluated, tmp_path):
    write_market(tmp_path / "my data", ["AAA", "BBB"], date(2026, 1, 5), date(2026, 11, 20))
    words = ("forecast", "ask", "--run", evaluated.id, "--symbols", "AAA BBB NONE")
    variables = {
        "FINGPT_ARG_DATA": str(tmp_path / "my data"),
        "FINGPT_ARG_DATE": "2026-11-20",
        "OMP_NUM_THREADS": "1",
    }
    first = command(tmp_path, *words, **variables)
    assert first.returncode == 66, first.stderr
    said = json.loads(first.stderr.splitlines()[-1])["event"]
    assert "1 of the symbols were not forecast. NONE: There are no prices" in said
    for text in ("AAA at the close of 2026-11-20", "BBB at the close", "any rise", "Skill", "LATE"):
        assert text in first.stdout
    assert first.stdout.count("kept: file://") == 2
    again = command(tmp_path, *words, **variables)
    assert again.returncode == 66, again.stderr
    made = "made before, nothing was computed"
    assert again.stdout.count(f"{made}: file://") == 2
    assert first.stdout.replace("kept: ", "") == again.stdout.replace(f"{made}: ", "")
    store = open_store((tmp_path / "store").as_uri())
    (key,) = store.keys("requests/")
    assert set(read_request(store, key).refused) == {"NONE"}
    assert len(list(store.keys(f"forecasts/{evaluated.id}/2026-11-20/"))) == 2
