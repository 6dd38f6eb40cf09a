"""One lab for all tests that break runs, and the run that nothing disturbed, which the others are compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fingpt.runs.run import Stage
from tests.e2e.run_lab import RunLab
from tests.e2e.training import Training, running

PARTS = ("core", "part1", "part2", "part3", "part4", "part5")


def pytest_terminal_summary(terminalreporter) -> None:
    """Tests and seconds of each part, to keep the five that take turns alike."""
    reports = [each for several in terminalreporter.stats.values() for each in several]
    shared = 0.0
    for part in PARTS:
        own = [x for x in reports if isinstance(x, pytest.TestReport) and part in x.keywords]
        calls = [x.duration for x in own if x.when == "call"]
        shared += sum(x.duration for x in own) - sum(calls)
        if calls:
            terminalreporter.write_line(f"{part}: {len(calls)} tests, {sum(calls):.0f} s")
    if shared:
        terminalreporter.write_line(f"what is set up before and cleared after them: {shared:.0f} s")


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
