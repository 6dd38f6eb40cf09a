"""How pods and Jobs ended: disrupted, fenced, out of memory, failed for now, failed for good, or finished nothing.

Pure. The container's termination message is the stage's own last sentence, so it is shown before Kubernetes' words.
"""

from __future__ import annotations

import json
import re

from fingpt.cluster.api.objects import Condition, PodState
from fingpt.cluster.diagnosis import patterns
from fingpt.cluster.diagnosis.exits import OUT_OF_MEMORY, Exit, exit_of
from fingpt.cluster.diagnosis.patterns import DISRUPTIONS, find
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State

_POLICY_CODE = re.compile(r"failed with exit code (\d+)")


def pod_end(pod: PodState) -> Explanation:
    """How a pod that has ended, ended."""
    code, message = pod.container.exit_code, pod.container.message or pod.message
    if pod.container.reason == "OOMKilled":
        return _of_exit(OUT_OF_MEMORY, message)
    if pod.disruption and code != 0:
        words = DISRUPTIONS.get(pod.disruption.reason, pod.disruption.reason)
        return Explanation(
            State.DISRUPTED,
            f"{words}; this costs no retry",
            pod.disruption.message,
            "nothing: the next pod resumes by itself",
        )
    known = find(patterns.ENDED, f"{pod.reason} {pod.message}") if pod.reason else None
    known = known or find(patterns.CONFIGURATION, message if code == 128 else "")
    if known:
        return Explanation(State.RETRYABLE, known[0], pod.message or message, known[1])
    if code is None:
        return Explanation(State.RETRYABLE, f"ended: {pod.reason or pod.phase}", pod.message)
    if code == 76:
        return _of_exit(exit_of(code), message, State.FENCED)
    return _of_exit(exit_of(code), message, code=code)


def _of_exit(meaning: Exit, message: str, state: State | None = None, code: int = 0) -> Explanation:
    state = state or (State.RETRYABLE if meaning.retried else State.PERMANENT)
    words = f"{meaning.word} (exit {code})" if code else meaning.word
    return Explanation(state, words, last_sentence(message), meaning.action)


def last_sentence(message: str) -> str:
    """The last line of what a container left; of a line of our log, which Kubernetes falls back to, its sentence."""
    lines = message.strip().splitlines()
    if not lines:
        return ""
    try:
        return str(json.loads(lines[-1])["event"])
    except (ValueError, KeyError, TypeError):
        return lines[-1]


def job_end(snapshot: JobSnapshot, outcome: Condition) -> Explanation:
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
            "make logs RUN=… shows its last words; submit again, it resumes from the last commit",
        )
    pods = [pod for pod in snapshot.pods if pod.ended]
    last = pod_end(pods[-1]) if pods else None
    if outcome.reason == "DeadlineExceeded":
        return Explanation(
            State.PERMANENT,
            "the Job was active longer than the site allows (deadlineSeconds)",
            outcome.message,
            "raise deadlineSeconds in the chart's values, submit again; it resumes",
        )
    code = _POLICY_CODE.search(outcome.message)
    if code:
        message = last.message if last else ""
        return _of_exit(
            exit_of(int(code[1])), message or outcome.message, State.PERMANENT, int(code[1])
        )
    why = f"; last: {last.summary}" if last else ""
    retries = "all retries are used up" if outcome.reason == "BackoffLimitExceeded" else "failed"
    return Explanation(
        State.PERMANENT,
        f"{retries}{why}",
        (last.message if last else "") or outcome.message,
        (last.action + "; " if last and last.action else "") + "then submit again; it resumes",
    )
