"""Every test of the chart runs with each helm there is; `make chart` runs those that render, `make test` the others."""

from __future__ import annotations

import pytest

from tests.helm.charts import HELMS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "helm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.chart)


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """The name of a helm program; tests skip by themselves where it is missing."""
    return str(request.param)
