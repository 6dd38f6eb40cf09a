"""The log of a run as one stream: over the pods of a stage, over the stages, and where to look once pods are gone.

Reads only. A log is comfort; what counts of a run is in the bucket, and the last lines here say where.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import job_name
from fingpt.errors import MissingInputError, TransientError
from fingpt.runs.ledger import attempts
from fingpt.runs.run import Run, Stage, complete_key, stage_prefix
from fingpt.storage import ObjectStore

POLL_SECONDS = 2.0
NEXT_STAGE_SECONDS = 300.0
"""How long a conductor may take to the Job of its first stage (a tiny base is made before) or of the next one."""


def run_log(
    cluster: ClusterApi,
    store: ObjectStore,
    run: Run,
    *,
    follow: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Every line of every pod of the run, stage after stage; `follow` waits for what is still to come.

    A stage that failed for good ends it. Lines of our own begin with `# `.
    """
    for stage in Stage:
        shown = 0
        for line in _stage_log(cluster, run, stage, follow=follow, sleep=sleep):
            shown += 1
            yield line
        if not shown:
            yield from diary(store, run, stage)
        if not store.exists(complete_key(run.id, stage)):
            return


def diary(store: ObjectStore, run: Run, stage: Stage) -> Iterator[str]:
    """What the bucket keeps of a stage whose pods are gone."""
    prefix = f"{store.uri}/{stage_prefix(run.id, stage)}"
    if not store.exists(complete_key(run.id, stage)) and not attempts(store, run.id, stage):
        yield f"# {stage}: nothing has begun; neither the cluster nor the bucket has a word of it"
        return
    yield f"# {stage}: no pod of it is left; the bucket keeps how its attempts ended under {prefix}/attempts/"
    for attempt in attempts(store, run.id, stage):
        ending = "left no ending" if attempt.code is None else f"exit {attempt.code}"
        yield f"# {stage}: attempt {attempt.number} from {attempt.started}: {ending} {attempt.message}".rstrip()
    if stage is Stage.TRAIN:
        yield f"# {stage}: one line per step is in metrics.jsonl of the newest checkpoint under {prefix}/ckpt/"


def _stage_log(
    cluster: ClusterApi,
    run: Run,
    stage: Stage,
    *,
    follow: bool,
    sleep: Callable[[float], None],
) -> Iterator[str]:
    name, seen, waited = job_name(run.id, stage), set[str](), 0.0
    while True:
        # The Job first: one that has ended makes no pod that the list would not show.
        job = cluster.job(name)
        for pod in cluster.pods(run.id, stage):
            if pod.uid not in seen:
                seen.add(pod.uid)
                yield f"# {stage}: pod {pod.name} on node {pod.node or '(none yet)'}"
                yield from _pod_log(cluster, pod.name, follow=follow)
        conducted = job is None and follow and not seen and _is_conducted(cluster, run)
        if not follow or (job is not None and job.is_final()):
            return
        if job is None and (not conducted or waited >= NEXT_STAGE_SECONDS):
            return
        sleep(POLL_SECONDS)
        waited += POLL_SECONDS if job is None else 0.0


def _is_conducted(cluster: ClusterApi, run: Run) -> bool:
    """Whether a conductor is alive, which makes the Job of the next stage."""
    conductor = cluster.job(job_name(run.id, "drive"))
    return conductor is not None and not conductor.is_final()


def _pod_log(cluster: ClusterApi, pod: str, *, follow: bool) -> Iterator[str]:
    try:
        yield from cluster.logs(pod, follow)
    except MissingInputError:
        yield f"# pod {pod} is gone, and its log with it"
    except TransientError as error:
        if follow:
            raise
        yield f"# {error}"
