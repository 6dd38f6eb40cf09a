"""Members of a family: seeds of one model side by side, origins pooled, and both told apart from other models."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.errors import MissingInputError
from fingpt.report.chosen import newest_runs
from fingpt.report.compose import compose
from fingpt.report.inputs import read_runs
from fingpt.report.measures import ACCURACY
from fingpt.report.members import concatenated, taken
from fingpt.report.render import render
from fingpt.runs.openings import record
from fingpt.runs.stage import load_run


def test_seeds_of_one_model_are_one_side(world, plan):
    ids = [world.add("llama31", plan(seed=seed, run_seed=seed)) for seed in (1, 2, 3)]
    other = [world.add("deepseek-r1", plan(seed=seed, run_seed=seed)) for seed in (4, 5, 6)]
    reading = read_runs(world.store, [*ids, *other])
    assert [side.title for side in reading.sides] == [
        "Llama-3.1-8B",
        "DeepSeek-R1-Distill-Llama-8B",
    ]
    first = reading.sides[0]
    assert first.runs == tuple(ids)
    shares = [rows.correct.mean() for rows in first.seeds("tuned")]
    assert len(set(shares)) == 3
    report = compose(reading.sides, reading.test, reading.train, {})
    line = next(line for line in report.table if line.primary)
    assert line.values[0].value == pytest.approx(np.mean(shares))
    assert report.asked.seeds == (3, 3)
    assert "over 3 and 3 training seeds" in next(
        s.text for s in report.headline if s.question == "Tested"
    )
    assert "verdicts are about the models" in " ".join(report.method)


def origins(world_of, plan, model, **more):
    """A run for each of four origins of two weeks, every origin with rows of its own."""
    ids = []
    for origin in (1, 2, 3, 4):
        world = world_of(weeks=2 + origin, symbols=10 + origin)
        ids.append(world.add(model, plan(seed=origin, origin=origin, base=False, **more)))
    return world.store, ids


@pytest.mark.usefixtures("undrawn")
def test_origins_are_pooled_and_told_one_by_one(make_world, plan):
    store, ids = origins(make_world, plan, "llama31")
    reading = read_runs(store, ids)
    (side,) = reading.sides
    rows = [(2 + k) * (10 + k) for k in (1, 2, 3, 4)]
    assert side.tuned.n == sum(rows) == len(reading.test)
    assert list(side.tuned.example) == sorted(side.tuned.example)
    assert [int((side.origin == k).sum()) for k in (1, 2, 3, 4)] == rows
    alone = [ACCURACY.of(read_runs(store, [run]).sides[0].tuned).value for run in ids]
    report = compose(reading.sides, reading.test, reading.train, {})
    assert [line.values[0] for line in report.by_origin] == pytest.approx(alone)
    assert [line.weeks for line in report.by_origin] == [3, 4, 5, 6]
    assert "By origin" in render(report)["report.md"].decode()


def test_a_seed_without_one_of_the_origins_is_named(make_world, plan):
    store, ids = origins(make_world, plan, "llama31")
    _, more = origins(make_world, plan, "llama31", run_seed=43)
    with pytest.raises(MissingInputError, match="lack seed 43, origin 4"):
        read_runs(store, [*ids, *more[:3]])


def test_the_newest_family_of_each_model_comes_whole(world, plan):
    old = plan(run_seed=1, code="old", finished_at="2030-01-01T00:00:00+00:00")
    world.add("llama31", old)
    new = [
        world.add("llama31", plan(seed=k, run_seed=k, code="new", finished_at=f"2030-02-0{k}"))
        for k in (1, 2)
    ]
    other = world.add("deepseek-r1", plan(finished_at="2030-01-15T00:00:00+00:00"))
    assert newest_runs(world.store) == [*new, other]


def test_openings_of_the_test_rows_are_counted_and_told(world, plan):
    ids = [world.add("llama31", plan()), world.add("deepseek-r1", plan(seed=2))]
    for run in ids:
        record(world.store, world.dataset, load_run(world.store, run))
    reading = read_runs(world.store, ids)
    assert reading.openings == 2
    report = compose(reading.sides, reading.test, reading.train, {}, reading.openings)
    assert "opened by 2 runs." in next(s.text for s in report.headline if s.question == "Tested")


def test_joining_and_taking_apart_gives_back_every_column(examples, plan, rows_of):
    rows = rows_of(examples, plan())
    half = np.arange(rows.n) % 2 == 0
    joined = concatenated([taken(rows, half), taken(rows, ~half)])
    assert joined.example == rows.example
    assert joined.week == rows.week
    for name in ("truth", "nll", "margin", "valid"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(rows, name))
    np.testing.assert_array_equal(joined.rouge["pros_rouge1"], rows.rouge["pros_rouge1"])
