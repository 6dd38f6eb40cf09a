"""A trial's prep without prep's libraries: the data set that another run of the sweep has made is taken over.

All runs of a sweep for one model have the same rows under the same rules, so one prep serves them all.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from fingpt.config import read_environment
from fingpt.prep.shared import taken_from
from fingpt.runs.attempt import claim
from fingpt.runs.manifest import encode
from fingpt.runs.run import Run, Stage, complete_key
from fingpt.runs.stage import Context, finished
from fingpt.storage import ObjectStore


def adopt(store: ObjectStore, run: Run, leader: Run) -> bool:
    """Complete the prep of `run` with the data set of `leader`; False when that one has none yet.

    Nothing happens where the prep of `run` is complete. FencedError when another process is at it.
    """
    if finished(store, run, Stage.PREP) is not None:
        return True
    if finished(store, leader, Stage.PREP) is None:
        return False
    with (
        claim(store, run.id, Stage.PREP) as attempt,
        tempfile.TemporaryDirectory(prefix="fingpt-") as scratch,
    ):
        ctx = Context(store, run, Stage.PREP, read_environment(), Path(scratch), attempt)
        made = taken_from(ctx, leader)
        if made is None:
            return False
        attempt.check()
        store.create(complete_key(run.id, Stage.PREP), encode(made))
    return True
