"""The log of a run as one stream: over a stage's pods, over the stages, and the bucket's attempts once pods are gone.

Reads only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.job import DRIVE, job_name
from fingpt.errors import MissingInputError, TransientError
from fingpt.runs.run import Run, Stage, complete_key, stage_prefix
from fingpt.runs.state import attempts
from fingpt.storage import ObjectStore

POLL_SECONDS = 2.0
NEXT_STAGE_SECONDS = 300.0
"""How long drive may take to create the Job of its first stage (after that of a tiny base) or of the next one."""


def run_log(
    cluster: ClusterApi,
    store: ObjectStore,
    run: Run,
    *,
    follow: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """Every line of every pod of the run, stage after stage; `follow` waits for what is still to come.

    It ends with a stage that is not complete. Our own lines begin with `# `. SetupError when the cluster has no such
    namespace.
    """
    for stage in run.stages:
        shown = 0
        for line in _stage_log(cluster, run, stage, follow=follow, sleep=sleep):
            shown += 1
            yield line
        if not shown and stage is run.stages[0]:
            cluster.require_namespace()
        if not shown:
            yield from attempt_log(store, run, stage)
        if not store.exists(complete_key(run.id, stage)):
            return


def attempt_log(store: ObjectStore, run: Run, stage: Stage) -> Iterator[str]:
    """What the bucket has of a stage whose pods are gone: how its attempts ended."""
    prefix = f"{store.uri}/{stage_prefix(run.id, stage)}"
    if not store.exists(complete_key(run.id, stage)) and not attempts(store, run.id, stage):
        yield f"# {stage}: has not begun: there is no pod and no attempt"
        return
    yield f"# {stage}: its pods are gone; its attempts are under {prefix}/attempts/"
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
                which = "" if pod.index is None else f" (node {pod.index} of the training)"
                yield f"# {stage}: pod {pod.name}{which} on node {pod.node or '(none yet)'}"
                yield from _pod_log(cluster, pod.name, follow=follow)
        driven = job is None and follow and not seen and _is_driven(cluster, run)
        if not follow or (job is not None and job.is_final()):
            return
        if job is None and (not driven or waited >= NEXT_STAGE_SECONDS):
            return
        sleep(POLL_SECONDS)
        waited += POLL_SECONDS if job is None else 0.0


def _is_driven(cluster: ClusterApi, run: Run) -> bool:
    """Whether drive is alive, which creates the Job of the next stage."""
    drive = cluster.job(job_name(run.id, DRIVE))
    return drive is not None and not drive.is_final()


def _pod_log(cluster: ClusterApi, pod: str, *, follow: bool) -> Iterator[str]:
    try:
        yield from cluster.logs(pod, follow)
    except MissingInputError:
        yield f"# pod {pod} is gone, and its log with it"
    except TransientError as error:
        if follow:
            raise
        yield f"# {error}"
