"""Jobs of some seconds that test what a run's pods need: image pull, Secret, store, and room for training.

Each is a stage's own Job under another name: same account, security, Secrets and placement. Three run the images,
without GPUs. The fourth requests all that train does and one resource more, which no node has: the scheduler then says
what else is lacking, and never places it, so nothing is taken. All are deleted at the end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fingpt import log
from fingpt.cluster.api.protocol import ClusterApi
from fingpt.cluster.diagnosis.explain import explain, unscheduled
from fingpt.cluster.diagnosis.snapshot import Explanation, JobSnapshot, State
from fingpt.cluster.job import COMPONENT, INSTANCE, PROJECT, build_job, load_template
from fingpt.cluster.site import Site
from fingpt.doctor.checks import Check, Grade, failed, passed
from fingpt.doctor.evaluation import asks_for_vllm
from fingpt.errors import FingptError, MissingInputError, PermissionDeniedError, SetupError
from fingpt.runs.run import Run, Stage, run_key

OWNER = "fingpt-doctor"
"""The label of these pods, so that no command takes them for a run's; the chart's policies let them reach the store."""

ROOM = "room for train"

ABSENT_RESOURCE = "fingpt-jobs/doctor"
"""The resource that no node has."""

WAIT_SECONDS = 30.0
_LIFE_SECONDS = (
    120  # a Job that could not be deleted ends after this time, and is gone after twice as long
)
_BLOCKED_SECONDS = 3.0  # a pod that is blocked for a shorter time is not reported
_POLL_SECONDS = 1.0
_REQUESTS = {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "256Mi"}
_LIMITS = {**_REQUESTS, "cpu": "1"}  # with a tenth of a core Python starts too slowly

_TEMPORARY = re.compile(r"exceeded quota|Insufficient|Too many pods|limits pulls", re.IGNORECASE)
_ABSENT = re.compile(rf"(?P<nodes>\d+) Insufficient {ABSENT_RESOURCE}(, )?")
_LACKING = re.compile(r"(?P<nodes>\d+) (Insufficient [\w./-]+|Too many pods)")


@dataclass(frozen=True, slots=True)
class Trial:
    """A Job to run; `title` names its check, `success` is the check's message when it succeeds."""

    title: str
    job: dict[str, Any]
    success: str

    @property
    def name(self) -> str:
        """The Job's name."""
        return str(self.job["metadata"]["name"])


def trials(run: Run, site: Site, token: str) -> Iterator[Trial]:
    """The trials of a site; `token` makes their names unique."""
    bare = site.model_copy(update={"queue": "", "cache_claim": ""})
    for stage in Stage:
        job = _job(run, stage, bare, token)
        pod = job["spec"]["template"]["spec"]
        pod.pop("runtimeClassName", None)
        container = pod["containers"][0]
        container["resources"] = {"requests": dict(_REQUESTS), "limits": dict(_LIMITS)}
        container["args"] = ["--help"]
        success = f"{container['image']} was pulled and starts"
        if stage is Stage.PREP:
            container["command"] = ["tini", "--", "python", "-m", "fingpt.doctor.local"]
            success += f"; from its pod {site.store} is readable and writable"
        if stage is Stage.EVAL and asks_for_vllm(run.config):
            container["command"] = ["tini", "--", "python", "-m", "fingpt.doctor.evaluation"]
            success += "; it has vLLM"
        yield Trial(f"image of {stage}", job, success)
    job = _job(run, Stage.TRAIN, site.model_copy(update={"queue": ""}), token, "room")
    resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    for amounts in resources.values():
        amounts[ABSENT_RESOURCE] = "1"
    yield Trial(ROOM, job, "the scheduler would place its pod now")


def _job(run: Run, stage: Stage, site: Site, token: str, name: str = "") -> dict[str, Any]:
    """The stage's Job under a name and labels of its own, without retries and with a short life."""
    uri = f"{site.store}/{run_key(run.id)}"
    job = build_job(run, stage, load_template(stage), site, uri)
    spec, owner = job["spec"], {PROJECT: OWNER, INSTANCE: token, COMPONENT: "trial"}
    job["metadata"]["name"] = f"{OWNER}-{token}-{name or stage}"
    for metadata in (job["metadata"], spec["template"]["metadata"]):
        metadata["labels"].update(owner)
    spec.update(
        backoffLimit=0, activeDeadlineSeconds=_LIFE_SECONDS, ttlSecondsAfterFinished=_LIFE_SECONDS
    )
    spec["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    return job


def run_trials(
    cluster: ClusterApi,
    wanted: list[Trial],
    *,
    seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Check]:
    """Create all Jobs, wait until each has shown its result or the time is over, and delete all; one check for each."""
    log.event("testing images, Secret and room with Jobs of some seconds", jobs=len(wanted))
    checks: dict[str, Check] = {}
    created: list[Trial] = []
    try:
        for each in wanted:
            created.append(each)
            try:
                cluster.apply_job(each.job)
            except FingptError as fault:
                checks[each.title] = failed(each.title, fault)
        checks |= _results(
            cluster, [each for each in created if each.title not in checks], seconds, sleep, clock
        )
    finally:
        for each in created:
            _delete(cluster, each.name)
    yield from (checks[each.title] for each in wanted)


def _results(
    cluster: ClusterApi,
    pending: list[Trial],
    seconds: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> dict[str, Check]:
    checks: dict[str, Check] = {}
    since: dict[str, tuple[str, float]] = {}
    end = clock() + seconds
    while pending:
        for each in list(pending):
            try:
                snapshot = cluster.job_snapshot(each.name)
            except FingptError as fault:
                checks[each.title] = failed(each.title, fault)
                pending.remove(each)
                continue
            why = explain(snapshot)
            summary, first = since.get(each.title, ("", clock()))
            if summary != why.summary:
                first = clock()
            since[each.title] = (why.summary, first)
            blocked = why.state is State.BLOCKED and clock() - first >= _BLOCKED_SECONDS
            if blocked or clock() >= end or (snapshot.job is not None and snapshot.job.outcome):
                checks[each.title] = check_of(each, snapshot, why)
                pending.remove(each)
        if pending:
            sleep(_POLL_SECONDS)
    return checks


def _delete(cluster: ClusterApi, name: str) -> None:
    try:
        cluster.delete_job(name)
    except FingptError as fault:
        log.warning(
            f"Job {name} could not be deleted; it is removed by itself in minutes",
            message=str(fault),
        )


def check_of(trial: Trial, snapshot: JobSnapshot, why: Explanation) -> Check:
    """What a trial's snapshot means."""
    if ABSENT_RESOURCE in why.message:
        return _room(trial, why)
    if why.state is State.COMPLETE:
        return passed(trial.title, trial.success)
    message = f"{why.summary}: {why.message}" if why.message else why.summary
    if why.state is State.BLOCKED:
        return _blocked(trial, message, why.action)
    code = snapshot.pods[-1].container.exit_code if snapshot.pods else None
    if code:  # its own message says what to do, but cannot know whose Secret it had
        own = why.message and code != PermissionDeniedError.exit_code
        return Check(trial.title, Grade.FAIL, message, "" if own else why.action, code)
    return Check(trial.title, Grade.WARN, f"no answer yet: {message}", "run doctor again")


def _blocked(trial: Trial, message: str, action: str) -> Check:
    if _TEMPORARY.search(message):
        return Check(trial.title, Grade.WARN, f"it would have to wait: {message}", action)
    lacks_secret = re.search(r'secret "[^"]+" not found', message)
    code = MissingInputError.exit_code if lacks_secret else SetupError.exit_code
    return Check(trial.title, Grade.FAIL, message, action, code)


def _room(trial: Trial, why: Explanation) -> Check:
    """What the scheduler's message says beside the absent resource.

    It counts, among the nodes that our pods may use, how many lack which resource; a node that lacks only the absent
    one has room.
    """
    absent = _ABSENT.search(why.message)
    nodes = int(absent["nodes"]) if absent else 0
    rest = _ABSENT.sub("", why.message).partition(". ")[0].strip("., ")
    lacking = sum(int(match["nodes"]) for match in _LACKING.finditer(rest))
    if nodes > lacking:
        return passed(trial.title, trial.success)
    found = unscheduled(rest)
    return _blocked(trial, f"{found.summary}: {rest}", found.action)
