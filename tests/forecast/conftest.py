"""A run that is evaluated, in a world of seconds; an exchange without holidays, and data that lie in memory."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from fingpt.config import Environment
from fingpt.errors import DataError
from fingpt.eval.stage import body
from fingpt.forecast.record import ForecastRequest, Question
from fingpt.forecast.request import make_request
from fingpt.runs.manifest import encode
from fingpt.runs.run import Run, Stage, complete_key
from fingpt.storage import open_store
from tests.eval.conftest import (  # noqa: F401 - fixtures
    _FOREIGN_WARNINGS,
    World,
    adapter_folder,
    base_folder,
    make_world,
    small_model,
    tokenizer,
)

FRIDAY = datetime(2026, 11, 20, 21, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for text in _FOREIGN_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(text))


class Weekdays:
    """An exchange that is open on every weekday, from 14:30 to 21:00 UTC."""

    def close_on_or_before(self, day: date) -> datetime:
        while day.weekday() > 4:
            day -= timedelta(days=1)
        return datetime.combine(day, time(21), UTC)

    def horizon_end(self, as_of: datetime) -> datetime:
        return self.close_on_or_before(as_of.date() + timedelta(days=7))

    def due(self, as_of: datetime) -> datetime:
        day = as_of.date() + timedelta(days=1)
        while day.weekday() > 4:
            day += timedelta(days=1)
        return datetime.combine(day, time(14, 30), UTC)

    def sessions_between(self, start: datetime, end: datetime) -> int:
        closes = {self.close_on_or_before(start.date() + timedelta(days=n)) for n in range(400)}
        return sum(start < close <= end for close in closes)


@dataclass
class Remembered:
    """Prices by symbol as (oldest, newest) close; `broken`: symbols whose question cannot be put."""

    prices: dict[str, tuple[datetime, datetime] | None] = field(
        default_factory=lambda: {"AAPL": (FRIDAY - timedelta(days=70), FRIDAY)}
    )
    broken: tuple[str, ...] = ()
    known_at: datetime = FRIDAY - timedelta(minutes=5)

    def symbols(self) -> tuple[str, ...]:
        return tuple(self.prices)

    def price_span(self, symbol: str, as_of: datetime) -> tuple[datetime, datetime] | None:
        return self.prices[symbol]

    def question(self, symbol: str, as_of: datetime) -> Question:
        if symbol in self.broken:
            raise DataError(f"{symbol} has no news, and its configuration wants some.")
        return Question(
            symbol=symbol,
            text=f"News of {symbol} before {as_of.date()}. What next?",
            facts={"symbol": symbol, "closes": [100.0, 101.5]},
            sources=("files",),
            available_at_max=self.known_at,
            degraded={"files/news": "no file"},
        )


@pytest.fixture
def exchange() -> Weekdays:
    return Weekdays()


@pytest.fixture
def request_of(exchange: Weekdays) -> Callable[..., ForecastRequest]:
    """The request for some symbols at Friday's close."""

    def make(*symbols: str) -> ForecastRequest:
        span = (FRIDAY - timedelta(days=70), FRIDAY)
        return make_request(Remembered(dict.fromkeys(symbols, span)), exchange, symbols, FRIDAY)

    return make


@pytest.fixture(scope="session")
def evaluated_once(tmp_path_factory, base_folder, adapter_folder) -> tuple[World, Run]:  # noqa: F811
    """A run whose eval is finished; tests get a copy."""
    folder = tmp_path_factory.mktemp("evaluated")
    store = open_store((folder / "store").as_uri())
    there = make_world(store, folder, base_folder, adapter_folder)
    run = there.run()
    manifest = body(there.context(run))
    store.create(complete_key(run.id, Stage.EVAL), encode(manifest))
    return there, run


@pytest.fixture
def world(evaluated_once: tuple[World, Run], tmp_path: Path) -> World:
    """A store of this test's own, with that run in it."""
    there, _ = evaluated_once
    shutil.copytree(there.folder / "store", tmp_path / "store")
    store = open_store((tmp_path / "store").as_uri())
    return dataclasses.replace(there, store=store, folder=tmp_path)


@pytest.fixture
def evaluated(evaluated_once: tuple[World, Run]) -> Run:
    """The run."""
    return evaluated_once[1]


@pytest.fixture
def site(world: World, evaluated_once: tuple[World, Run]) -> Environment:
    """The verified base weights are one cache for all tests."""
    return Environment(store=world.store.uri, cache=evaluated_once[0].folder / "cache")
