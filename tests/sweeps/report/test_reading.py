"""Reading a sweep's records: each is the one that its key says, and no test row is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from fingpt.errors import MissingInputError, StorageError
from fingpt.runs.manifest import encode
from fingpt.sweeps.records import Ask, ask_key, tell_key
from fingpt.sweeps.report.reading import read_sweeps
from tests.sweeps.invented import InventedSweep, Plan, grid


@pytest.fixture
def made(store) -> InventedSweep:
    plan = Plan(definition=grid(), models=("tiny-llama31",), device="cpu", name="tiny")
    return InventedSweep(store, plan)


def overwrite(store, key, data):
    path = Path(store.uri.removeprefix("file://")) / key
    path.chmod(0o644)
    path.write_bytes(data)


def test_every_record_is_named_with_its_hash(made):
    reading = read_sweeps(made.store, [made.sweep.id])
    mine = list(made.store.keys(f"sweeps/{made.sweep.id}/"))
    assert set(mine) <= set(reading.inputs)
    assert not [key for key in reading.inputs if key.startswith("datasets/")]
    study = reading.studies[0]
    runs = {t.ask.run_id for t in study.trials} | {final.run.id for final in study.finals}
    assert set(reading.runs) == runs


def test_trials_may_have_begun_in_any_order(made):
    key = ask_key(made.sweep.id, "tiny-llama31", 4)
    path = Path(made.store.uri.removeprefix("file://")) / key
    path.unlink()
    numbers = [t.ask.number for t in read_sweeps(made.store, [made.sweep.id]).studies[0].trials]
    assert numbers == [0, 1, 2, 3, 5, 6, 7, 8]


def test_an_unknown_sweep_is_named(store):
    with pytest.raises(MissingInputError, match="no sweep 'none-00000000'"):
        read_sweeps(store, ["none-00000000"])


@pytest.mark.parametrize("how", ["torn", "moved", "foreign"])
def test_a_record_that_is_torn_moved_or_foreign_is_named(made, how):
    key = tell_key(made.sweep.id, "tiny-llama31", 3)
    data = {
        "torn": made.store.read(key)[:-9],
        "moved": made.store.read(tell_key(made.sweep.id, "tiny-llama31", 2)),
        "foreign": b'{"state": "complete"}',
    }[how]
    overwrite(made.store, key, data)
    with pytest.raises(StorageError, match=r"000003\.json"):
        read_sweeps(made.store, [made.sweep.id])


def test_an_ask_whose_run_is_not_that_of_its_settings_is_refused(made):
    key = ask_key(made.sweep.id, "tiny-llama31", 0)
    ask = Ask(number=0, settings={"train.lr": 3e-4}, run_id="x", run_sha256="0")
    overwrite(made.store, key, encode(ask))
    with pytest.raises(StorageError, match="names run x, but its settings are those of run tiny"):
        read_sweeps(made.store, [made.sweep.id])
