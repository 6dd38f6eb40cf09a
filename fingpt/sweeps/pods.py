"""`pool.Workers` by Jobs of a cluster: a run with one stage left is that stage's Job, with several the Job of drive.

Jobs have the names that they have without a sweep, so each is its own lock, and `make status RUN=` explains them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fingpt.cluster import drive
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.api.stream import WatchBackoff
from fingpt.cluster.follow import Work, failure
from fingpt.cluster.job import DRIVE
from fingpt.cluster.site import Site
from fingpt.cluster.sweep_job import mark
from fingpt.errors import TransientError
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore
from fingpt.sweeps.adopt import adopt
from fingpt.sweeps.pool import Ended

_POLL_SECONDS = 5.0


@dataclass
class ClusterWorkers:
    """`pool.Workers` in one namespace; every Job carries the label of the sweep.

    A silent API server is waited for as `follow` does. `leader` is the run whose data set others take over. `pausing`:
    a training may have ended well without being complete, at a limit of its own.
    """

    cluster: ClusterApi
    store: ObjectStore
    sweep_id: str
    leader: Callable[[Run], Run]
    site: Site
    pausing: bool = False
    sleep: Callable[[float], None] = time.sleep
    _work: dict[str, Work] = field(default_factory=dict)
    _stages: dict[str, Sequence[Stage]] = field(default_factory=dict)
    _backoff: WatchBackoff = field(default_factory=lambda: WatchBackoff("the sweep's Jobs"))

    def start(self, run: Run, stages: Sequence[Stage]) -> None:
        """Create the Job of what is left of `stages`; one under way is left alone, one that has ended runs again."""
        left = self._left(run, stages)
        if Stage.PREP in left and adopt(self.store, run, self.leader(run)):
            left.remove(Stage.PREP)
        self._stages[run.id] = stages
        if not left:
            return
        # Drive takes a training that pauses for one that has failed.
        alone = len(left) == 1 or self.pausing
        self._work[run.id] = (
            drive.stage_work(self.store, run, left[0]) if alone else drive.run_work(self.store, run)
        )
        (job,) = drive.plan(run, [str(left[0]) if alone else DRIVE], self.site, self.store.uri)
        drive.start(self.cluster, mark(job, self.sweep_id), sleep=self.sleep)

    def ended(self, run: Run) -> Ended | None:
        """How the run's Job ended, by its pod's exit code and last message; None while it is under way."""
        if not self._left(run, self._stages[run.id]):
            return Ended(0)
        work = self._work[run.id]
        if work.done():
            self.start(run, self._stages[run.id])
            return None
        try:
            job = self.cluster.job(work.job)
            if job is not None and not job.is_final():
                self._backoff.reset()
                return None
            snapshot = self.cluster.stage_snapshot(work.instance, work.component, complete=None)
        except TransientError as silence:
            self._backoff.pause(silence)
            return None
        self._backoff.reset()
        if snapshot.job is None:
            return Ended(
                TransientError.exit_code,
                f"Job {work.job} was deleted, or is past its time to live.",
            )
        if not snapshot.job.is_final():
            return None
        fault = failure(snapshot, work)
        if fault is not None:
            return Ended(fault.exit_code, str(fault))
        if work.done():
            return self.ended(run)
        # Paused at a limit, or a silent failure: whoever started it judges by the bucket.
        return Ended(0, f"Job {work.job} is Complete, but {work.result} is not in the store.")

    def wait(self, seconds: float) -> None:
        """Return after some seconds: asking for each Job under way costs one small request."""
        self.sleep(min(seconds, _POLL_SECONDS))

    def _left(self, run: Run, stages: Sequence[Stage]) -> list[Stage]:
        return [stage for stage in stages if finished(self.store, run, stage) is None]
