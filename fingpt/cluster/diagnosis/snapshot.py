"""Records: a snapshot of one Job with its pods and events, and the explanation that explain.py derives from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from fingpt.cluster.api.objects import Admission, Event, JobState, PodState


class State(StrEnum):
    """The state of a stage's Job; docs/operations.md lists what each means."""

    ABSENT = "absent"
    WAITING = "waiting"
    BLOCKED = "blocked"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DISRUPTED = "disrupted"
    RETRYABLE = "failed-retryable"
    PERMANENT = "failed-permanent"
    STUCK = "stuck-node"
    FENCED = "fenced"
    SILENT = "silent-failure"
    PAUSED = "paused"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`summary` is ours, `message` the cluster's own text verbatim, `action` what a person can do.

    `times` and `last`: how often the message came, and when last.
    """

    state: State
    summary: str
    message: str = ""
    action: str = ""
    times: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One Job, its pods and their events, each oldest first.

    `complete`: whether COMPLETE is in the bucket, None when the bucket was not read. `admission`: what the queue says
    that holds the Job back.
    """

    job: JobState | None = None
    pods: tuple[PodState, ...] = ()
    events: tuple[Event, ...] = ()
    complete: bool | None = None
    admission: Admission = field(default_factory=Admission)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def newest(self, *reasons: str, about: str = "") -> Event | None:
        """The newest event with one of the reasons, of the object named `about` if that is given."""
        found = [
            event
            for event in self.events
            if event.reason in reasons and (not about or event.name == about)
        ]
        return found[-1] if found else None
