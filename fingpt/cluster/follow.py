"""Following a Job to its end: what its pods say, why none runs, and as what it ended.

While no pod runs, the Job is looked at every few seconds and explained; while one runs, it is watched. A pod's lines
come by a thread of their own: a node that does not answer must not hide what becomes of the Job. Changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

from fingpt import log
from fingpt.cluster.api import faults
from fingpt.cluster.api.objects import JobState, PodState
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.api.stream import WatchBackoff
from fingpt.cluster.diagnosis.exits import exit_of
from fingpt.cluster.diagnosis.explain import IMAGE_FAULTS, explain
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State
from fingpt.cluster.job import DRIVE, job_name
from fingpt.errors import (
    DivergedError,
    FingptError,
    StageFailedError,
    StartTimeoutError,
    TransientError,
)

POLL_SECONDS = 2.0
MAX_POLL_SECONDS = 10.0  # what waits for hours in a queue is looked at less often
START_SECONDS = 900.0
"""How long something may keep a Job from starting before whoever follows it gives up."""

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
    """What a person at a terminal need not wait for: nothing goes on before somebody acts."""
    return why.state is State.BLOCKED


def unpullable(snapshot: JobSnapshot, _: Explanation) -> bool:
    """What a conductor does not wait for: an image. Room, quota, Secrets and nodes come, and Jobs then go on."""
    return any(not pod.ended and pod.container.reason in IMAGE_FAULTS for pod in snapshot.pods)


def finish(cluster: ClusterApi, work: Work, gives_up: GivesUp) -> None:
    """Follow a Job to its end and believe the bucket.

    Raises StageFailedError with the pod's exit code and its last sentence, DivergedError when the Job says Complete and
    the bucket holds no result, and what `follow` raises.
    """
    snapshot = follow(cluster, work, gives_up)
    fault = failure(snapshot, work)
    if fault is not None:
        raise fault
    if not work.done():
        raise DivergedError(
            f"Job {work.job} says Complete, but {work.result} is not in the store: a silent failure; its last lines "
            "say what it did. Give the same command again."
        )


def follow(cluster: ClusterApi, work: Work, gives_up: GivesUp) -> JobSnapshot:
    """Show what the Job says and waits for until it has ended; returns the last look at it.

    StartTimeoutError when `gives_up` held for START_SECONDS without a break, and the Job is left as it is.
    MissingInputError when the Job is gone, TransientError when the API server stays silent.
    """
    with closing(_Relay(cluster)) as relay:
        return _follow(cluster, work, gives_up, relay)


def _follow(cluster: ClusterApi, work: Work, gives_up: GivesUp, relay: _Relay) -> JobSnapshot:
    backoff = WatchBackoff(f"Job {work.job}")
    message: tuple[object, ...] = ()
    hopeless_since: float | None = None
    looks = 0
    while True:
        try:
            snapshot = cluster.stage_snapshot(work.instance, work.component, complete=None)
        except TransientError as error:
            backoff.pause(error)
            continue
        backoff.heard()
        if snapshot.job is None:
            raise faults.no_job(work.job, cluster.namespace)
        relay.show(snapshot.pods)
        if snapshot.job.is_final():
            relay.end()
            return snapshot
        why = explain(snapshot)
        if message != (why.state, why.message):
            message = (why.state, why.message)
            _say(work, why)
        now = time.monotonic()
        hopeless_since = (hopeless_since or now) if gives_up(snapshot, why) else None
        if hopeless_since is not None and now - hopeless_since >= START_SECONDS:
            raise _too_late(work, why)
        if why.state is State.RUNNING:
            looks = 0
            _until_it_changes(cluster.watch_job(work.job), snapshot.job)
        else:
            looks += 1
            time.sleep(min(POLL_SECONDS * (1 + looks / 30), MAX_POLL_SECONDS))


def failure(snapshot: JobSnapshot, work: Work) -> StageFailedError | None:
    """Why an ended Job failed, in the pod's own last sentence where that is a verdict; None when it did not fail."""
    outcome = snapshot.job.outcome if snapshot.job else None
    if outcome is None or outcome.type != "Failed":
        return None
    codes = [pod.container.exit_code for pod in snapshot.pods if pod.container.exit_code]
    code = codes[-1] if codes else TransientError.exit_code
    why = explain(snapshot)
    verdict = bool(codes) and bool(why.message) and not exit_of(code).retried
    if verdict and work.component == DRIVE:
        # It speaks of its stage, whose code it ends with.
        return StageFailedError(why.message, code)
    reason = why.message if verdict else f"{why.summary} ({why.message or outcome.reason})"
    return StageFailedError.of(work.component, code, reason)


def _say(work: Work, why: Explanation) -> None:
    fields = {"message": why.message, "action": why.action}
    log.event(
        f"{why.state}: {why.summary}",
        job=work.job,
        **{name: text for name, text in fields.items() if text},
    )


def _too_late(work: Work, why: Explanation) -> StartTimeoutError:
    message = f" ({why.message})" if why.message else ""
    action = f" {why.action[:1].upper()}{why.action[1:]}." if why.action else ""
    return StartTimeoutError(
        f"Job {work.job} could not start within {START_SECONDS / 60:.0f} minutes: {why.summary}{message}.{action} "
        "The Job stays; the same command follows it again."
    )


def _until_it_changes(states: Iterator[JobState], before: JobState) -> None:
    """Return with the first state in which a pod has come or gone, or which is the last."""

    def counts(state: JobState) -> tuple[object, ...]:
        return state.uid, state.suspended, state.active, state.failed, state.terminating

    for state in states:
        if state.is_final() or counts(state) != counts(before):
            return


class _Relay:
    """Passes on the lines of pods, one pod after the other, each once."""

    def __init__(self, cluster: ClusterApi) -> None:
        self._cluster = cluster
        self._shown: set[str] = set()
        self._thread: threading.Thread | None = None
        self._speaking = threading.Lock()
        self._closed = False

    def show(self, pods: tuple[PodState, ...]) -> None:
        """Begin with pods that have started and were not shown yet."""
        for pod in pods:
            if pod.uid in self._shown or (pod.container.state == "waiting" and not pod.ended):
                continue
            self._shown.add(pod.uid)
            self.end()
            self._thread = threading.Thread(target=self._pass_on, args=(pod.name,), daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Give the last pod's last lines some time to come."""
        if self._thread is not None:
            self._thread.join(_LAST_LINES_SECONDS)

    def close(self) -> None:
        """Say nothing more: a thread that writes while the process ends makes it abort."""
        with self._speaking:
            self._closed = True

    def _pass_on(self, pod: str) -> None:
        try:
            for line in self._cluster.logs(pod, follow=True):
                self._say(log.relay, line)
        except FingptError as fault:
            self._say(log.warning, f"No more lines of pod {pod}: {fault}")

    def _say(self, say: Callable[[str], None], line: str) -> None:
        with self._speaking:
            if not self._closed:
                say(line)
