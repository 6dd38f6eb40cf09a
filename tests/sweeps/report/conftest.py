"""An invented sweep of two models and forty trials, read and composed once."""

from __future__ import annotations

import pytest

from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.report.compose import compose
from fingpt.sweeps.report.document import SweepReport
from fingpt.sweeps.report.reading import read_sweeps
from fingpt.sweeps.report.render import render
from tests.sweeps.invented import InventedSweep, Plan


@pytest.fixture(scope="session")
def invented(tmp_path_factory: pytest.TempPathFactory) -> InventedSweep:
    """A finished sweep whose default rate is far too low."""
    store = open_store(tmp_path_factory.mktemp("sweep").as_uri())
    return InventedSweep(store, Plan(default_lr=7e-5, notes=("A <b>note</b> of freezing.",)))


@pytest.fixture(scope="session")
def report(invented: InventedSweep) -> SweepReport:
    return compose(read_sweeps(invented.store, [invented.sweep.id]))


@pytest.fixture(scope="session")
def pages(report: SweepReport) -> dict[str, str]:
    return {name: data.decode() for name, data in render(report).items()}


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return open_store(tmp_path.as_uri())
