"""A grid or random search as one Indexed Job: its status says which trials have ended, the bucket how.

The Job's pods choose their own trial, begin it and train it (pod.py); here it is created, followed, and told of.
Following watches the one Job; pods are looked at only where something does not start, or has failed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fingpt import log
from fingpt.cluster.api import faults
from fingpt.cluster.api.objects import JobState, PodState, numbers_in
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.api.stream import WatchBackoff
from fingpt.cluster.diagnosis.explain import explain, pod_end
from fingpt.cluster.drive import start
from fingpt.cluster.follow import START_SECONDS, unpullable
from fingpt.cluster.job import TRIAL, job_name, load_template
from fingpt.cluster.site import Site
from fingpt.cluster.sweep_job import SweepAddress, build_trial_job, sweep_name, trial_instance
from fingpt.errors import (
    DivergedError,
    StageFailedError,
    StartTimeoutError,
    TransientError,
)
from fingpt.runs.freeze import located
from fingpt.runs.run import Run
from fingpt.storage import ObjectStore
from fingpt.sweeps.plan import plan
from fingpt.sweeps.records import Tell, sweep_key
from fingpt.sweeps.sweep import Sweep, asked_run, trial_run
from fingpt.sweeps.trials import OBSTACLES, announce, asked, read_tell, read_trial, tell

POLL_SECONDS = 5.0
LOOK_SECONDS = 30.0
"""How often pods are looked at while no trial has ended yet."""

_THREADS = 8


def address(store: ObjectStore, sweep: Sweep) -> SweepAddress:
    """What the sweep's Jobs are told of it."""
    return SweepAddress(sweep.id, sweep.sha256, f"{store.uri}/{sweep_key(sweep.id)}")


def trial_job(store: ObjectStore, sweep: Sweep, model: str, site: Site) -> dict[str, Any]:
    """The Indexed Job of a model's trials."""
    size = (sweep.definition.count, sweep.definition.parallel)
    run = Run.of(sweep.bases[model], sweep.images)
    return build_trial_job(address(store, sweep), run, size, load_template(TRIAL), site)


class IndexedSearch:
    """The search of one model; `tells` are those that are in the bucket."""

    def __init__(
        self,
        cluster: ClusterApi,
        store: ObjectStore,
        sweep: Sweep,
        model: str,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster, self._store, self._sweep, self._model = cluster, store, sweep, model
        self._sleep = sleep
        self._settings = plan(sweep.definition)
        self._instance = trial_instance(sweep.id, model)
        self._job = job_name(self._instance, TRIAL)
        self.tells: dict[int, Tell] = {}

    def carry_out(self, site: Site) -> tuple[Tell, ...]:
        """Carry the search out to its end; tells in number order.

        A Job that failed for good under this controller stays failed. StageFailedError with the code of what kept the
        trials from being carried out, StartTimeoutError when no image comes, MissingInputError when the Job is gone.
        """
        self._in_threads(self._read, range(len(self._settings)))
        if not self._is_over():
            own = self._cluster.job(sweep_name(self._sweep.id))
            job = trial_job(self._store, self._sweep, self._model, site)
            start(self._cluster, job, since=own.created if own else "", sleep=self._sleep)
            self._follow()
        return tuple(self.tells[n] for n in sorted(self.tells))

    def _follow(self) -> None:
        """Look every few seconds until a trial has ended: what keeps all of them changes no Job. Then watch it."""
        backoff, stuck = WatchBackoff(f"Job {self._job}"), _Stuck(self._cluster, self._instance)
        while True:
            try:
                for job in self._states(stuck):
                    self._note(job)
                    if self._is_over():
                        return
                    if job.is_final():
                        raise self._failure(job)
                    backoff.reset()
            except TransientError as silence:
                backoff.pause(silence)

    def _states(self, stuck: _Stuck) -> Iterator[JobState]:
        """States of the Job, up to its last one."""
        while not self.tells:
            job = self._cluster.job(self._job)
            if job is None:
                raise faults.no_job(self._job, self._cluster.namespace)
            yield job
            if not self.tells and stuck.waited % LOOK_SECONDS < POLL_SECONDS:
                stuck.look()
            self._sleep(POLL_SECONDS)
            stuck.waited += POLL_SECONDS
        yield from self._cluster.watch_job(self._job)

    def _note(self, job: JobState) -> None:
        """Tell of the trials that have ended."""
        complete, failed = numbers_in(job.completed_indexes), numbers_in(job.failed_indexes)
        new = (complete | failed) - set(self.tells)
        self._in_threads(lambda n: self._tell(n, failed=n in failed), sorted(new))

    def _tell(self, n: int, *, failed: bool) -> None:
        trial = read_trial(self._store, self._sweep, self._run(n))
        told = trial.told(n)
        if told is None and not failed:
            self._read(n)
            if n in self.tells:
                return
            raise DivergedError(
                f"Trial {n} of Job {self._job} is complete, but its value is not in the store: a silent failure. See "
                "its pod's last lines, then give the same command again."
            )
        if told is None:
            pods = self._cluster.pods(self._instance, TRIAL, index=n)
            reason = _reason(pods, f"{self._job}-{n}-") or trial.reason
            told = Tell(
                number=n,
                state="failed",
                reason=f"broke off again and again: {reason or 'its pods left no word'}",
                seconds=round(trial.seconds, 1),
                gpu_seconds=round(trial.gpu_seconds, 1),
            )
        announce(self._model, told)
        self.tells[n] = tell(self._store, self._sweep, self._model, told)

    def _read(self, n: int) -> None:
        there = read_tell(self._store, self._sweep, self._model, n)
        if there is not None:
            self.tells[n] = there

    def _run(self, n: int) -> Run:
        """The run of a trial as its pod has frozen it; a pod that never got there has not asked for it."""
        ask = asked(self._store, self._sweep, self._model, n)
        if ask is None:
            return located(self._store, trial_run(self._sweep, self._model, self._settings[n]))
        return asked_run(self._sweep, self._model, ask)

    def _failure(self, job: JobState) -> StageFailedError | DivergedError:
        """Why a Job that has ended leaves trials undone."""
        for pod in self._cluster.pods(self._instance, TRIAL, phase="Failed"):
            if pod.container.exit_code in OBSTACLES:
                said = pod_end(pod)
                return StageFailedError(
                    f"Trial pod {pod.name} ended with exit code {pod.container.exit_code}, as every other one would: "
                    f"{said.message or said.summary} Then give the same command again; it goes on.",
                    pod.container.exit_code,
                )
        outcome = job.outcome
        reasons = Counter(each.reason for each in self.tells.values() if each.state == "failed")
        if outcome is not None and outcome.reason == "MaxFailedIndexes":
            return DivergedError(
                f"{sum(reasons.values())} of the {len(self._settings)} trials of {self._model} have failed, too many "
                f"for a search; most of them say: {reasons.most_common(1)[0][0]}"
            )
        why = f"{outcome.reason}: {outcome.message}" if outcome else "it ended"
        return StageFailedError(
            f"Job {self._job} ended with {len(self._settings) - len(self.tells)} trials to go ({why}); give the same "
            "command again, it goes on.",
            TransientError.exit_code,
        )

    def _is_over(self) -> bool:
        return len(self.tells) == len(self._settings)

    def _in_threads(self, act: Callable[[int], None], numbers: Iterable[int]) -> None:
        """Do something for each trial, several at a time: each is a few requests to the store."""
        with ThreadPoolExecutor(_THREADS) as threads:
            for _ in threads.map(act, numbers):
                pass


class _Stuck:
    """Says why no pod of the Job runs, once for each reason, and gives up where no image comes."""

    def __init__(self, cluster: ClusterApi, instance: str) -> None:
        self._cluster, self._instance = cluster, instance
        self._said: tuple[str, ...] = ()
        self._since: float | None = None
        self.waited = 0.0

    def look(self) -> None:
        """Look at the pods; StartTimeoutError when an image could not be pulled for START_SECONDS."""
        snapshot = self._cluster.stage_snapshot(self._instance, TRIAL, complete=None)
        if snapshot.job is None or snapshot.job.is_final():
            return
        why = explain(snapshot)
        if self._said != (why.state, why.message):
            self._said = (why.state, why.message)
            told = {"message": why.message, "action": why.action}
            log.event(f"{why.state}: {why.summary}", **{k: v for k, v in told.items() if v})
        if not unpullable(snapshot, why):
            self._since = None
            return
        self._since = self.waited if self._since is None else self._since
        if self.waited - self._since >= START_SECONDS:
            raise StartTimeoutError(
                f"Trials of {self._instance} could not start within {START_SECONDS / 60:.0f} minutes: {why.summary} "
                f"({why.message}). The Job stays; the same command follows it again."
            )


def _reason(pods: Iterable[PodState], prefix: str) -> str:
    """How the newest pod of a trial ended."""
    own = [pod for pod in pods if pod.name.startswith(prefix) and pod.ended]
    if not own:
        return ""
    why = pod_end(own[-1])
    return f"{why.summary} ({why.message})" if why.message else why.summary
