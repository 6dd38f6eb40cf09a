"""What was seen of one stage on the cluster, and the record that says what it means.

Records only: explain.py turns the one into the other, status.py fills the first and shows the second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from fingpt.cluster.api.objects import Event, JobState, PodState


class State(StrEnum):
    """What a stage's Job is doing."""

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
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`summary` is ours, `message` the cluster's own text word for word, `action` what a person can do.

    `times` and `last` tell how often and when the message came last.
    """

    state: State
    summary: str
    message: str = ""
    action: str = ""
    times: int = 0
    last: str = ""


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What was seen of one stage: its Job, its pods (oldest first), what was said of them (oldest first).

    `complete`: whether COMPLETE is in the bucket, None when the bucket could not be read. `admission`: what a queue
    says of the Job.
    """

    job: JobState | None = None
    pods: tuple[PodState, ...] = ()
    events: tuple[Event, ...] = ()
    complete: bool | None = None
    admission: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def newest(self, *reasons: str, about: str = "") -> Event | None:
        """The newest event with one of the reasons, of the object named `about` if that is given."""
        found = [
            event
            for event in self.events
            if event.reason in reasons and (not about or event.name == about)
        ]
        return found[-1] if found else None
