"""Every run that opens a test split is one entry that nothing changes."""

import json

from fingpt.config import RunConfig
from fingpt.runs import openings
from fingpt.runs.run import Run, opening_key

RUNS = [Run.of(RunConfig(model="tiny-llama31", seed=seed), {}) for seed in (1, 2)]


def test_a_repeated_eval_is_one_opening_and_keeps_its_first_note(store):
    openings.record(store, "d1", RUNS[0])
    key = opening_key("d1", RUNS[0].id)
    first = store.read(key)
    openings.record(store, "d1", RUNS[0])
    assert store.read(key) == first
    assert openings.count(store, "d1") == 1
    note = json.loads(first)
    assert (note["run"], note["model"]) == (RUNS[0].id, "tiny-llama31")
    assert note["opened_at"].endswith("+00:00")


def test_openings_are_counted_by_data_set(store):
    for run in RUNS:
        openings.record(store, "d1", run)
    openings.record(store, "d10", RUNS[0])
    assert [openings.count(store, name) for name in ("d1", "d10", "d2")] == [2, 1, 0]
