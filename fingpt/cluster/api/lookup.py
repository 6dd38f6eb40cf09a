"""What status and doctor ask of a cluster beyond the client: a queue's words, a Secret's presence, a stage as a whole.

Reads only. It is the client with more questions, and like it the only one that knows how they are put.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fingpt.cluster.api.client import Cluster
from fingpt.cluster.api.objects import Condition, JobState, PodState
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.job import job_name
from fingpt.errors import MissingInputError, PermissionDeniedError, SetupError

_KUEUE = {"group": "kueue.x-k8s.io", "version": "v1beta1"}


class Observer(Cluster):
    """A Cluster with more questions."""

    def look(self, run_id: str, stage: str, *, complete: bool | None) -> JobSnapshot:
        """All that can be seen of a stage; `complete` is what the bucket says, None when it was not read."""
        pods = partial(self.pods, run_id, stage)
        return self._snapshot(job_name(run_id, stage), pods, complete)

    def look_at(self, name: str) -> JobSnapshot:
        """All that can be seen of a Job by its name, whoever's it is."""
        method, only = self._core.list_namespaced_pod, f"batch.kubernetes.io/job-name={name}"
        pods = partial(self._items, PodState.of, "pods", method, label_selector=only)
        return self._snapshot(name, pods, None)

    def _snapshot(
        self, name: str, list_pods: Callable[[], tuple[PodState, ...]], complete: bool | None
    ) -> JobSnapshot:
        """The Job's events come before its pods: a pod whose making was told, but that is not listed, is gone."""
        job = self.job(name)
        # An earlier Job of the same name has left events too.
        since = job.created.rstrip("Z") if job is not None else ""
        events = [event for event in self.events(name) if event.last >= since]
        pods = list_pods()
        for pod in pods[-2:]:
            events.extend(self.events(pod.name))
        return JobSnapshot(
            job=job,
            pods=pods,
            events=tuple(sorted(events, key=lambda event: event.last)),
            complete=complete,
            admission=self.admission(job) if job is not None and job.suspended else "",
        )

    def admission(self, job: JobState) -> str:
        """What Kueue says of a Job that it holds back; empty when there is nothing, or this user may not ask."""
        try:
            found = self._ask(
                "list",
                "workloads",
                self._custom.list_namespaced_custom_object,
                **_KUEUE,
                plural="workloads",
                label_selector=f"kueue.x-k8s.io/job-uid={job.uid}",
            )
        except (MissingInputError, PermissionDeniedError, SetupError):
            return ""
        messages = [
            condition.message
            for each in found["items"]
            for condition in map(Condition.of, (each.get("status") or {}).get("conditions") or ())
            if condition.message and not condition.true
        ]
        return messages[0] if messages else ""

    def has_secret(self, name: str) -> bool:
        """Whether a Secret is there. What it holds comes along and is thrown away at once."""
        try:
            self._ask("get", "secrets", self._core.read_namespaced_secret, name)
        except MissingInputError:
            return False
        return True

    def has_queue(self, name: str) -> bool | None:
        """Whether Kueue's LocalQueue is there; None where the cluster has no Kueue."""
        method = self._custom.get_namespaced_custom_object
        try:
            self._ask("get", "localqueues", method, **_KUEUE, plural="localqueues", name=name)
        except MissingInputError as fault:
            return False if f'"{name}" not found' in str(fault) else None
        return True
