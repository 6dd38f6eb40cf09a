"""Kills and stops at random times of the train stage: the adapter is the same to the last byte, and no code lies.

Half of the signals come at any time, half are aimed at one phase. Most starts are forked from a process that has torch
loaded (warm.py); some are real ones, so that the imports are hit too.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fingpt.runs.run import Run, Stage, complete_key, run_key, stage_prefix
from fingpt.runs.verify import LinkStatus, verify
from fingpt.train.handoff import StepRecord
from fingpt.train.session import Session
from fingpt.train.stage import prepare
from tests.train.warm import Start

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("torch_as_before")]

STEPS = 40
TRAIN = {
    "max_steps": STEPS,
    "batch_size": 1,
    "accumulation": 1,
    "eval_every": 1.0,
    "save_every": 5,
}
PHASES = ("start", "load", "train", "save", "upload")
KILLS, STOPS, COLD_STOPS = 25, 50, 3
SECONDS_TO_EXIT = 25


class Campaign:
    """Disturbed starts of one configuration; a run that got finished is checked, and another one begun."""

    def __init__(self, folder: Path, invent, base_folder: Path, seed: int) -> None:
        self._folder, self._make, self._base = folder, invent.world, base_folder
        self.dice = random.Random(seed)
        self.hit: Counter[str] = Counter()
        self.finished, self._starts = 0, 0
        plain = self._new()
        task = prepare(plain.context(self.run))
        Session(task, 0, lambda: False).run()
        self._wanted = (task.adapter / "adapter_model.safetensors").read_bytes()
        self.world = self._new()
        self.finish()  # the first start of all waits for the imports
        begun = time.monotonic()
        self.finish()
        self._seconds = time.monotonic() - begun

    def start(self) -> Start:
        """The stage, to be disturbed."""
        self._starts += 1
        self._before = self._checkpoints()
        log = self._folder / f"start-{self._starts}.log"
        return Start(f"{self.world.store.uri}/{run_key(self.run.id)}", log)

    def wait_for_a_moment(self, start: Start) -> str:
        """Wait until a signal is due; the phase it will hit, or "" when the stage was faster."""
        aim = self.dice.choice((*PHASES, *[""] * len(PHASES)))
        if aim:
            while start.running and self.phase(start) != aim:
                time.sleep(0.001)
            time.sleep(self.dice.uniform(0, 0.005 if aim in ("save", "upload") else 0.1))
        else:
            time.sleep(self.dice.uniform(0, self._seconds))
        phase = self.phase(start)
        return phase if start.running and phase in PHASES else ""

    def phase(self, start: Start) -> str:
        """What the stage is at, by its log and by what lies in the store."""
        if self.world.store.exists(complete_key(self.run.id, Stage.TRAIN)):
            return "complete"
        text = start.text
        if '"event": "attempt claimed"' not in text:
            return "start"
        if '"event": "training"' not in text:
            return "load"
        if self._committed() == STEPS:
            return "upload"
        return "save" if self._checkpoints() != self._before else "train"

    def settle(self, code: int) -> None:
        """After a start has ended: check the run and begin another one if it is complete, which code 0 promises."""
        if not self.world.store.exists(complete_key(self.run.id, Stage.TRAIN)):
            assert code != 0
            return
        store, prefix = self.world.store, stage_prefix(self.run.id, Stage.TRAIN)
        assert store.read(f"{prefix}/adapter/adapter_model.safetensors") == self._wanted
        lines = store.read(f"{prefix}/metrics.jsonl").splitlines()
        steps = [StepRecord.model_validate_json(line).step for line in lines]
        assert steps == list(range(1, STEPS + 1))
        unsound = {LinkStatus.DAMAGED, LinkStatus.MISSING}
        # The bytes of the test rows are nowhere, so that a training that reads them fails.
        links = [x for x in verify(store, self.run.id, deep=True) if "/test.jsonl" not in x.key]
        faults = [x for x in links if x.status in unsound]
        assert [x.key for x in faults] == [complete_key(self.run.id, Stage.EVAL)], faults
        self.finished += 1
        self.world = self._new()

    def finish(self) -> None:
        """Let the last run come to its end."""
        start = self.start()
        code = start.wait()
        assert code == 0, start.text
        self.settle(code)

    def _new(self):
        folder = self._folder / f"world-{len(list(self._folder.glob('world-*')))}"
        folder.mkdir()
        world = self._make(folder, self._base)
        self.run: Run = world.run(**TRAIN)
        return world

    def _train_folder(self) -> Path:
        return self.world.folder / "store" / stage_prefix(self.run.id, Stage.TRAIN)

    def _checkpoints(self) -> int:
        """How many checkpoints were begun and not committed."""
        begun = len(list(self._train_folder().glob("ckpt/*")))
        return begun - len(list(self._train_folder().glob("commits/*")))

    def _committed(self) -> int:
        newest = max(self._train_folder().glob("commits/*"), default=None)
        return json.loads(newest.read_bytes())["step"] if newest else 0


@pytest.fixture
def campaign(tmp_path, invent, base_folder) -> Callable[[int], Campaign]:
    return lambda seed: Campaign(tmp_path, invent, base_folder, seed)


@pytest.mark.part1
def test_twenty_five_kills_at_random_times_change_no_byte(campaign):
    field = campaign(25)
    ways = (Start.kill_both, Start.kill_supervisor, Start.kill_trainer)
    while sum(field.hit.values()) < KILLS or len(field.hit) < len(PHASES):
        start = field.start()
        phase = field.wait_for_a_moment(start)
        if phase:
            way = field.dice.choice(ways if phase in ("train", "save") else ways[:2])
            way(start)
            field.hit[phase] += 1
        code = start.wait()
        assert code in (0, 75, 137), start.text
        field.settle(code)
    field.finish()
    print(f"{sum(field.hit.values())} kills: {dict(field.hit)}; {field.finished} runs finished")


@pytest.mark.part5
def test_fifty_stops_at_random_times_end_soon_and_change_no_byte(campaign):
    field = campaign(50)
    seconds = []
    while sum(field.hit.values()) < STOPS or len(field.hit) < len(PHASES):
        start = field.start()
        phase = field.wait_for_a_moment(start)
        begun = time.monotonic()
        if phase:
            start.terminate()
            field.hit[phase] += 1
        code = start.wait()
        assert code in (0, 143), start.text
        if phase:
            seconds.append(time.monotonic() - begun)
        field.settle(code)
    cold = [stop_a_cold_start(field) for _ in range(COLD_STOPS)]
    field.finish()
    assert max(seconds + cold) <= SECONDS_TO_EXIT
    print(
        f"{sum(field.hit.values())} stops: {dict(field.hit)}; {field.finished} runs finished; seconds to exit "
        f"p50 {statistics.median(seconds):.2f}, max {max(seconds):.2f}; of real starts {max(cold):.2f}"
    )


def stop_a_cold_start(field: Campaign) -> float:
    """A SIGTERM to a stage that imports what it needs; how long it then takes to end."""
    process = field.world.start(field.run)
    time.sleep(field.dice.uniform(0, 6))
    begun = time.monotonic()
    process.terminate()
    text = process.communicate(timeout=120)[1]
    taken = time.monotonic() - begun
    assert process.returncode in (0, 143, -15), (
        text
    )  # -15: before Python ran, which an init reports as 143
    field.settle(process.returncode)
    return taken
