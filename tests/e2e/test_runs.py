"""Whole runs: drive's pods come and go, the API server too, and no stage is done twice."""

from __future__ import annotations

import pytest

from fingpt.runs.run import Stage
from tests.e2e.chart_lab import kubectl
from tests.e2e.run_lab import until
from tests.e2e.training import running

pytestmark = pytest.mark.e2e


@pytest.mark.part2
def test_drive_s_pod_may_be_deleted_and_its_job_too(run_lab, reference):
    with running(run_lab, "drive's pod is deleted, then its Job, while `make run` follows") as one:
        one.trains()
        first = one.drive_pod()
        one.say(f"kubectl delete pod {first}")
        kubectl("delete", "pod", first, "-n", run_lab.namespace, "--wait=false")
        trainer = one.pod()
        until(60, "another drive pod runs", lambda: one.drive_pod() not in ("", first))
        one.say(f"kubectl delete job {one.drive}")
        kubectl("delete", "job", one.drive, "-n", run_lab.namespace)
        code, said = one.follow()
        assert code == 66
        assert "was deleted" in said
        one.submit_run()
        code, said = one.follow()
        assert code == 0, said
        one.prove(reference)
        assert [one.claims(stage) for stage in Stage] == [1, 1, 1], "a stage was done twice"
        assert one.pod() == trainer
    assert "eval: complete" in one.seen.lines[-1][1]
