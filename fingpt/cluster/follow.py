"""Follow a Job to its end: relay its pods' logs, explain why no pod runs, and turn its end into a result or an error.

The Job is looked at and explained whenever one of its pods changes, and once a resync, since the reasons of a queue or
a quota change no pod; while a pod runs, the Job itself is watched. Logs come in a thread of their own, because a node
that does not answer must not hide what becomes of the Job. Changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from fingpt import log
from fingpt.cluster.api import faults
from fingpt.cluster.api.objects import ContainerPhase, JobState, PodState
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.api.stream import WatchBackoff
from fingpt.cluster.diagnosis.exits import exit_of
from fingpt.cluster.diagnosis.explain import IMAGE_FAULTS, explain
from fingpt.cluster.diagnosis.several import telling_pod
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State
from fingpt.cluster.job import DRIVE, SEARCH, job_name
from fingpt.errors import (
    DivergedError,
    FingptError,
    StageFailedError,
    StartTimeoutError,
    TransientError,
)

POLL_SECONDS = 2.0  # between a new Job and its first pod, and when a watch ends early
RESYNC_SECONDS = 30
"""How often Job, pods and events are listed while none of the pods changes."""

START_SECONDS = 900.0
"""How long a Job may be kept from starting before whoever follows it gives up."""

_LAST_LINES_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """A Job, by its labels, and what it is for: `done` says whether the bucket has `result`, which alone is success."""

    instance: str
    component: str
    result: str
    done: Callable[[], bool]

    @property
    def job(self) -> str:
        """The Job's name."""
        return job_name(self.instance, self.component)


GivesUp = Callable[[JobSnapshot, Explanation], bool]


def blocked(_: JobSnapshot, why: Explanation) -> bool:
    """For a person at a terminal: give up when somebody has to act."""
    return why.state is State.BLOCKED


def unpullable(snapshot: JobSnapshot, _: Explanation) -> bool:
    """For drive: give up on images only. Capacity, quota, Secrets and nodes come, and Jobs then go on."""
    return any(not pod.ended and pod.container.reason in IMAGE_FAULTS for pod in snapshot.pods)


def finish(cluster: ClusterApi, work: Work, gives_up: GivesUp) -> None:
    """Follow a Job to its end, and check that its result is in the bucket.

    Raises StageFailedError with the pod's exit code and its last message, DivergedError when the Job is Complete and
    the bucket holds no result, and what `follow` raises.
    """
    snapshot = follow(cluster, work, gives_up)
    fault = failure(snapshot, work)
    if fault is not None:
        raise fault
    if not work.done():
        raise DivergedError(
            f"Job {work.job} is Complete, but {work.result} is not in the store: a silent failure. See its last lines, "
            "then give the same command again."
        )


def follow(cluster: ClusterApi, work: Work, gives_up: GivesUp) -> JobSnapshot:
    """Log the Job's states and its pods' lines until it has ended; returns its last snapshot.

    StartTimeoutError when `gives_up` held for START_SECONDS without a break, and the Job is left as it is.
    MissingInputError when the Job is gone, TransientError when the API server stays silent.
    """
    with closing(_PodLogs(cluster)) as logs:
        return _follow(cluster, work, gives_up, logs)


def _follow(cluster: ClusterApi, work: Work, gives_up: GivesUp, logs: _PodLogs) -> JobSnapshot:
    backoff = WatchBackoff(f"Job {work.job}")
    logged: Explanation | None = None
    blocked_since: float | None = None
    while True:
        try:
            snapshot = cluster.stage_snapshot(work.instance, work.component, complete=None)
        except TransientError as error:
            backoff.pause(error)
            continue
        backoff.reset()
        if snapshot.job is None:
            raise faults.no_job(work.job, cluster.namespace)
        logs.follow(snapshot.pods)
        if snapshot.job.is_final():
            logs.drain()
            return snapshot
        why = explain(snapshot)
        if logged is None or (logged.state, logged.message) != (why.state, why.message):
            logged = why
            _log_state(work, why)
        now = time.monotonic()
        blocked_since = (blocked_since or now) if gives_up(snapshot, why) else None
        if blocked_since is not None and now - blocked_since >= START_SECONDS:
            raise _start_timeout(work, why)
        if why.state is State.RUNNING:
            _wait_for_change(cluster.watch_job(work.job), snapshot.job)
        else:
            _wait_for_pods(cluster, work, snapshot)


def _wait_for_pods(cluster: ClusterApi, work: Work, snapshot: JobSnapshot) -> None:
    """Return when a pod is otherwise than in `snapshot`, or after RESYNC_SECONDS, never at once."""
    end = time.monotonic() + RESYNC_SECONDS
    time.sleep(POLL_SECONDS)
    known = {pod.uid: pod for pod in snapshot.pods}
    while (left := end - time.monotonic()) > 0:
        try:
            for pod in cluster.watch_pods(work.instance, work.component, max(int(left), 1)):
                if pod is None or known.get(pod.uid) != pod:
                    return
        except TransientError:
            return  # the look that follows waits for the API server
        time.sleep(POLL_SECONDS)


def failure(snapshot: JobSnapshot, work: Work) -> StageFailedError | None:
    """Why an ended Job failed, by the pod's own last message where its code is final; None when it did not fail."""
    outcome = snapshot.job.outcome if snapshot.job else None
    if outcome is None or outcome.type != "Failed":
        return None
    codes = [pod.container.exit_code for pod in snapshot.pods if pod.container.exit_code]
    telling = telling_pod(snapshot)
    code = (telling and telling.container.exit_code) or next(
        reversed(codes), TransientError.exit_code
    )
    why = explain(snapshot)
    final = bool(codes) and bool(why.message) and not exit_of(code).retried
    if final and work.component in (DRIVE, SEARCH):
        # Its message is its stage's or trial's error already, and its code that one's.
        return StageFailedError(why.message, code)
    reason = why.message if final else f"{why.summary} ({why.message or outcome.reason})"
    return StageFailedError.of(work.component, code, reason)


def _log_state(work: Work, why: Explanation) -> None:
    fields = {"message": why.message, "action": why.action}
    log.event(
        f"{why.state}: {why.summary}",
        job=work.job,
        **{name: text for name, text in fields.items() if text},
    )


def _start_timeout(work: Work, why: Explanation) -> StartTimeoutError:
    message = f" ({why.message})" if why.message else ""
    action = f" {why.action[:1].upper()}{why.action[1:]}." if why.action else ""
    return StartTimeoutError(
        f"Job {work.job} could not start within {START_SECONDS / 60:.0f} minutes: {why.summary}{message}.{action} "
        "The Job stays; the same command follows it again."
    )


def _wait_for_change(states: Iterator[JobState], before: JobState) -> None:
    """Return at the first state in which a pod has come or gone, or which is final."""

    def counts(state: JobState) -> tuple[object, ...]:
        return state.uid, state.suspended, state.active, state.failed, state.terminating

    for state in states:
        if state.is_final() or counts(state) != counts(before):
            return


class _PodLogs:
    """Writes the lines of pods to our log, each once, in threads: one pod after the other, nodes beside one another."""

    def __init__(self, cluster: ClusterApi) -> None:
        self._cluster = cluster
        self._followed: set[str] = set()
        self._threads: dict[int | None, threading.Thread] = {}
        self._writing = threading.Lock()
        self._closed = False

    def follow(self, pods: tuple[PodState, ...]) -> None:
        """Start with the pods that run or have ended and are new."""
        for pod in pods:
            if pod.uid in self._followed or (
                pod.container.phase is ContainerPhase.WAITING and not pod.ended
            ):
                continue
            self._followed.add(pod.uid)
            if pod.index in self._threads:
                self._threads[pod.index].join(_LAST_LINES_SECONDS)
            thread = threading.Thread(target=self._relay, args=(pod.name,), daemon=True)
            self._threads[pod.index] = thread
            thread.start()

    def drain(self) -> None:
        """Wait some seconds for the last lines of the last pods."""
        for thread in self._threads.values():
            thread.join(_LAST_LINES_SECONDS)

    def close(self) -> None:
        """Write nothing more: a thread that writes while the process ends makes it abort."""
        with self._writing:
            self._closed = True

    def _relay(self, pod: str) -> None:
        try:
            for line in self._cluster.logs(pod, follow=True):
                self._write(log.relay, line)
        except FingptError as fault:
            self._write(log.warning, f"No more lines of pod {pod}: {fault}")

    def _write(self, write: Callable[[str], None], line: str) -> None:
        with self._writing:
            if not self._closed:
                write(line)
