"""What a sweep's keys and records say of it, leniently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fingpt.errors import ConfigError, MissingInputError, StorageError
from fingpt.runs.manifest import encode
from fingpt.runs.run import run_key
from fingpt.runs.state import require_run
from fingpt.sweeps.records import complete_key
from fingpt.sweeps.sweep import load_sweep, require_sweep
from fingpt.sweeps.view import (
    planned_trials,
    read_sweep,
    read_tells,
    trial_runs,
)
from tests.bench.invented import end_of, put_sweep

SWEEP = "lora-grid-0a1b2c3d"


@pytest.fixture
def sweep(store):
    """Two models with five asks each, three of them told."""
    put_sweep(store, SWEEP, trials=9, asked=5, told=3)
    return SWEEP


def test_names_of_keys_tell_what_was_asked_and_told(store, sweep):
    view = read_sweep(store, sweep)
    assert [(each.model, each.asks, each.tells) for each in view.studies] == [
        (model, (0, 1, 2, 3, 4), (0, 1, 2)) for model in ("tiny-deepseek-r1", "tiny-llama31")
    ]
    assert (view.sweep.definition.count, view.complete) == (9, False)


def test_the_trials_of_a_sweep_come_newest_first_with_their_numbers(store, sweep):
    found = list(trial_runs(store, read_sweep(store, sweep)))
    assert [number for _, number in found] == ["4", "4", "3", "3", "2", "2", "1", "1", "0", "0"]
    assert len({run for run, _ in found}) == 10


def test_trials_of_a_plan_that_nobody_has_asked_for_follow_by_number(store, sweep):
    view = read_sweep(store, sweep)
    models = ("tiny-deepseek-r1", "tiny-llama31")
    assert list(planned_trials(view)) == [(model, n) for n in range(5, 9) for model in models]
    tpe = view.sweep.definition.model_copy(update={"method": "tpe"})
    assert not list(
        planned_trials(replace(view, sweep=view.sweep.model_copy(update={"definition": tpe})))
    )
    assert not list(planned_trials(replace(view, manifest=end_of(view.sweep))))


@pytest.mark.parametrize("fault", ["torn", "another sweep's", "of another kind"])
def test_a_last_record_that_is_torn_or_foreign_is_named_and_ends_nothing(store, sweep, fault):
    view = read_sweep(store, sweep)
    whole = encode(end_of(view.sweep))
    foreign = encode(end_of(view.sweep).model_copy(update={"sweep_sha256": "0" * 64}))
    data = {"torn": whole[:-9], "another sweep's": foreign}.get(fault, encode(view.sweep))
    store.create(complete_key(sweep), data)
    with pytest.raises(StorageError, match=complete_key(sweep)) as end:
        read_sweep(store, sweep)
    assert end.value.exit_code == 74


def test_of_a_sweep_that_is_over_the_last_record_tells_what_ended(store, sweep):
    store.create(complete_key(sweep), encode(end_of(read_sweep(store, sweep).sweep)))
    view = read_sweep(store, sweep)
    assert view.complete
    assert [(each.asks, each.tells) for each in view.studies] == [((0, 1), (0, 1))] * 2


def test_tells_are_read_newest_first_within_their_time(store, sweep):
    study = read_sweep(store, sweep).studies[0]
    assert list(read_tells(store, sweep, study, 10.0)) == [2, 1, 0]
    assert list(read_tells(store, sweep, study, -1.0)) == [2]


def test_a_torn_record_hides_no_other(store, sweep, tmp_path):
    (tmp_path / "store" / "sweeps" / sweep / "tiny-llama31" / "asks" / "000004.json").write_bytes(
        b"{"
    )
    assert len(list(trial_runs(store, read_sweep(store, sweep)))) == 9


def test_the_size_of_a_grid_without_a_number_of_trials_follows_from_its_space(store):
    space = {
        "train.lr": {"low": 1e-4, "high": 1e-3, "points": 5},
        "train.epochs": [1, 2, 3],
    }
    put_sweep(store, SWEEP, trials=None, asked=0, told=0, space=space)
    assert read_sweep(store, SWEEP).sweep.definition.count == 15


@pytest.mark.parametrize("name", ["lora-grid-0a1b2c3e", "../../etc"])
def test_a_sweep_that_is_not_there_is_answered_with_the_nearest(store, sweep, name):
    with pytest.raises(MissingInputError, match=f"no sweep '{name}'"):
        require_sweep(store, name)
    for asked in (require_sweep, load_sweep):
        with pytest.raises(MissingInputError, match="did you mean 'lora-grid-0a1b2c3d'"):
            asked(store, "lora-grid-0a1b2c3e")


def test_a_run_where_a_sweep_is_asked_for_and_the_reverse_are_told_apart(store, sweep):
    store.create(run_key("tiny-llama31-0a1b2c3d"), b"{}")
    with pytest.raises(MissingInputError, match=r"is a run, .* RUN=tiny-llama31-0a1b2c3d names it"):
        require_sweep(store, "tiny-llama31-0a1b2c3d")
    with pytest.raises(MissingInputError, match=f"is a sweep, .*make status SWEEP={sweep}"):
        require_run(store, sweep)


def test_a_store_without_sweeps_says_how_to_start_one(store):
    with pytest.raises(MissingInputError, match="make sweep"):
        require_sweep(store, "lora-grid-0a1b2c3d")
    with pytest.raises(ConfigError, match="SWEEP=id"):
        require_sweep(store, "")
