"""Why a stage's Job is where it is: one word, one sentence, the cluster's own words, and a remedy.

Pure: records of objects.py in, an Explanation out. The words are told apart by what a person must do: a disruption
costs nothing, a retry comes by itself, a permanent failure does not, and a Job without COMPLETE has not succeeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fingpt.cluster.api.objects import Event, PodState
from fingpt.cluster.diagnosis import patterns
from fingpt.cluster.diagnosis.endings import job_end, pod_end
from fingpt.cluster.diagnosis.patterns import DISRUPTIONS, Pattern, find
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State

_STUCK_AFTER_SECONDS = 30.0
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_CREATED = ("FailedCreate", "SuccessfulCreate")
IMAGE_FAULTS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")

_STUCK_REMEDY = (
    "if that machine is certainly off: kubectl delete node {node}, or kubectl delete pod {pod} --force; a second "
    "trainer cannot harm the run, the bucket's claims fence the older one"
)


def explain(snapshot: JobSnapshot) -> Explanation:
    """The state of one stage's Job."""
    if snapshot.complete and (snapshot.job is None or snapshot.job.outcome):
        return Explanation(State.COMPLETE, "COMPLETE is in the bucket")
    if snapshot.job is None:
        return Explanation(
            State.ABSENT,
            "the cluster has no Job for it: never submitted, cancelled, or past its time to live",
            action="submit it again; it resumes from what the bucket holds",
        )
    if snapshot.job.outcome is not None:
        return job_end(snapshot, snapshot.job.outcome)
    if snapshot.job.suspended:
        return _suspended(snapshot)
    living = [pod for pod in snapshot.pods if not pod.ended]
    if living:
        return _living(snapshot, living[-1])
    return _between(snapshot)


def _suspended(snapshot: JobSnapshot) -> Explanation:
    known = find(patterns.ADMISSION, snapshot.admission) if snapshot.admission else None
    summary, action = known or (
        "suspended, as Kueue does until its queue admits it",
        "kubectl get workloads, and see that the LocalQueue of the site exists",
    )
    blocked = known is not None and "room" not in summary
    return Explanation(
        State.BLOCKED if blocked else State.WAITING, summary, snapshot.admission, action
    )


def _between(snapshot: JobSnapshot) -> Explanation:
    """No pod is alive: none could be made, or the next one is not there yet."""
    event = snapshot.newest(*_CREATED)
    if event is not None and event.reason == "FailedCreate":
        return _blocked(patterns.CREATION, event.message, "no pod can be created", event)
    failed = snapshot.job.failed if snapshot.job else 0
    if not snapshot.pods and (failed or event is not None):
        return Explanation(
            State.RETRYABLE,
            "its pod was deleted; another pod follows, ten seconds to six minutes later",
            action="nothing; the next pod resumes by itself",
        )
    if not snapshot.pods:
        return Explanation(State.WAITING, "the Job is new, its pod is not there yet")
    last = snapshot.pods[-1]
    if last.phase == "Succeeded":
        return Explanation(State.RUNNING, f"pod {last.name} has ended well, its Job is about to")
    end = pod_end(last)
    if end.state is State.RETRYABLE:
        return Explanation(
            end.state,
            f"{end.summary}; failure {failed}, another pod follows",
            end.message,
            end.action,
        )
    return end


def _living(snapshot: JobSnapshot, pod: PodState) -> Explanation:
    lost = snapshot.newest("NodeNotReady", about=pod.name) if _not_ready(pod) else None
    if pod.deleted:
        return _deleted(snapshot, pod, lost)
    if lost is not None and pod.container.state == "running":
        return Explanation(
            State.STUCK,
            f"node {pod.node} does not answer; the pod may still be running there",
            lost.message,
            "wait five minutes, Kubernetes then gives the pod up; " + _stuck_remedy(pod),
            lost.count,
            lost.last,
        )
    if pod.container.state == "running":
        return Explanation(State.RUNNING, f"pod {pod.name} runs on node {pod.node}")
    if pod.container.state == "ended":
        return Explanation(State.RUNNING, f"pod {pod.name} on node {pod.node} is about to end")
    if not pod.node:
        return _unscheduled(snapshot, pod)
    return _not_started(snapshot, pod)


def _deleted(snapshot: JobSnapshot, pod: PodState, lost: Event | None) -> Explanation:
    """`deleted` is when the grace period ends; a pod that outlives it is on a node that does not answer."""
    overdue = (snapshot.now - datetime.fromisoformat(pod.deleted)).total_seconds()
    if lost or pod.reason == "NodeLost" or overdue > _STUCK_AFTER_SECONDS:
        ago = f"should have ended {overdue:.0f} s ago" if overdue > 0 else "is to end"
        return Explanation(
            State.STUCK,
            f"pod {pod.name} {ago}; its node {pod.node} does not answer, and no other pod starts until this one is "
            "gone",
            pod.message or (pod.disruption.message if pod.disruption else ""),
            _stuck_remedy(pod),
        )
    saves = " and saves a checkpoint" if pod.container.state == "running" else ""
    if pod.disruption:
        words = DISRUPTIONS.get(pod.disruption.reason, pod.disruption.reason)
        return Explanation(
            State.DISRUPTED,
            f"pod {pod.name} is being disrupted ({words}){saves}; another pod follows",
            pod.disruption.message,
            "nothing: this costs no retry",
        )
    return Explanation(State.STOPPING, f"pod {pod.name} is being deleted{saves}")


def _stuck_remedy(pod: PodState) -> str:
    return _STUCK_REMEDY.format(node=pod.node, pod=pod.name)


def _not_ready(pod: PodState) -> bool:
    return any(each.type == "Ready" and not each.true for each in pod.conditions)


def _unscheduled(snapshot: JobSnapshot, pod: PodState) -> Explanation:
    condition = next((each for each in pod.conditions if each.type == "PodScheduled"), None)
    event = snapshot.newest("FailedScheduling", about=pod.name)
    message = (condition.message if condition else "") or (event.message if event else "")
    if not message:
        return Explanation(State.WAITING, "the scheduler has not looked at the pod yet")
    return unscheduled(message, event)


def unscheduled(message: str, event: Event | None = None) -> Explanation:
    """What the scheduler's words for a pod that no node takes mean."""
    return _blocked(patterns.SCHEDULING, message, "no node can take the pod", event)


def _not_started(snapshot: JobSnapshot, pod: PodState) -> Explanation:
    """Scheduled, but the kubelet has not started the container."""
    reason, message = pod.container.reason, pod.container.message
    if reason in IMAGE_FAULTS:
        pull = snapshot.newest("Failed", "ErrImageNeverPull", "InspectFailed", about=pod.name)
        words = [
            event
            for event in snapshot.events
            if event.name == pod.name and event.message.startswith("Failed to pull")
        ]
        message = words[-1].message if words else message
        return _blocked(patterns.PULLING, message, "the image cannot be pulled", pull)
    if reason and reason not in ("ContainerCreating", "PodInitializing"):
        event = snapshot.newest("Failed", about=pod.name)
        return _blocked(
            patterns.CONFIGURATION, message, f"the container cannot start ({reason})", event
        )
    mount = snapshot.newest(*_MOUNTS, about=pod.name)
    if mount is not None:
        return _blocked(patterns.CONFIGURATION, mount.message, "the pod cannot be set up", mount)
    pull, pulled = (
        snapshot.newest("Pulling", about=pod.name),
        snapshot.newest("Pulled", about=pod.name),
    )
    if pull is not None and pulled is None:
        return Explanation(
            State.STARTING, f"node {pod.node} pulls the image", pull.message, "", 1, pull.last
        )
    return Explanation(State.STARTING, f"node {pod.node} sets the pod up")


def _blocked(
    table: Sequence[Pattern], message: str, otherwise: str, event: Event | None
) -> Explanation:
    summary, action = find(table, message) or (otherwise, "its own words say why; kubectl describe")
    times, last = (event.count, event.last) if event else (0, "")
    return Explanation(State.BLOCKED, summary, message, action, times, last)
