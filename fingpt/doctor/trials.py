"""Jobs of some seconds that show what a run's pods would meet: image pull, Secret, store, and room for training.

Each is a stage's own Job under another name: same account, security, Secrets and placement. Three run the images,
without GPUs. The fourth asks for all that train does and for one thing more, which no node has: the scheduler then says
what else would be lacking, and never places it, so nothing is taken. All are deleted when the answers are there.
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
from fingpt.errors import FingptError, MissingInputError, PermissionDeniedError, SetupError
from fingpt.runs.run import Run, Stage, run_key

OWNER = "fingpt-doctor"
"""The label of these pods, so that no command takes them for a run's; the chart's policies let them reach the store."""

ROOM = "room for train"

NOBODY_HAS = "fingpt-jobs/doctor"
"""The resource that no node offers."""

WAIT_SECONDS = 30.0
_LIFE_SECONDS = 120  # a Job that nobody deleted ends by then, and is gone as long after
_SURE_SECONDS = 3.0  # what blocks a pod for a moment only is nothing to tell
_POLL_SECONDS = 1.0
_LITTLE = {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "256Mi"}
_MOST = {**_LITTLE, "cpu": "1"}  # Python's start takes a tenth of a core too long

_PASSES = re.compile(r"exceeded quota|Insufficient|Too many pods|limits pulls", re.IGNORECASE)
_OURS = re.compile(rf"(?P<nodes>\d+) Insufficient {NOBODY_HAS}(, )?")
_LACKS = re.compile(r"(?P<nodes>\d+) (Insufficient [\w./-]+|Too many pods)")


@dataclass(frozen=True, slots=True)
class Trial:
    """A Job to be tried; `title` is doctor's word for it, `good` what it shows when it ends well."""

    title: str
    job: dict[str, Any]
    good: str

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
        container["resources"] = {"requests": dict(_LITTLE), "limits": dict(_MOST)}
        container["args"] = ["--help"]
        good = f"{container['image']} was pulled and starts"
        if stage is Stage.PREP:
            container["command"] = ["tini", "--", "python", "-m", "fingpt.doctor.local"]
            good += f"; from its pod {site.store} is readable and writable"
        yield Trial(f"image of {stage}", job, good)
    job = _job(run, Stage.TRAIN, site.model_copy(update={"queue": ""}), token, "room")
    resources = job["spec"]["template"]["spec"]["containers"][0]["resources"]
    for amounts in resources.values():
        amounts[NOBODY_HAS] = "1"
    yield Trial(ROOM, job, "the scheduler would place its pod now")


def _job(run: Run, stage: Stage, site: Site, token: str, name: str = "") -> dict[str, Any]:
    """The stage's Job under a name and owner of its own, that fails at once and is soon gone."""
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


def try_out(
    cluster: ClusterApi,
    tried: list[Trial],
    *,
    seconds: float = WAIT_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Check]:
    """Create all of them, wait until each has an answer or the time is over, delete all, and give what they showed."""
    log.event("trying images, Secret and room by Jobs of some seconds", jobs=len(tried))
    seen: dict[str, Check] = {}
    made: list[Trial] = []
    try:
        for each in tried:
            made.append(each)
            try:
                cluster.apply_job(each.job)
            except FingptError as fault:
                seen[each.title] = failed(each.title, fault)
        seen |= _answers(
            cluster, [each for each in made if each.title not in seen], seconds, sleep, clock
        )
    finally:
        for each in made:
            _delete(cluster, each.name)
    yield from (seen[each.title] for each in tried)


def _answers(
    cluster: ClusterApi,
    open_: list[Trial],
    seconds: float,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> dict[str, Check]:
    seen: dict[str, Check] = {}
    since: dict[str, tuple[str, float]] = {}
    end = clock() + seconds
    while open_:
        for each in list(open_):
            try:
                snapshot = cluster.job_snapshot(each.name)
            except FingptError as fault:
                seen[each.title] = failed(each.title, fault)
                open_.remove(each)
                continue
            why = explain(snapshot)
            words, first = since.get(each.title, ("", clock()))
            if words != why.summary:
                first = clock()
            since[each.title] = (why.summary, first)
            sure = why.state is State.BLOCKED and clock() - first >= _SURE_SECONDS
            if sure or clock() >= end or (snapshot.job is not None and snapshot.job.outcome):
                seen[each.title] = judge(each, snapshot, why)
                open_.remove(each)
        if open_:
            sleep(_POLL_SECONDS)
    return seen


def _delete(cluster: ClusterApi, name: str) -> None:
    try:
        cluster.delete_job(name)
    except FingptError as fault:
        log.warning(
            f"Job {name} could not be deleted; it goes by itself in minutes", why=str(fault)
        )


def judge(trial: Trial, snapshot: JobSnapshot, why: Explanation) -> Check:
    """What a trial shows."""
    if NOBODY_HAS in why.message:
        return _room(trial, why)
    if why.state is State.COMPLETE:
        return passed(trial.title, trial.good)
    message = f"{why.summary}: {why.message}" if why.message else why.summary
    if why.state is State.BLOCKED:
        return _blocked(trial, message, why.action)
    code = snapshot.pods[-1].container.exit_code if snapshot.pods else None
    if code:  # its own sentence ends with what to do, but cannot know whose Secret it had
        own = why.message and code != PermissionDeniedError.exit_code
        return Check(trial.title, Grade.FAIL, message, "" if own else why.action, code)
    return Check(trial.title, Grade.WARN, f"no answer yet: {message}", "doctor again, it goes on")


def _blocked(trial: Trial, message: str, action: str) -> Check:
    if _PASSES.search(message):
        return Check(trial.title, Grade.WARN, f"it would have to wait: {message}", action)
    lacks_secret = re.search(r'secret "[^"]+" not found', message)
    code = MissingInputError.exit_code if lacks_secret else SetupError.exit_code
    return Check(trial.title, Grade.FAIL, message, action, code)


def _room(trial: Trial, why: Explanation) -> Check:
    """The scheduler's words without what was asked for in order not to be placed.

    It counts, of the nodes that pods of ours may use at all, how many lack what; a node that lacks only ours has room.
    """
    ours = _OURS.search(why.message)
    nodes = int(ours["nodes"]) if ours else 0
    rest = _OURS.sub("", why.message).partition(". ")[0].strip("., ")
    lacking = sum(int(match["nodes"]) for match in _LACKS.finditer(rest))
    if nodes > lacking:
        return passed(trial.title, trial.good)
    found = unscheduled(rest)
    return _blocked(trial, f"{found.summary}: {rest}", found.action)
