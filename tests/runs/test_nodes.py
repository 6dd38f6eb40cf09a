"""Which node a process is told to be, and which node's ending is the training's."""

from __future__ import annotations

import pytest

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import ConfigError, DivergedError, SetupError
from fingpt.runs.nodes import (
    PASSING,
    Node,
    NodeEnding,
    cause,
    ending_of,
    node_of,
    sign_in,
    sign_out,
    silent,
    whereabouts,
)
from fingpt.runs.run import Run, Stage
from fingpt.storage import LocalStore

TOLD = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "first", "MASTER_PORT": "29400"}


def run_on(nodes: int, processes: int = 1) -> Run:
    train = TrainConfig(nodes=nodes, processes=processes)
    return Run.of(RunConfig(model="tiny-llama31", train=train), {})


def test_a_node_is_told_by_torchrun_s_names_or_by_those_of_a_trainjob():
    expected = Node(rank=1, count=2, address="first", port=29400)
    assert node_of(run_on(2), Stage.TRAIN, TOLD) == expected
    kubeflow = {f"PET_{name}": value for name, value in TOLD.items()}
    kubeflow |= {"PET_NNODES": "2:2", "PET_NPROC_PER_NODE": "auto"}
    assert node_of(run_on(2), Stage.TRAIN, kubeflow) == expected
    assert node_of(run_on(2), Stage.TRAIN, {**kubeflow, "NODE_RANK": "0"}).rank == 0
    del kubeflow["PET_MASTER_PORT"]
    assert node_of(run_on(2), Stage.TRAIN, kubeflow).port == 29500


def test_one_node_and_other_stages_are_told_nothing():
    assert node_of(run_on(1), Stage.TRAIN, TOLD) == Node()
    assert node_of(run_on(2), Stage.EVAL, {}) == Node()


@pytest.mark.parametrize("lacking", ["NODE_RANK", "MASTER_ADDR"])
def test_several_nodes_without_a_word_are_refused_with_what_to_do(lacking):
    told = {name: value for name, value in TOLD.items() if name != lacking}
    with pytest.raises(ConfigError, match=r"train.nodes=2 trains on 2 machines.*SET=train.nodes=1"):
        node_of(run_on(2), Stage.TRAIN, told)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"NNODES": "3"}, "NNODES=3, but the run has train.nodes=2"),
        ({"NODE_RANK": "2"}, "NODE_RANK is '2'; expected a number from 0 to 1"),
        ({"NODE_RANK": "x"}, "NODE_RANK is 'x'"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT is '70000'"),
        ({"NPROC_PER_NODE": "4"}, "NPROC_PER_NODE=4, but the run has train.processes=1"),
    ],
)
def test_a_node_that_is_told_something_else_than_its_run_says_is_refused(changes, words):
    with pytest.raises(SetupError, match=words):
        node_of(run_on(2), Stage.TRAIN, {**TOLD, **changes})


def test_a_verdict_is_the_cause_before_a_failure_and_a_failure_before_a_stop():
    verdict, failure = NodeEnding(code=70), NodeEnding(code=75)
    stop, lost, none = NodeEnding(code=143), NodeEnding(code=75, lost=True), NodeEnding()
    assert cause({0: failure, 1: verdict, 2: stop}) == 1
    assert cause({0: stop, 1: lost, 2: failure}) == 2
    assert cause({0: lost, 1: stop}) == 1
    assert cause({0: lost, 1: none}) is None
    assert silent({0: lost, 1: none}, [0, 1]) == [1]
    assert 70 not in PASSING
    assert {1, 74, 75, 76, 143} == PASSING


def test_nodes_sign_in_and_out_below_the_attempt(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    monkeypatch.setenv("FINGPT_NODE", "gpu-7")
    sign_in(store, "run", 3, 1)
    sign_out(store, "run", 3, 1, DivergedError("NaN"), lost=False)
    sign_out(store, "run", 3, 1, DivergedError("later"), lost=True)  # what stands, stands
    ending = ending_of(store, "run", 3, 1)
    assert (ending.code, ending.message, ending.lost) == (70, "NaN", False)
    assert "on gpu-7)" in whereabouts(store, "run", 3, 1)
    assert whereabouts(store, "run", 3, 0) == "node 0"
    assert ending_of(store, "run", 2, 1).code is None
    assert sorted(store.keys("runs/run/")) == [
        "runs/run/train/nodes/000003/001-ended.json",
        "runs/run/train/nodes/000003/001.json",
    ]
