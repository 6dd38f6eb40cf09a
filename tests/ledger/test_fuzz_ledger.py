"""Mutated objects of a ledger: verify, write, score and page end with a value or with one of our errors."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from fingpt.ledger.book import read_book
from fingpt.ledger.chains import open_ledger
from fingpt.ledger.compose import compose
from fingpt.ledger.keys import entry_key, genesis_key, score_key
from fingpt.ledger.score import score
from fingpt.ledger.verify import verify_ledger
from fingpt.ledger.write import write
from fingpt.record import canonical_json
from fingpt.storage import LocalStore
from tests.ledger.invented import CHAIN, RUN, TableMarket, forecast, keep, soon, write_at
from tests.test_fuzz import INPUTS, fault_of, mutated

_SHARE = 100
"""So many readers share the inputs."""


@pytest.fixture(scope="module")
def objects(tmp_path_factory) -> dict[str, bytes]:
    """Key → bytes of a ledger of two weeks, one of them scored."""
    store = LocalStore(tmp_path_factory.mktemp("sound"))
    for week in range(2):
        keep(store, *(forecast(symbol, week) for symbol in ("AAPL", "MSFT")))
        write_at(store, soon(week))
    score(open_ledger(store, "test"), TableMarket(), soon(1))
    return {key: store.read(key) for key in list(store.keys())}


def everything(store: LocalStore, folder: Path) -> None:
    """All that is done with a ledger, each by itself: one that refuses must not keep the others from being tried."""
    steps: list[Callable[[], object]] = [
        lambda: verify_ledger(store, "test"),
        lambda: write(store, "test", [RUN], soon(2)),
        lambda: score(open_ledger(store, "test"), TableMarket(), soon(4)),
        lambda: compose(read_book(open_ledger(store, "test")), soon(4)),
    ]
    faults = [fault_of(lambda *_, act=step: act(), b"", folder) for step in steps]
    assert [fault for fault in faults if fault] == []


def reader(objects: dict[str, bytes], key: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        for name, sound in objects.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if name == key else sound)
        everything(LocalStore(folder), folder)

    return read


KEYS = {
    "genesis": genesis_key("test"),
    "first entry": entry_key("test", CHAIN, 1),
    "last entry": entry_key("test", CHAIN, 2),
    "score": score_key("test", CHAIN, 1, 1),
}


@pytest.mark.parametrize("name", [*KEYS, "forecast"])
def test_a_mutated_object_is_a_value_or_one_of_our_errors(name, objects, tmp_path_factory):
    key = KEYS.get(name) or next(
        key for key in sorted(objects, reverse=True) if "forecasts/" in key
    )
    if name == "forecast":  # so that it is read, and not held already
        objects = {k: v for k, v in objects.items() if not k.startswith("ledger/")}
    read = reader(objects, key)
    faults = []
    for number in range(max(1, INPUTS // _SHARE)):
        chance = random.Random(f"ledger {name} {number}")
        hostile = mutated(chance, objects[key], canonical_json)
        fault = fault_of(read, hostile, tmp_path_factory.mktemp("fuzz"))
        if fault:
            faults.append(f"{number}: {fault}: {hostile!r:.300}")
    assert faults == []
