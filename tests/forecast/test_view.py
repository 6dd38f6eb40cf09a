"""The real calendar and the real features behind a request: invented prices of a folder, holidays, half days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from fingpt.errors import ConfigError, DataError
from fingpt.features.config import FeatureConfig
from fingpt.forecast import place as placing
from fingpt.forecast.inputs import ForecastInputs, open_inputs
from fingpt.forecast.view import Sessions
from fingpt.forecast.weeks import last_week_over
from fingpt.synthetic.market import write_market
from jobs.forecast import app
from tests.cluster.fake_cluster import FakeCluster

EXCHANGE = Sessions(FeatureConfig())
FRIDAY = datetime(2026, 11, 20, 21, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of two invented companies."""
    path = tmp_path_factory.mktemp("market") / "my data"
    write_market(path, ["AAA", "BBB"], date(2025, 11, 3), date(2026, 11, 24))
    return path


@pytest.fixture
def inputs(store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForecastInputs]:
    monkeypatch.setenv("FINGPT_ARG_DATA", str(folder))
    monkeypatch.setenv("FINGPT_ARG_DATE", "2026-11-20")
    return open_inputs(store)


def test_a_request_is_made_of_what_the_folder_says_until_the_close(inputs, store):
    request = inputs.request(["AAA", "BBB"], inputs.close(datetime(2026, 11, 26, tzinfo=UTC)))
    assert request.as_of == FRIDAY
    assert [question.symbol for question in request.questions] == ["AAA", "BBB"]
    for question in request.questions:
        assert "2026-11-24" not in question.text
        assert question.available_at_max <= FRIDAY
        assert question.sources == ("files",)
        assert f"{question.symbol}'s stock price" in question.text
    # The week after has Thanksgiving, and a Friday that closes early.
    assert request.horizon_end == datetime(2026, 11, 27, 18, tzinfo=UTC)
    assert request.due == datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert inputs.request(["AAA", "BBB"], FRIDAY) == request


def test_what_happens_after_the_close_changes_no_request(inputs, store, tmp_path, monkeypatch):
    request = inputs.request(["AAA"], FRIDAY)
    write_market(tmp_path / "longer", ["AAA", "BBB"], date(2025, 11, 3), date(2026, 11, 25))
    monkeypatch.setenv("FINGPT_ARG_DATA", str(tmp_path / "longer"))
    assert open_inputs(store).request(["AAA"], FRIDAY) == request


def test_a_close_without_the_needed_history_is_refused(inputs):
    with pytest.raises(DataError, match="at least the 7 days before it"):
        inputs.request(["AAA"], datetime(2025, 11, 5, 21, tzinfo=UTC))


def test_without_data_nothing_is_opened(store, monkeypatch):
    monkeypatch.delenv("FINGPT_ARG_DATA", raising=False)
    with pytest.raises(ConfigError, match="DATA="):
        open_inputs(store)


@pytest.mark.parametrize(
    ("now", "close"),
    [
        (datetime(2026, 4, 3, 23, tzinfo=UTC), datetime(2026, 4, 2, 20, tzinfo=UTC)),  # Good Friday
        (datetime(2026, 11, 27, 18, tzinfo=UTC), datetime(2026, 11, 27, 18, tzinfo=UTC)),
        (datetime(2026, 11, 27, 17, 59, tzinfo=UTC), FRIDAY),
        (datetime(2026, 3, 13, 20, tzinfo=UTC), datetime(2026, 3, 13, 20, tzinfo=UTC)),  # summer
        (datetime(2026, 3, 6, 20, tzinfo=UTC), datetime(2026, 2, 27, 21, tzinfo=UTC)),  # winter
    ],
)
def test_weeks_end_as_the_exchange_says(now, close):
    assert last_week_over(EXCHANGE, now) == close


def test_a_long_weekend_makes_a_forecast_late_only_on_tuesday():
    friday = datetime(2026, 1, 16, 21, tzinfo=UTC)  # before Martin Luther King Day
    assert EXCHANGE.due(friday) == datetime(2026, 1, 20, 14, 30, tzinfo=UTC)
    assert EXCHANGE.sessions_between(friday, datetime(2026, 1, 20, 21, tzinfo=UTC)) == 1


def test_a_dry_run_prints_the_job_and_leaves_nothing_in_the_store(
    world, evaluated, folder, monkeypatch
):
    monkeypatch.setattr(placing, "_connect", lambda _: FakeCluster())
    monkeypatch.setenv("FINGPT_STORE", world.store.uri)
    monkeypatch.setenv("FINGPT_ARG_DATA", str(folder))
    monkeypatch.setenv("FINGPT_ARG_DATE", "2026-11-20")
    before = list(world.store.keys())
    words = ["ask", "--run", evaluated.id, "--symbol", "AAA", "--mode", "dry-run"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (job,) = yaml.safe_load_all(done.stdout)
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[1].startswith("requests/2026-11-20/")
    assert list(world.store.keys()) == before
