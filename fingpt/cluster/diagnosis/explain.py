"""Why a stage's Job is in its state, or how it ended: state, summary, the cluster's own message, and what to do.

Pure: records of objects.py in, an Explanation out. States differ in what a person must do: a disruption costs nothing,
a retry comes by itself, a permanent failure does not, and a Job without COMPLETE has not succeeded. A container's
termination message is the stage's own error, so it is shown before Kubernetes' message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from fingpt.cluster.api.objects import Admission, Condition, ContainerPhase, Event, PodState
from fingpt.cluster.diagnosis import patterns
from fingpt.cluster.diagnosis.exits import OUT_OF_MEMORY, exit_of
from fingpt.cluster.diagnosis.patterns import DISRUPTIONS, Pattern, find
from fingpt.cluster.diagnosis.several import explain_nodes, telling_pod
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State
from fingpt.errors import FencedError

IMAGE_FAULTS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")

_STUCK_AFTER_SECONDS = 30.0
_NOT_STARTED = 128  # the container runtime's exit code for a container that it could not start
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_CREATED = ("FailedCreate", "SuccessfulCreate")
_POLICY_CODE = re.compile(r"failed with exit code (\d+)")


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
        return _job_end(snapshot, snapshot.job.outcome)
    if snapshot.job.suspended:
        return _suspended(snapshot)
    living = [pod for pod in snapshot.pods if not pod.ended]
    if living and snapshot.job.nodes > 1:
        return explain_nodes(snapshot, [(pod, _alive(snapshot, pod)) for pod in snapshot.pods])
    if living:
        return _living(snapshot, living[-1])
    return _between(snapshot)


def _alive(snapshot: JobSnapshot, pod: PodState) -> Explanation:
    """The state of one pod, whether it lives or has ended."""
    return pod_end(pod) if pod.ended else _living(snapshot, pod)


def pod_end(pod: PodState) -> Explanation:
    """How a pod that has ended, ended."""
    code, message = pod.container.exit_code, pod.container.message or pod.message
    if pod.container.reason == "OOMKilled":
        memory = OUT_OF_MEMORY
        return Explanation(State.RETRYABLE, memory.summary, last_message(message), memory.action)
    if pod.disruption and code != 0:
        return Explanation(
            State.DISRUPTED,
            f"{_disrupted_by(pod.disruption)}; this costs no retry",
            pod.disruption.message,
            "nothing: the next pod resumes by itself",
        )
    known = find(patterns.ENDED, f"{pod.reason} {pod.message}") if pod.reason else None
    known = known or find(patterns.CONFIGURATION, message if code == _NOT_STARTED else "")
    if known:
        return Explanation(State.RETRYABLE, known[0], pod.message or message, known[1])
    if code is None:
        return Explanation(State.RETRYABLE, f"ended: {pod.reason or pod.phase}", pod.message)
    return _of_exit(code, message, exit_state(code))


def exit_state(code: int) -> State:
    """The state that a stage is in after an attempt with that exit code."""
    if code == FencedError.exit_code:
        return State.FENCED
    return State.RETRYABLE if exit_of(code).retried else State.PERMANENT


def last_message(text: str) -> str:
    """The last line that a container wrote; of a line of our log, which Kubernetes falls back to, its event."""
    lines = text.strip().splitlines()
    if not lines:
        return ""
    try:
        return str(json.loads(lines[-1])["event"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return lines[-1]


def unscheduled(message: str, event: Event | None = None) -> Explanation:
    """What the scheduler's message about a pod that no node takes means."""
    return _blocked(patterns.SCHEDULING, message, "no node can take the pod", event)


def _of_exit(code: int, message: str, state: State) -> Explanation:
    meaning = exit_of(code)
    summary = f"{meaning.summary} (exit {code})" if code else meaning.summary
    return Explanation(state, summary, last_message(message), meaning.action)


def _disrupted_by(condition: Condition) -> str:
    return DISRUPTIONS.get(condition.reason, condition.reason)


def _suspended(snapshot: JobSnapshot) -> Explanation:
    message = snapshot.admission.message
    if known := find(patterns.ADMISSION, message):
        return Explanation(State.BLOCKED, known[0], message, known[1])
    summary, action = find(patterns.QUEUEING, message) or (
        "suspended, as Kueue does until its queue admits it",
        "kubectl get workloads, and see that the LocalQueue of the site exists",
    )
    place = _place(snapshot.admission)
    return Explanation(State.WAITING, f"{summary}; {place}" if place else summary, message, action)


def _place(admission: Admission) -> str:
    """How many wait before a Job; empty where that is not known."""
    if admission.before is None:
        return ""
    before = f"{admission.before} before it" if admission.before else "next"
    others = admission.before_in_all
    shared = f", {others} before it in all that share its quota" if others else ""
    return f"{before} in queue {admission.queue}" + (shared if others != admission.before else "")


def _job_end(snapshot: JobSnapshot, outcome: Condition) -> Explanation:
    """How a Job that is Complete or Failed, ended; COMPLETE in the bucket was looked for before."""
    if outcome.type == "Complete":
        if snapshot.complete is None:
            return Explanation(
                State.COMPLETE,
                "the Job is Complete; the bucket, which alone decides, was not read",
                action="make verify RUN=… where the bucket can be reached",
            )
        return Explanation(
            State.SILENT,
            "the Job is Complete, but there is no COMPLETE in the bucket: nothing was finished",
            outcome.message,
            "make logs RUN=… shows its last lines; submit again, it resumes from the last commit",
        )
    decisive = telling_pod(snapshot)
    last = pod_end(decisive) if decisive else None
    if outcome.reason == "DeadlineExceeded":
        return Explanation(
            State.PERMANENT,
            "the Job was active longer than the site allows (deadlineSeconds)",
            outcome.message,
            "raise deadlineSeconds in the chart's values, submit again; it resumes",
        )
    if code := _POLICY_CODE.search(outcome.message):
        message = (last.message if last else "") or outcome.message
        return _of_exit(int(code[1]), message, State.PERMANENT)
    if last and decisive and decisive.index is not None and last.state is State.PERMANENT:
        return replace(last, summary=f"node {decisive.index}: {last.summary}")
    why = f"; last: {last.summary}" if last else ""
    used_up = outcome.reason in ("BackoffLimitExceeded", "ReachedMaxRestarts")
    retries = "all retries are used up" if used_up else "failed"
    return Explanation(
        State.PERMANENT,
        f"{retries}{why}",
        (last.message if last else "") or outcome.message,
        (last.action + "; " if last and last.action else "") + "then submit again; it resumes",
    )


def _between(snapshot: JobSnapshot) -> Explanation:
    """No pod is alive: none could be made, or the next one is not there yet."""
    event = snapshot.newest(*_CREATED)
    if event is not None and event.reason == "FailedCreate":
        return _blocked(patterns.CREATION, event.message, "no pod can be created", event)
    failed = snapshot.job.failed if snapshot.job else 0
    if not snapshot.pods and failed and snapshot.job and snapshot.job.nodes > 1:
        return Explanation(State.WAITING, "its pods restart together; the new ones come next")
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
    if lost is not None and pod.container.phase is ContainerPhase.RUNNING:
        return Explanation(
            State.STUCK,
            f"node {pod.node} does not answer; the pod may still be running there",
            lost.message,
            "wait five minutes, Kubernetes then gives the pod up; " + _stuck_action(pod),
            lost.count,
            lost.last,
        )
    if pod.container.phase is ContainerPhase.RUNNING:
        return Explanation(State.RUNNING, f"pod {pod.name} runs on node {pod.node}")
    if pod.container.phase is ContainerPhase.TERMINATED:
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
            _stuck_action(pod),
        )
    saves = " and saves a checkpoint" if pod.container.phase is ContainerPhase.RUNNING else ""
    if pod.disruption:
        cause = _disrupted_by(pod.disruption)
        return Explanation(
            State.DISRUPTED,
            f"pod {pod.name} is being disrupted ({cause}){saves}; another pod follows",
            pod.disruption.message,
            "nothing: this costs no retry",
        )
    return Explanation(State.STOPPING, f"pod {pod.name} is being deleted{saves}")


def _stuck_action(pod: PodState) -> str:
    return (
        f"if that machine is certainly off: kubectl delete node {pod.node}, or kubectl delete pod {pod.name} --force; "
        "a second trainer cannot harm the run, the bucket's claims fence the older one"
    )


def _not_ready(pod: PodState) -> bool:
    return any(each.type == "Ready" and not each.true for each in pod.conditions)


def _unscheduled(snapshot: JobSnapshot, pod: PodState) -> Explanation:
    condition = next((each for each in pod.conditions if each.type == "PodScheduled"), None)
    event = snapshot.newest("FailedScheduling", about=pod.name)
    message = (condition.message if condition else "") or (event.message if event else "")
    if not message:
        return Explanation(State.WAITING, "the scheduler has not looked at the pod yet")
    return unscheduled(message, event)


def _not_started(snapshot: JobSnapshot, pod: PodState) -> Explanation:
    """Scheduled, but the kubelet has not started the container."""
    reason, message = pod.container.reason, pod.container.message
    if reason in IMAGE_FAULTS:
        pull = snapshot.newest("Failed", "ErrImageNeverPull", "InspectFailed", about=pod.name)
        pulls = [
            event.message
            for event in snapshot.events
            if event.name == pod.name and event.message.startswith("Failed to pull")
        ]
        message = pulls[-1] if pulls else message
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
    summary, action = find(table, message) or (otherwise, "the message says why; kubectl describe")
    times, last = (event.count, event.last) if event else (0, "")
    return Explanation(State.BLOCKED, summary, message, action, times, last)
