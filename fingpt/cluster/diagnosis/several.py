"""What the pods of several nodes say together: which node keeps the training from going on, or ended it.

Pure. What one pod's state means is explain.py's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fingpt.cluster.api.objects import PodState
from fingpt.cluster.diagnosis.exits import exit_of
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State

_FIRST = (
    State.PERMANENT,
    State.STUCK,
    State.DISRUPTED,
    State.BLOCKED,
    State.FENCED,
    State.RETRYABLE,
    State.STOPPING,
    State.STARTING,
    State.WAITING,
    State.RUNNING,
)
"""The state that is told where nodes differ, the most telling first: what befell one node stops the others."""


def explain_nodes(
    snapshot: JobSnapshot, pods: Sequence[tuple[PodState, Explanation]]
) -> Explanation:
    """The state of all nodes by that of the most telling one, which is named; where all run, by where they do."""
    # A pod that ended well waits for nobody; what it would say, its JobSet says.
    told = [(pod, why) for pod, why in pods if pod.phase != "Succeeded"]
    if not told:
        return Explanation(State.RUNNING, "all pods have ended well, the JobSet is about to")
    pod, why = min(told, key=lambda each: _FIRST.index(each[1].state))
    count = snapshot.job.nodes if snapshot.job else len(told)
    if why.state is State.RUNNING and len(pods) >= count:
        where = ", ".join(f"node {each.index} on {each.node}" for each, _ in told)
        return Explanation(State.RUNNING, f"{len(told)} of {count} pods run: {where}")
    if why.state is State.RUNNING:
        return Explanation(State.WAITING, f"{len(pods)} of {count} pods are there yet")
    summary = f"node {pod.index}: {why.summary}"
    if pod.ended and why.state is not State.PERMANENT:
        summary += "; all nodes restart together"
    return replace(why, summary=summary)


def telling_pod(snapshot: JobSnapshot) -> PodState | None:
    """The pod whose end tells most of its Job's: with a verdict, else of the node that was disrupted, else the last."""
    ended = [pod for pod in snapshot.pods if pod.ended]

    def order(pod: PodState) -> int:
        code = pod.container.exit_code
        if code and not exit_of(code).retried:
            return 2
        return 1 if pod.disruption else 0

    return max(reversed(ended), key=order, default=None) if _several(ended) else _last(ended)


def _several(pods: Sequence[PodState]) -> bool:
    return any(pod.index is not None for pod in pods)


def _last(pods: Sequence[PodState]) -> PodState | None:
    return pods[-1] if pods else None
