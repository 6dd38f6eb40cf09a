"""One lab for all tests that break runs, and the run that nothing disturbed, which the others are compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fingpt.runs.run import Stage
from tests.e2e.run_lab import RunLab
from tests.e2e.training import Training, running


@pytest.fixture(scope="session")
def run_lab() -> Iterator[RunLab]:
    """Namespaces, S3 server and chart of this session's own, deleted afterwards."""
    lab = RunLab()
    try:
        lab.open()
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="session")
def undisturbed(run_lab: RunLab) -> Training:
    """`make run` on an empty bucket, which nothing disturbs; its base is made in the cluster, too."""
    with running(run_lab, "nothing is injected") as one:
        code, said = one.follow()
        assert code == 0, said
        assert [one.claims(stage) for stage in Stage] == [1, 1, 1]
        one.prove(one.adapter())
        return one


@pytest.fixture(scope="session")
def reference(undisturbed: Training) -> bytes:
    """The adapter that every training here must end with."""
    return undisturbed.adapter()
