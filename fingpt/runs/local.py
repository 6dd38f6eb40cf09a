"""Run stages as processes of this machine, one after the other; holds no state of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

from fingpt import log
from fingpt.errors import Interrupted, StageFailedError
from fingpt.models import spec
from fingpt.runs.run import Run, Stage, base_manifest_key, run_key
from fingpt.storage import ObjectStore


def run_locally(store: ObjectStore, run: Run, stages: Sequence[Stage]) -> None:
    """Run `stages` of `run` in order; stops at the first that fails, with its exit code.

    A tiny model's base weights are made when they are missing and train is among the stages.
    """
    model = spec(run.config.model)
    missing = not store.exists(base_manifest_key(model.base_prefix))
    if Stage.TRAIN in stages and len(stages) > 1 and model.tiny and missing:
        _process("tiny", ["-m", "jobs.tiny", "--model", model.key])
    uri = f"{store.uri}/{run_key(run.id)}"
    for stage in stages:
        _process(str(stage), ["-m", f"jobs.{stage}", "--run", uri])


def _process(name: str, arguments: list[str]) -> None:
    """One child process that gets our SIGTERM and SIGINT, and whose exit code becomes ours.

    It has a session of its own: a terminal (or `timeout`) signals its whole process group, and a stage that gets the
    same signal twice would take the second for impatience.
    """
    process = subprocess.Popen([sys.executable, *arguments], start_new_session=True)
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
    finally:
        for number, old in before.items():
            signal.signal(number, old)
    if received and code != 0:
        raise Interrupted(f"Stage {name} was interrupted; the same command resumes.")
    if code != 0:
        log.event("stage failed", stage=name, code=code)
        raise StageFailedError.of(name, code if code > 0 else 128 - code)
