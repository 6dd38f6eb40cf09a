"""A cluster in memory, for tests that need no API server: Jobs by name, and answers that a test sets or overrides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fingpt.cluster.api.faults import no_namespace
from fingpt.cluster.api.objects import Admission, JobState, NodeState, PodState, Quota
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.job import job_name
from fingpt.cluster.site import Site
from tests.cluster.sites import site_data


def job_state(name: str, *conditions: Any, uid: str = "1", created: str = "") -> JobState:
    """A Job without pods; `conditions` are Condition records."""
    return JobState(name, uid, "run", "prep", created, False, 0, 0, 0, 0, {}, conditions)


MISSING = "typo"
"""A namespace that the cluster does not have."""


class FakeCluster(ClusterApi):
    """Where all is well and nothing runs. `there` holds the Jobs, `created` and `deleted` the names, in order."""

    namespace = "forecasts"
    where = "context 'there'"

    def __init__(self) -> None:
        self.there: dict[str, JobState] = {}
        self.created: list[str] = []
        self.deleted: list[str] = []

    def version(self) -> str:
        return "v1.35.4"

    def require_namespace(self) -> None:
        if self.namespace == MISSING:
            raise no_namespace(self.namespace, self.where)

    def site(self) -> Site:
        return Site.of(site_data())

    def apply_job(self, job: dict[str, Any]) -> bool:
        name = job["metadata"]["name"]
        if name in self.there:
            return False
        self.created.append(name)
        self.there[name] = job_state(name, uid=f"new-{len(self.created)}")
        return True

    def serves_jobsets(self) -> bool:
        return True

    def delete_job(self, name: str) -> bool:
        self.deleted.append(name)
        return self.there.pop(name, None) is not None

    def job(self, name: str) -> JobState | None:
        return self.there.get(name)

    def jobs(self, run_id: str = "", sweep: str = "") -> tuple[JobState, ...]:
        return tuple(self.there.values())

    def search_jobs(self, sweep: str) -> tuple[JobState, ...]:
        return self.jobs(sweep=sweep)

    def pods(
        self, run_id: str = "", stage: str = "", *, index: int | None = None, phase: str = ""
    ) -> tuple[PodState, ...]:
        return ()

    def watch_job(self, name: str) -> Iterator[JobState]:
        return iter([self.there[name]])

    def watch_pods(self, run_id: str, stage: str, seconds: int) -> Iterator[PodState | None]:
        return iter([None])  # as if one had changed: tests do not wait

    def logs(self, pod: str, follow: bool = False) -> Iterator[str]:
        return iter(())

    def stage_snapshot(self, run_id: str, stage: str, *, complete: bool | None) -> JobSnapshot:
        return JobSnapshot(job=self.job(job_name(run_id, stage)), complete=complete)

    def job_snapshot(self, name: str, job: JobState | None = None) -> JobSnapshot:
        return JobSnapshot(job=job or self.job(name))

    def admission(self, job: JobState) -> Admission:
        return Admission()

    def can_i(self, verb: str, resource: str, group: str = "", subresource: str = "") -> bool:
        return True

    def nodes(self) -> tuple[NodeState, ...]:
        return ()

    def pod_security(self) -> str:
        return "restricted"

    def quotas(self) -> tuple[Quota, ...]:
        return ()

    def has_secret(self, name: str) -> bool:
        return True

    def has_queue(self, name: str) -> bool | None:
        return True
