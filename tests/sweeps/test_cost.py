"""What a trial cost, by the records of its attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fingpt.record import canonical_json
from fingpt.runs.manifest import Commit, encode
from fingpt.runs.run import Stage, attempt_key, claim_key, commit_key, heartbeat_key
from fingpt.sweeps.cost import seconds_spent
from tests.made_run import MadeRun

START = datetime(2030, 1, 1, tzinfo=UTC)


def at(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="seconds")


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    """A run whose training was killed at its second 40, then ended after 100 s."""
    made = MadeRun(store, tmp_path)
    notes = {
        claim_key(made.id, Stage.TRAIN, 1): {"started_at": at(0)},
        heartbeat_key(made.id, Stage.TRAIN, 1, 1): {"at": at(40)},
        claim_key(made.id, Stage.TRAIN, 2): {"started_at": at(500)},
        attempt_key(made.id, Stage.TRAIN, 2): {"code": 0, "ended_at": at(600)},
    }
    for key, note in notes.items():
        store.create(key, canonical_json(note))
    return made


def commit_on(made: MadeRun, machine: bytes) -> None:
    commit = Commit(
        n=1,
        previous="",
        nonce="",
        step=1,
        prefix="p",
        context={"machine": machine.decode()},
        files=(),
    )
    made.store.create(commit_key(made.id, 1), encode(commit))


def test_all_attempts_count_up_to_their_end_or_last_heartbeat(made):
    assert seconds_spent(made.store, made.run) == (140, 0)


def test_gpu_seconds_count_the_gpus_of_the_machine_that_trained(made):
    commit_on(made, canonical_json({"device": "NVIDIA A100", "processes": "2"}))
    assert seconds_spent(made.store, made.run) == (140, 280)


@pytest.mark.parametrize("machine", [b'{"device": "cpu", "processes": "2"}', b"", b"{}", b"["])
def test_a_cpu_and_a_machine_that_cannot_be_read_have_none(made, machine):
    commit_on(made, machine)
    assert seconds_spent(made.store, made.run) == (140, 0)


def test_a_run_without_attempts_cost_nothing(store, tmp_path):
    made = MadeRun(store, tmp_path)
    assert seconds_spent(store, made.run) == (0, 0)
