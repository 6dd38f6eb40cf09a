"""What the project asks of a cluster: `cluster.Cluster` answers it from an API server, tests from memory.

Importing it loads no client library.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from fingpt.cluster.api.objects import Admission, JobState, NodeState, PodState, Quota
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.site import Site


class ClusterApi(Protocol):
    """One namespace of one cluster, as one user; `where` is how messages call the cluster.

    Every method raises one of fingpt/errors.py: PermissionDeniedError for what this user may not, TransientError when
    the API server does not answer in time.
    """

    namespace: str
    where: str

    def version(self) -> str:
        """The API server's version, such as v1.35.4."""

    def require_namespace(self) -> None:
        """SetupError when there is no such namespace, of which every list is empty; who may not look is believed.

        One more request, for where something was expected and nothing found.
        """

    def site(self) -> Site:
        """The settings that the chart installed; SetupError with the command when it did not."""

    def apply_job(self, job: dict[str, Any]) -> bool:
        """Create a Job or a JobSet; False when the very same is there already, whatever became of it.

        Raises RunConflictError when a Job of that name is of another configuration, other weights or another store.
        """

    def serves_jobsets(self) -> bool:
        """Whether the cluster knows JobSets of the version that we write."""

    def delete_job(self, name: str) -> bool:
        """Delete a Job or JobSet and its pods, which get their SIGTERM and grace; False when there is none."""

    def job(self, name: str) -> JobState | None:
        """The Job or JobSet of that name, None when there is none (never made, deleted, or past its time to live)."""

    def jobs(self, run_id: str = "", sweep: str = "") -> tuple[JobState, ...]:
        """All of our Jobs in the namespace, those of one run, or those that a sweep has made."""

    def search_jobs(self, sweep: str) -> tuple[JobState, ...]:
        """What carries a sweep out: its controller's Job and the Indexed Job of each model's trials, in one request.

        As the API server's cache has them, which may be behind by a moment.
        """

    def pods(
        self, run_id: str = "", stage: str = "", *, index: int | None = None, phase: str = ""
    ) -> tuple[PodState, ...]:
        """The pods of our Jobs, of one run, or of one of its stages, oldest first.

        Of an Indexed Job those of one `index`; those in one `phase`, as Kubernetes spells it.
        """

    def watch_job(self, name: str) -> Iterator[JobState]:
        """Every state of a Job that can be seen, from now to its end; the last one has an outcome.

        Raises MissingInputError when the Job is not there (any more).
        """

    def watch_pods(self, run_id: str, stage: str, seconds: int) -> Iterator[PodState | None]:
        """States of a stage's pods for so long: first what is, then every change; None for a pod that is gone."""

    def logs(self, pod: str, follow: bool = False) -> Iterator[str]:
        """The lines of a pod's log, each once; with `follow` until the pod ends, over dropped connections.

        Raises MissingInputError when the pod is not there (any more), TransientError when its container has not started
        and `follow` is off.
        """

    def stage_snapshot(self, run_id: str, stage: str, *, complete: bool | None) -> JobSnapshot:
        """Job, pods and events of a stage; `complete` is what the bucket says, None when it was not read.

        Of an Indexed Job, which may have thousands, some of its pods.
        """

    def job_snapshot(self, name: str, job: JobState | None = None) -> JobSnapshot:
        """The same of a Job by its name, whatever its labels are; `job` is the Job where it is known already."""

    def admission(self, job: JobState) -> Admission:
        """What Kueue says of a Job that it holds back; empty when there is nothing, or this user may not ask."""

    def can_i(self, verb: str, resource: str, group: str = "", subresource: str = "") -> bool:
        """Whether this user may, by the API server's own judgement."""

    def nodes(self) -> tuple[NodeState, ...]:
        """All nodes; users of the chart's Role may not list them."""

    def pod_security(self) -> str:
        """The Pod Security level that the namespace's label enforces; empty without one."""

    def quotas(self) -> tuple[Quota, ...]:
        """The namespace's quotas."""

    def has_secret(self, name: str) -> bool:
        """Whether a Secret is there."""

    def has_queue(self, name: str) -> bool | None:
        """Whether Kueue's LocalQueue is there; None where the cluster has no Kueue."""
