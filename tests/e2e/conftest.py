"""One lab for all tests that break runs, and the run that nothing disturbed, which the others are compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.run_lab import RunLab
from tests.e2e.training import MODEL, training


@pytest.fixture(scope="session")
def run_lab() -> Iterator[RunLab]:
    """Namespaces, S3 server and chart of this session's own, deleted afterwards."""
    lab = RunLab()
    try:
        lab.open()
        done = lab.command("tiny", "--model", MODEL)
        assert done.returncode == 0, done.stderr
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="session")
def reference(run_lab: RunLab) -> bytes:
    """The adapter of a training that nothing disturbed."""
    with training(run_lab, "nothing is injected") as one:
        one.finish()
        assert one.claims() == 1
        assert {run_lab.exits[each["metadata"]["name"]][0] for each in one.pods()} == {0}
        return one.adapter()
