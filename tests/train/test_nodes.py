"""Two nodes as two supervisors on this machine's loopback: same rows, same loss, same bytes; kills, stops, resumes.

Slow: every start of a trainer imports torch and transformers, which takes seconds.
"""

from __future__ import annotations

import ipaddress
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from fingpt.runs.manifest import TrainManifest, decode
from fingpt.runs.run import Run, Stage, commit_key, complete_key, last_number, stage_prefix
from fingpt.train.handoff import StepRecord
from tests.train.test_sockets import listening

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("torch_as_before")]

SMALL = {"batch_size": 1, "lora": {"dropout": 0}}
LONG = {"max_steps": 150, "batch_size": 1, "accumulation": 2, "eval_every": 1.0, "save_every": 10}


class Nodes:
    """The processes of a run's nodes, by rank, and their logs."""

    def __init__(self, world, run: Run, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.world, self.run = world, run
        self.logs = [folder / f"{time.monotonic_ns()}-{rank}.log" for rank in range(2)]
        self.processes: list[subprocess.Popen[str]] = []
        for rank, log in enumerate(self.logs):
            told = {"NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "PET_NNODES": "2"}
            with log.open("w") as file:
                self.processes.append(world.start(run, file, **told, PET_MASTER_PORT=str(port)))

    def codes(self) -> list[int]:
        return [process.wait(timeout=180) for process in self.processes]

    def text(self, rank: int) -> str:
        return self.logs[rank].read_text()

    def last(self, rank: int) -> str:
        return json.loads(self.text(rank).splitlines()[-1])["event"]

    def commits(self) -> int:
        return last_number(self.world.store.exists, lambda n: commit_key(self.run.id, n))

    def await_commits(self, number: int) -> None:
        end = time.monotonic() + 120
        while self.commits() < number:
            assert time.monotonic() < end, f"{self.text(0)}\n{self.text(1)}"
            assert [p.poll() for p in self.processes] == [None, None], self.text(0) + self.text(1)
            time.sleep(0.05)

    def kill(self, rank: int) -> None:
        """What a power cut does to a machine."""
        family = psutil.Process(self.processes[rank].pid)
        for each in [family, *family.children(recursive=True)]:
            each.kill()


def manifest(world, run: Run) -> TrainManifest:
    key = complete_key(run.id, Stage.TRAIN)
    return decode(TrainManifest, world.store.read(key), key)


def adapter(world, run: Run) -> bytes:
    prefix = stage_prefix(run.id, Stage.TRAIN)
    return world.store.read(f"{prefix}/adapter/adapter_model.safetensors")


def records(world, run: Run) -> list[StepRecord]:
    data = world.store.read(f"{stage_prefix(run.id, Stage.TRAIN)}/metrics.jsonl")
    return [StepRecord.model_validate_json(line) for line in data.splitlines()]


def elsewhere(tmp_path: Path, invent, base_folder, rows: int = 16):
    """A second store with the same base and rows."""
    folder = tmp_path / f"elsewhere-{time.monotonic_ns()}"
    folder.mkdir()
    return invent.world(folder, base_folder, rows)


def alone(tmp_path: Path, invent, base_folder, rows: int = 16, **train):
    """The same on one node: its world and run."""
    world = elsewhere(tmp_path, invent, base_folder, rows)
    run = world.run(**train)
    process = world.start(run)
    text = process.communicate(timeout=180)[1]
    assert process.returncode == 0, text
    return world, run


@pytest.mark.parametrize("zero_stage", [None, pytest.param(2, marks=pytest.mark.part2)])
def test_two_nodes_train_like_one_process_and_like_two_on_one_node(
    tmp_path, invent, base_folder, zero_stage
):
    """15 rows: the last step of an epoch lacks one. With one process 4 rows make a step, and so with two nodes."""
    world = elsewhere(tmp_path, invent, base_folder, 15)
    run = world.run(**SMALL, max_steps=6, accumulation=4, nodes=2, zero_stage=zero_stage)
    nodes = Nodes(world, run, tmp_path)
    found = set()
    while any(process.poll() is None for process in nodes.processes):
        for process in nodes.processes:
            if process.poll() is None:
                found |= listening(psutil.Process(process.pid))
        time.sleep(0.05)
    assert nodes.codes() == [0, 0], nodes.text(0) + nodes.text(1)
    assert found == {"127.0.0.1"}, "something listens at another address than MASTER_ADDR's"
    assert all(ipaddress.ip_address(each).is_loopback for each in found)
    one = alone(tmp_path, invent, base_folder, 15, **SMALL, max_steps=6, accumulation=4)
    pair = alone(
        tmp_path,
        invent,
        base_folder,
        15,
        **SMALL,
        max_steps=6,
        accumulation=2,
        processes=2,
        zero_stage=zero_stage,
    )
    for mine, theirs in zip(records(world, run), records(*one), strict=True):
        assert mine.loss == pytest.approx(theirs.loss, rel=1e-2)
        assert mine.eval_loss == pytest.approx(theirs.eval_loss, rel=1e-2)
        assert (mine.rows, mine.tokens, mine.answer_tokens) == (
            theirs.rows,
            theirs.tokens,
            theirs.answer_tokens,
        )
    assert adapter(world, run) == adapter(*pair), "not the bytes of two processes on one node"
    made = manifest(world, run)
    assert made.hardware["nodes"] == "2"
    assert made.exactness == ("bitwise" if zero_stage is None else "restarted")
    assert [line for line in nodes.text(1).splitlines() if not line.startswith('{"ts"')] == []


@pytest.mark.part3
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_node_is_named_by_the_other_and_the_next_start_goes_on_to_the_same_bytes(
    world, tmp_path, invent, base_folder, rank
):
    run = world.run(**LONG, nodes=2)
    nodes = Nodes(world, run, tmp_path)
    nodes.await_commits(2)
    nodes.kill(rank)
    codes = nodes.codes()
    assert codes[rank] == -signal.SIGKILL
    assert codes[1 - rank] == 75, nodes.text(1 - rank)
    assert nodes.last(1 - rank).startswith(f"Node {rank} (on "), nodes.last(1 - rank)
    again = Nodes(world, run, tmp_path)
    assert again.codes() == [0, 0], again.text(0) + again.text(1)
    assert manifest(world, run).resumed >= 20
    assert '"event": "attempt claimed"' not in again.text(1), "only node 0 claims"
    train = {**LONG, "accumulation": 1, "processes": 2}
    assert adapter(world, run) == adapter(*alone(tmp_path, invent, base_folder, **train))


@pytest.mark.part1
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stop_of_either_node_stops_both_after_one_commit_of_the_same_step(world, tmp_path, rank):
    run = world.run(**LONG | {"save_every": 500}, nodes=2)
    nodes = Nodes(world, run, tmp_path)
    end = time.monotonic() + 120
    while '"what": "train' not in nodes.text(0):
        assert time.monotonic() < end, nodes.text(0)
        time.sleep(0.05)
    nodes.processes[rank].send_signal(signal.SIGTERM)
    assert nodes.codes() == [143, 143], nodes.text(0) + nodes.text(1)
    assert nodes.commits() == 1
    said = {nodes.last(each).split(" of ")[0] for each in (0, 1)}
    assert len(said) == 1, said
    again = Nodes(world, run, tmp_path)
    assert again.codes() == [0, 0], again.text(0) + again.text(1)
    assert manifest(world, run).resumed > 0
