"""What a trial has cost: the seconds of all attempts at its training, and of GPUs."""

from __future__ import annotations

from datetime import datetime

from fingpt.reading import Unreadable, parse_object
from fingpt.runs.progress import sound_commits
from fingpt.runs.run import Run, Stage
from fingpt.runs.state import attempts, seconds_since
from fingpt.storage import ObjectStore


def seconds_spent(store: ObjectStore, run: Run) -> tuple[float, float]:
    """Seconds of a run's training, and GPU-seconds.

    Of each attempt from its claim to its ending, or to its last heartbeat where it was killed; by the clocks of the
    machines, so for people only. The GPUs are those of the machine that its newest checkpoint names, none without one.
    """
    seconds = 0.0
    for each in attempts(store, run.id, Stage.TRAIN):
        try:
            end = datetime.fromisoformat(each.ended or each.beat)
        except ValueError:
            continue
        seconds += seconds_since(each.started, end) or 0.0
    return seconds, seconds * _gpus(store, run)


def _gpus(store: ObjectStore, run: Run) -> int:
    """GPUs that a training ran on."""
    commit = next(sound_commits(store, run.id), None)
    try:
        machine = parse_object(commit.context.get("machine", "").encode()) if commit else {}
        return 0 if machine.get("device", "cpu") == "cpu" else int(machine["processes"])
    except (Unreadable, KeyError, ValueError):
        return 0
