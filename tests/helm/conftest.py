"""Every test of the chart runs with each helm there is."""

from __future__ import annotations

import pytest

from tests.helm.charts import HELMS


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """The name of a helm program; tests skip by themselves where it is missing."""
    return str(request.param)
