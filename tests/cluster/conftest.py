"""Sites, and a client of an API server in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fingpt.cluster.api import stream
from fingpt.cluster.api.cluster import Cluster
from fingpt.cluster.site import Site
from tests.cluster.api_server import ApiServer, serving, write_kubeconfig
from tests.cluster.sites import full_site_data, site_data


@pytest.fixture
def site() -> Site:
    """A site that says no more than it must."""
    return Site.of(site_data())


@pytest.fixture
def full_site() -> Site:
    """A GPU cluster's site, where every key is set."""
    return Site.of(full_site_data())


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server that knows its version and nothing else yet."""
    with serving() as server:
        yield server


@pytest.fixture
def kubeconfig(api: ApiServer, tmp_path: Path) -> str:
    return write_kubeconfig(tmp_path / "kubeconfig", api.url)


@pytest.fixture
def cluster(kubeconfig: str, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A client of `api` that does not wait between its tries."""
    monkeypatch.setattr(stream, "BACKOFF_SECONDS", 0.001)
    return Cluster.connect(kubeconfig=kubeconfig)
