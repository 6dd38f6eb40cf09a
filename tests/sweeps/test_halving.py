"""Which trial goes on: by what is known, and by nothing else."""

from __future__ import annotations

import pytest

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import ConfigError
from fingpt.sweeps.definition import Pruning
from fingpt.sweeps.halving import (
    Outcome,
    Slot,
    last_resort,
    promotable,
    require_prunable,
    rungs,
)

FIRST = [Slot(trial) for trial in range(6)]


def paused(*values: float) -> dict[int, Outcome]:
    return {place: Outcome("paused", value) for place, value in enumerate(values)}


def test_rungs_are_powers_of_the_reduction_below_a_trial_s_own_total():
    pruning = Pruning(reduction=3, first=0.5)
    assert rungs(pruning, 1000, 3000) == (500, 1500)
    assert rungs(pruning, 1000, 1500) == (500,)  # the end of a training is no rung
    assert rungs(pruning, 1000, 500) == ()
    assert rungs(None, 1000, 3000) == ()


def test_the_best_third_goes_on_the_best_of_them_first():
    known = paused(3, 1, 2, 5, 4, 6)
    assert promotable(FIRST, known, 3) == Slot(1, 1)
    assert promotable([*FIRST, Slot(1, 1)], known, 3) == Slot(2, 1)
    assert promotable([*FIRST, Slot(1, 1), Slot(2, 1)], known, 3) is None


def test_of_equal_values_the_lower_number_goes_on():
    assert promotable(FIRST, paused(2, 1, 1), 3) == Slot(1, 1)


def test_too_few_at_a_rung_promote_none():
    assert promotable(FIRST, paused(3, 1), 3) is None


def test_a_higher_rung_goes_first():
    slots = [*FIRST, Slot(0, 1), Slot(1, 1)]
    known = {**paused(1, 2, 3, 4, 5, 6), 6: Outcome("paused", 9), 7: Outcome("paused", 8)}
    assert promotable(slots, known, 2) == Slot(1, 2)


def test_a_trial_that_failed_later_takes_nobody_s_place():
    slots = [*FIRST[:3], Slot(0, 1)]
    known = {**paused(1, 2, 3), 3: Outcome("failed")}
    assert promotable(slots, known, 2) == Slot(1, 1)


def test_one_trial_trains_to_its_end_however_few_there_are():
    slots = [*FIRST[:3], Slot(1, 1)]
    known = {**paused(3, 1, 2), 3: Outcome("paused", 1)}
    assert last_resort(slots, known) == Slot(1, 2)
    assert last_resort([*slots, Slot(1, 2)], {**known, 4: Outcome("failed")}) == Slot(2, 1)
    assert last_resort([*slots, Slot(1, 2)], {**known, 4: Outcome("complete", 1)}) is None


def test_what_cannot_be_paused_cannot_be_pruned():
    require_prunable(RunConfig(model="llama31"), ["train.lr"])
    stepped = RunConfig(model="llama31", train=TrainConfig(zero_stage=1))
    with pytest.raises(
        ConfigError, match="zero_stage=1 uses DeepSpeed, which keeps no checkpoints"
    ):
        require_prunable(stepped)
    with pytest.raises(ConfigError, match=r"prep\.limit in space makes several"):
        require_prunable(RunConfig(model="llama31"), ["train.lr", "prep.limit"])
