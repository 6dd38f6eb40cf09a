"""What is asked of Kueue: whether a queue is there, and why, and behind how many others, a Job waits in it.

Places come from Kueue's visibility API, which clusters may have switched off; the reason is in the Job's Workload.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fingpt.cluster.api.objects import Admission, Condition, JobState, Json
from fingpt.cluster.api.transport import Kind, Transport
from fingpt.errors import FingptError, MissingInputError, PermissionDeniedError, SetupError

_GROUP = "kueue.x-k8s.io"
_PENDING = "localqueues/pendingworkloads"
_VERSIONS = ("v1beta1", "v1beta2")
"""Served by Kueue since 0.2 and since 0.15; new ones are to drop the older."""


def has_queue(api: Transport, name: str) -> bool | None:
    """Whether the LocalQueue is there; None where the cluster has no Kueue."""
    try:
        _ask(api, "get", "localqueues", name)
    except MissingInputError as fault:
        return False if _names(fault, name) else None
    return True


def admission(api: Transport, job: JobState) -> Admission:
    """What Kueue says of a Job that it holds back; empty when there is nothing, or this user may not ask."""
    only = f"kueue.x-k8s.io/job-uid={job.uid}"
    try:
        found = _ask(api, "list", "workloads", labelSelector=only)
    except (MissingInputError, PermissionDeniedError, SetupError):
        return Admission()
    for workload in found["items"]:
        conditions = map(Condition.of, (workload.get("status") or {}).get("conditions") or ())
        messages = [each.message for each in conditions if each.message and not each.true]
        queue = (workload.get("spec") or {}).get("queueName") or ""
        before, in_all = _place(api, queue, workload["metadata"]["name"]) if queue else (None, None)
        return Admission(next(iter(messages), ""), queue, before, in_all)
    return Admission()


def _place(api: Transport, queue: str, workload: str) -> tuple[int | None, int | None]:
    """How many Workloads wait before this one in its LocalQueue, and in its ClusterQueue; None for what is not told."""
    for version in _VERSIONS:
        kind = Kind(f"visibility.{_GROUP}/{version}", _PENDING)
        with suppress(FingptError):
            found: Json = api.request_once(kind, queue)
            for each in found.get("items") or ():
                if (each.get("metadata") or {}).get("name") == workload:
                    return each.get("positionInLocalQueue", 0), each.get("positionInClusterQueue")
            break
    return None, None


def _ask(api: Transport, verb: str, plural: str, name: str = "", **query: Any) -> Json:
    """The answer of the first version that the cluster serves; MissingInputError where it serves none."""
    for version in _VERSIONS:
        try:
            found: Json = api.request(verb, Kind(f"{_GROUP}/{version}", plural), name, **query)
            return found
        except MissingInputError as fault:
            missing = fault
            if _names(fault, name):  # a version that is served has answered
                break
    raise missing


def _names(fault: MissingInputError, name: str) -> bool:
    """Whether the object `name` is what is missing, and not the kind of it."""
    return f'"{name}" not found' in str(fault)
