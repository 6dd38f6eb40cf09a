"""Lists of runs: which are shown, in which order, and in how many requests."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from fingpt.cluster.diagnosis.snapshot import State
from fingpt.cluster.listing import SHOWN, Chosen, Listed, list_runs, render, shown, states_of
from fingpt.errors import ConfigError
from fingpt.record import canonical_json
from fingpt.runs.run import frozen_key, trial_key
from tests.bench import invented
from tests.runs.test_recent import Counted

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def laid_down(tmp_path_factory):
    """A folder of 200 runs, of which seven in ten have trained."""
    root = tmp_path_factory.mktemp("many")
    invented.lay_down(root, 200)
    return root


@pytest.fixture
def many(laid_down):
    """A store of those runs, for tests that write nothing there."""
    return Counted(laid_down)


@pytest.fixture
def own(laid_down, tmp_path):
    """The same in a tree of this test's own, whose files are the others' by hard links: names may be added."""
    return Counted(shutil.copytree(laid_down, tmp_path / "store", copy_function=os.link))


def test_the_newest_are_shown_and_what_is_not_shown_is_not_read(many):
    runs, more = shown(list_runs(many, NOW), SHOWN)
    assert [each.status.run for each in runs] == [
        invented.run_of(n).id for n in range(199, 199 - SHOWN, -1)
    ]
    assert more
    # Of a run that has trained: a listing, run.json, two COMPLETE, and when its last attempt began.
    assert many.requests < 7 * (SHOWN + 20)


def test_a_trial_says_of_which_sweep_it_is_and_a_torn_note_only_that_it_is_one(own):
    first, torn = invented.run_of(0).id, invented.run_of(1).id
    own.create(trial_key(first), canonical_json({"sweep": "grid-1", "model": "m", "number": 7}))
    own.create(trial_key(torn), b"{")
    rows, _ = shown(list_runs(own, NOW, Chosen(runs=[Listed(first), Listed(torn)])), None)
    assert [(row.sweep, str(row.status.current.why.state)) for row in rows] == [
        ("grid-1/7", "complete"),
        ("", "complete"),
    ]


def test_a_planned_trial_is_a_row_that_waits_and_costs_no_request(many):
    run = invented.run_of(1000)
    planned = [Listed(run.id, "grid-1/3", run)]
    many.requests = 0
    (row,), _ = shown(list_runs(many, NOW, Chosen(runs=planned)), None)
    assert (row.status.run, str(row.status.current.why.state), row.sweep, many.requests) == (
        run.id,
        "waiting",
        "grid-1/3",
        0,
    )
    assert not list(list_runs(many, NOW, Chosen(runs=planned, states=states_of("failed"))))


def test_all_are_there_for_who_asks_for_all(many):
    runs, more = shown(list_runs(many, NOW), None)
    assert (len(runs), more) == (200, False)


@pytest.mark.parametrize(
    ("word", "numbers", "each"),
    [
        ("failed", (7, 8, 9), 2),
        ("queued", (0, 1, 2, 3, 4, 5, 6), 1),
        ("failed-permanent", (7, 8), 2),
    ],
)
def test_a_state_is_looked_for_by_names_of_keys_before_anything_is_read(many, word, numbers, each):
    runs, _ = shown(list_runs(many, NOW, Chosen(states=states_of(word))), None)
    wanted = [n for n in range(199, -1, -1) if n % 10 in numbers]
    assert [each.status.run for each in runs] == [invented.run_of(n).id for n in wanted]
    read = 20 * len(wanted)
    assert many.requests < 200 * each + read


def test_runs_of_a_model_and_a_state_together(many):
    chosen = Chosen(model="tiny-llama31", states=states_of("failed-permanent"))
    runs, _ = shown(list_runs(many, NOW, chosen), None)
    assert [each.status.run for each in runs] == [
        invented.run_of(n).id for n in range(198, -1, -10)
    ]


def test_a_trial_that_has_trained_is_complete_for_its_sweep_asks_for_no_more(many):
    run = invented.run_of(0).id
    (alone,), _ = shown(list_runs(many, NOW, Chosen(runs=[Listed(run)])), None)
    (trial,), _ = shown(list_runs(many, NOW, Chosen(runs=[Listed(run, "grid-1/0")])), None)
    assert (str(alone.status.current.why.state), alone.status.current.stage) == ("absent", "eval")
    assert (str(trial.status.current.why.state), trial.sweep) == ("complete", "grid-1/0")


def test_what_differs_and_the_data_set_are_columns_and_empty_columns_are_left_out(many):
    (row,), _ = shown(list_runs(many, NOW, Chosen(runs=[Listed(invented.run_of(2).id)])), None)
    assert "train.lr=0.0001000002" in row.settings.split()
    assert row.dataset == invented.DATASET
    names = [column.header for column in render([row]).columns]
    assert {"set", "data set"} <= {*names}
    assert {"sweep", "origin"} & {*names} == set()


def test_a_run_of_which_only_the_record_of_its_freezing_is_left_is_no_row(own):
    own.create(frozen_key("tiny-llama31-00000000", NOW + timedelta(days=1)), b"{}")
    own.create("runs/tiny-llama31-00000000/train/metrics.jsonl", b"{}")
    runs, _ = shown(list_runs(own, NOW), 1)
    assert runs[0].status.run == invented.run_of(199).id


def test_words_for_states():
    assert states_of("") == frozenset()
    assert states_of("running") == {State.RUNNING}
    assert State.PERMANENT in states_of("failed")
    with pytest.raises(ConfigError, match="STATE=runing is no state; did you mean 'running'"):
        states_of("runing")
