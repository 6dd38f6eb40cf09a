"""Fixtures over the made-up runs of `world`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fingpt.prompts.examples import Example
from fingpt.report.compose import compose
from fingpt.report.document import Report
from fingpt.report.inputs import Reading, read_runs
from fingpt.report.render import render
from fingpt.report.score_arrays import ScoreArrays
from fingpt.storage import ObjectStore, open_store
from tests.report.world import Plan, World, make_examples, make_rows


@pytest.fixture
def world(store: ObjectStore) -> World:
    """A store with a data set of 10 weeks × 30 symbols and no run yet."""
    return World(store)


@pytest.fixture
def make_world(store: ObjectStore) -> Callable[..., World]:
    """Worlds of other shapes in the same store."""
    return lambda **shape: World(store, **shape)


@pytest.fixture(scope="session")
def world_in() -> Callable[..., World]:
    """Worlds in a folder of the caller's choice, for fixtures that outlive a test."""
    return lambda folder, **shape: World(open_store(folder.as_uri()), **shape)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """Two runs of pure noise, read once for all tests that change nothing."""
    world = World(open_store(tmp_path_factory.mktemp("pair").as_uri()))
    ids = [world.add("llama31", Plan()), world.add("deepseek-r1", Plan(seed=2))]
    return read_runs(world.store, ids)


@pytest.fixture(scope="session")
def report(pair: Reading) -> Report:
    """The report on `pair`, for all tests that change nothing of it."""
    return compose(pair.sides, pair.test, pair.train, pair.inputs)


@pytest.fixture(scope="session")
def rendered(report: Report) -> dict[str, bytes]:
    """Its files."""
    return render(report)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts stay undrawn, for tests of what pages say: drawing is most of the time that a page takes."""
    monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda _: "<svg></svg>")


@pytest.fixture(scope="session")
def examples() -> list[Example]:
    """300 made-up rows of 10 weeks."""
    return make_examples()


@pytest.fixture(scope="session")
def plan() -> type[Plan]:
    """The plan's constructor, for tests in files that cannot import a conftest."""
    return Plan


@pytest.fixture(scope="session")
def rows_of() -> Callable[[list[Example], Plan], ScoreArrays]:
    """`make_rows`."""
    return make_rows
