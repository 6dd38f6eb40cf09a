"""Sides: what stands between two runs and a fair comparison, and how their time divides into phases."""

from __future__ import annotations

from dataclasses import replace

from fingpt.report.inputs import read_runs
from fingpt.report.sides import obstacles, phases


def test_batch_size_bars_speed_alone_and_memory_is_no_hardware(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan())]
    first, second = read_runs(world.store, ids).sides
    decoding = {**second.evaluation.decoding, "batch_size": 4}
    smaller = second.evaluation.model_copy(update={"decoding": decoding})
    found = obstacles(first, replace(second, evaluation=smaller))
    assert found.decoding == ""
    assert "batch_size" in found.speed
    hardware = {**second.evaluation.hardware, "peak_memory_bytes": "1"}
    hungrier = second.evaluation.model_copy(update={"hardware": hardware})
    assert obstacles(first, replace(second, evaluation=hungrier)).speed == ""


def test_a_resumed_training_is_not_timed_against_a_whole_one(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan())]
    first, second = read_runs(world.store, ids).sides
    resumed = replace(second, adapter=second.adapter.model_copy(update={"resumed": 20}))
    assert "resumed" in obstacles(first, resumed).training


def test_phases_do_not_overlap_and_add_up():
    timed = {"load": 5.0, "train": 80.0, "steps": 60.0, "checkpoints": 5.0, "total": 100.0}
    found = phases(timed)
    assert found == {"load": 5, "steps": 60, "checkpoints": 5, "held-out loss": 15, "other": 15}
    assert sum(found.values()) == timed["total"]
    found = phases({**timed, "evaluations": 9.0})
    assert found == {"load": 5, "steps": 60, "checkpoints": 5, "held-out loss": 9, "other": 21}
