"""A service on loopback and a clock that is turned by hand, for each test of a live source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sources.live.vendor import HandClock, Vendor, serve

KEY = "planted-key-0123456789"
"""What no file, log line or message may hold."""


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A service without any path yet."""
    with serve(Vendor()) as running:
        yield running


@pytest.fixture
def clock() -> HandClock:
    """Friday, 20 November 2026, 22:00 UTC."""
    return HandClock()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have keys of his own."""
    for source in ("FINNHUB", "TIINGO", "BLS", "ALFRED", "SIGNALS"):
        monkeypatch.delenv(f"FINGPT_{source}_KEY", raising=False)
        monkeypatch.delenv(f"FINGPT_{source}_KEY_FILE", raising=False)
