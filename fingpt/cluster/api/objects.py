"""Kubernetes objects as small frozen records, with only the fields that are read here.

Pure: each record is read from the API's JSON by its `of`. Absent fields are empty, never an error, because server
versions differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

from fingpt.cluster.job import COMPONENT, INSTANCE, MODEL

Json = Mapping[str, Any]

POD_INDEX = "batch.kubernetes.io/job-completion-index"
"""The label by which Kubernetes numbers the pods of an Indexed Job."""

POD_SECURITY = "pod-security.kubernetes.io/enforce"
"""The label by which a namespace makes the API server refuse pods below a level of Pod Security."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of an object; `since` is the API's time of its last change (RFC 3339, UTC)."""

    type: str
    true: bool
    reason: str = ""
    message: str = ""
    since: str = ""

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read one entry of status.conditions."""
        return cls(
            type=data.get("type", ""),
            true=data.get("status") == "True",
            reason=data.get("reason") or "",
            message=data.get("message") or "",
            since=data.get("lastTransitionTime") or "",
        )


def _conditions(status: Json) -> tuple[Condition, ...]:
    return tuple(Condition.of(each) for each in status.get("conditions") or ())


@dataclass(frozen=True, slots=True)
class JobState:
    """A Job, or a JobSet; `run_id`, `stage` and `model` come from its labels, `uid` tells it from a later one of the
    same name.

    `indexes`: of an Indexed Job how many it has; `completed_indexes` and `failed_indexes` are texts such as `0-4,7`
    (`numbers_in` reads them); `failed` counts pods, repeated ones too. Of a JobSet, `nodes` is how many pods it has at
    a time, and `failed` counts its restarts; of a Job `nodes` is 1.
    """

    name: str
    uid: str
    run_id: str
    stage: str
    created: str
    suspended: bool
    active: int
    succeeded: int
    failed: int
    terminating: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    completed_indexes: str = ""
    failed_indexes: str = ""
    nodes: int = 1
    model: str = ""
    started: str = ""
    indexes: int = 0
    ready: int = 0

    @classmethod
    def of_jobset(cls, data: Json) -> Self:
        """Read a JobSet of ours, as the Job that it stands for."""
        status: Json = data.get("status") or {}
        jobs: Sequence[Json] = (data.get("spec") or {}).get("replicatedJobs") or ({},)
        inner = (jobs[0].get("template") or {}).get("spec") or {}
        counts: Sequence[Json] = status.get("replicatedJobsStatus") or ({},)
        named = {"Completed": "Complete"}  # else the names are a Job's
        as_job = {
            **data,
            "status": {
                "active": counts[0].get("active"),
                "ready": counts[0].get("ready"),
                "succeeded": counts[0].get("succeeded"),
                "failed": status.get("restarts"),
                "conditions": [
                    {**each, "type": named.get(each.get("type", ""), each.get("type", ""))}
                    for each in status.get("conditions") or ()
                ],
            },
        }
        return replace(cls.of(as_job), nodes=inner.get("parallelism") or 1)

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read a batch/v1 Job."""
        metadata, status = data.get("metadata") or {}, data.get("status") or {}
        labels, spec = metadata.get("labels") or {}, data.get("spec") or {}
        return cls(
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            run_id=labels.get(INSTANCE, ""),
            stage=labels.get(COMPONENT, ""),
            created=metadata.get("creationTimestamp") or "",
            suspended=bool(spec.get("suspend")),
            active=status.get("active") or 0,
            succeeded=status.get("succeeded") or 0,
            failed=status.get("failed") or 0,
            terminating=status.get("terminating") or 0,
            annotations=metadata.get("annotations") or {},
            conditions=_conditions(status),
            completed_indexes=status.get("completedIndexes") or "",
            failed_indexes=status.get("failedIndexes") or "",
            model=labels.get(MODEL, ""),
            started=status.get("startTime") or "",
            ready=status.get("ready") or 0,
            indexes=(spec.get("completions") or 0)
            if spec.get("completionMode") == "Indexed"
            else 0,
        )

    @property
    def outcome(self) -> Condition | None:
        """Complete or Failed once that is final; the interim FailureTarget and SuccessCriteriaMet are no outcome."""
        final = (
            each for each in self.conditions if each.true and each.type in ("Complete", "Failed")
        )
        return next(final, None)

    def is_final(self) -> bool:
        """True when the Job is Complete or Failed."""
        return self.outcome is not None

    def is_well(self) -> bool:
        """True when all of its pods that there are run and are ready, so that no event has anything to explain."""
        return 0 < self.active == self.ready and not self.terminating and not self.suspended


@dataclass(frozen=True, slots=True)
class Admission:
    """What Kueue says of a Job that it holds back; empty where it says nothing.

    `before`: how many wait before it in its LocalQueue `queue`; `before_in_all`: in all queues that share its quota.
    None where the cluster does not tell.
    """

    message: str = ""
    queue: str = ""
    before: int | None = None
    before_in_all: int | None = None


def numbers_in(text: str) -> set[int]:
    """The numbers that an Indexed Job's status names: `0-2,7` is 0, 1, 2 and 7."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


class ContainerPhase(StrEnum):
    """Kubernetes' names of the states of a container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerState:
    """The main container: waiting (`reason` says for what), running, or terminated with `exit_code`.

    `message` is the kubelet's while waiting and the termination message at the end. `exit_code` is None until then.
    """

    phase: ContainerPhase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: str = ""
    ended: str = ""

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read one entry of status.containerStatuses."""
        states = data.get("state") or {}
        for phase in ContainerPhase:
            if (detail := states.get(phase)) is None:
                continue
            return cls(
                phase=phase,
                reason=detail.get("reason") or "",
                message=(detail.get("message") or "").strip(),
                exit_code=detail.get("exitCode"),
                started=detail.get("startedAt") or "",
                ended=detail.get("finishedAt") or "",
            )
        return cls(ContainerPhase.WAITING)


@dataclass(frozen=True, slots=True)
class PodState:
    """A pod of a Job; `deleted` is when its deletion was asked for, and empty otherwise.

    `index` counts the pods of one Job from 0, as the nodes of a training are; None where there is one only.
    """

    name: str
    uid: str
    run_id: str
    stage: str
    job: str
    phase: str
    node: str
    created: str
    deleted: str
    reason: str
    message: str
    container: ContainerState
    conditions: tuple[Condition, ...] = ()
    index: int | None = None

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read a v1 Pod."""
        metadata, status = data.get("metadata") or {}, data.get("status") or {}
        labels = metadata.get("labels") or {}
        index = labels.get(POD_INDEX) or ""
        containers: Sequence[Json] = status.get("containerStatuses") or ({},)
        return cls(
            name=metadata.get("name", ""),
            uid=metadata.get("uid", ""),
            run_id=labels.get(INSTANCE, ""),
            stage=labels.get(COMPONENT, ""),
            job=labels.get("batch.kubernetes.io/job-name", ""),
            phase=status.get("phase") or "Unknown",
            node=(data.get("spec") or {}).get("nodeName") or "",
            created=metadata.get("creationTimestamp") or "",
            deleted=metadata.get("deletionTimestamp") or "",
            reason=status.get("reason") or "",
            message=status.get("message") or "",
            container=ContainerState.of(containers[0]),
            conditions=_conditions(status),
            index=int(index) if index.isdecimal() else None,
        )

    @property
    def ended(self) -> bool:
        """True when no container of it will run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def disruption(self) -> Condition | None:
        """The cause of its disruption (drain, preemption, lost node …), None when there was none."""
        return next(
            (each for each in self.conditions if each.type == "DisruptionTarget" and each.true),
            None,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """An Event of the object `kind`/`name`, reported `count` times, at `last` for the last time."""

    kind: str
    name: str
    type: str
    reason: str
    message: str
    count: int
    last: str

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read a v1 Event, as old and new reporting components write it."""
        about, series = data.get("involvedObject") or {}, data.get("series") or {}
        created = (data.get("metadata") or {}).get("creationTimestamp") or ""
        return cls(
            kind=about.get("kind", ""),
            name=about.get("name", ""),
            type=data.get("type") or "",
            reason=data.get("reason") or "",
            message=(data.get("message") or "").strip(),
            count=series.get("count") or data.get("count") or 1,
            last=series.get("lastObservedTime")
            or data.get("lastTimestamp")
            or data.get("eventTime")
            or created,
        )


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node; taints are `key=value:effect`, `allocatable` is resource → quantity."""

    name: str
    ready: bool
    schedulable: bool
    taints: tuple[str, ...]
    labels: Mapping[str, str]
    allocatable: Mapping[str, str]

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read a v1 Node."""
        metadata, spec = data.get("metadata") or {}, data.get("spec") or {}
        status = data.get("status") or {}
        return cls(
            name=metadata.get("name", ""),
            ready=any(each.type == "Ready" and each.true for each in _conditions(status)),
            schedulable=not spec.get("unschedulable"),
            taints=tuple(
                f"{each.get('key')}={each.get('value') or ''}:{each.get('effect')}"
                for each in spec.get("taints") or ()
            ),
            labels=metadata.get("labels") or {},
            allocatable=status.get("allocatable") or {},
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """A ResourceQuota of the namespace: limits and usage, both resource → quantity."""

    name: str
    hard: Mapping[str, str]
    used: Mapping[str, str]

    @classmethod
    def of(cls, data: Json) -> Self:
        """Read a v1 ResourceQuota."""
        status = data.get("status") or {}
        return cls(
            name=(data.get("metadata") or {}).get("name", ""),
            hard=status.get("hard") or {},
            used=status.get("used") or {},
        )


def parse_quantity(text: str) -> Decimal:
    """A Kubernetes quantity such as 500m, 4 or 16Gi as a number; 0 for what is none."""
    from kubernetes.utils import quantity

    parse: Callable[[str], Decimal] = quantity.parse_quantity  # has no types
    try:
        number = parse(text)
    except ValueError:
        return Decimal(0)
    return number if number.is_finite() else Decimal(0)


def access_review(
    namespace: str, verb: str, resource: str, group: str, subresource: str
) -> dict[str, Any]:
    """A SelfSubjectAccessReview; the answer is in its status.allowed."""
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
            }
        },
    }
