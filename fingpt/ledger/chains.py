"""Reading and appending: a ledger's genesis, the entries of one chain, and the conditional write of the next one.

An appender reads the whole chain first and refuses one that is broken: what is written after a gap would hide it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fingpt.errors import ConfigError, MissingInputError, StorageError, TransientError
from fingpt.ledger.keys import (
    check_name,
    entries_prefix,
    entry_key,
    entry_place,
    genesis_key,
    score_place,
    scores_prefix,
)
from fingpt.ledger.records import Entry, Genesis, Score, decode
from fingpt.record import sha256_bytes
from fingpt.runs.run import last_number
from fingpt.storage import ObjectStore

DEFAULT_NAME = "weekly"
_TRIES = 20


@dataclass(frozen=True)
class Ledger:
    """A ledger that exists: its genesis, and the sha256 that the first entry of each chain names."""

    store: ObjectStore
    genesis: Genesis
    sha256: str

    @property
    def name(self) -> str:
        """The ledger's name."""
        return self.genesis.name


def ledger_names(store: ObjectStore) -> list[str]:
    """Every ledger of the store, by listing it."""
    parts = (key.split("/") for key in store.keys("ledger/"))
    return sorted({part[1] for part in parts if len(part) == 3 and part[2] == "genesis.json"})


def chosen_name(store: ObjectStore, asked: str, *, new: bool = False) -> str:
    """The ledger that a person means: the one named, or the only one there is; with `new`, else the default name.

    Raises ConfigError where several might be meant, MissingInputError where there is none.
    """
    if asked.strip():
        return check_name(asked.strip())
    names = ledger_names(store)
    if len(names) > 1:
        raise ConfigError(
            f"{store.uri} has several ledgers ({', '.join(names[:8])}); name one: LEDGER={names[0]}."
        )
    if not names and not new:
        raise MissingInputError(no_ledger_in(store.uri))
    return names[0] if names else DEFAULT_NAME


def no_ledger_in(uri: str) -> str:
    """What is said of a store without a ledger."""
    return (
        f"There is no ledger in {uri}; make forecast makes forecasts, `make ledger` writes them into one, and STORE= "
        "names another store."
    )


def open_ledger(store: ObjectStore, name: str) -> Ledger:
    """The ledger of that name; MissingInputError when there is none, StorageError when its genesis is damaged."""
    key = genesis_key(check_name(name))
    if not store.exists(key):
        raise MissingInputError(f"There is no ledger '{name}': {no_ledger_in(store.uri)}")
    data = store.read(key)
    genesis = decode(Genesis, data, f"{store.uri}/{key}")
    return Ledger(store, genesis, sha256_bytes(data))


def begin_ledger(store: ObjectStore, genesis: Genesis) -> Ledger:
    """The ledger of that name, begun with `genesis` where there is none yet: of two that begin it, one wins."""
    store.create(genesis_key(check_name(genesis.name)), genesis.encode())
    return open_ledger(store, genesis.name)


def read_chain(ledger: Ledger, chain: str) -> tuple[Entry, ...]:
    """The entries of a chain in order; StorageError naming the first one that is damaged, misplaced or missing."""
    store, name = ledger.store, ledger.name
    last = last_number(store.exists, lambda n: entry_key(name, chain, n))
    found: list[Entry] = []
    previous = ledger.sha256
    for number in range(1, last + 1):
        key = entry_key(name, chain, number)
        if not store.exists(key):
            raise broken(name, key, "is missing")
        data = store.read(key)
        entry = decode(Entry, data, f"{store.uri}/{key}")
        place = (entry.ledger, entry.chain, entry.number, entry.previous)
        if place != (name, chain, number, previous):
            raise broken(name, key, "does not follow from the entry before it")
        found.append(entry)
        previous = sha256_bytes(data)
    return tuple(found)


def append(
    ledger: Ledger,
    chain: str,
    held: tuple[Entry, ...],
    make: Callable[[tuple[Entry, ...]], Entry | None],
) -> Entry | None:
    """Append what `make` makes of the entries so far, `held`, or nothing where it makes none; returns what was written.

    Where another writer was faster, the chain is read again and `make` asked again, so it sees what the other wrote.
    Raises StorageError on a broken chain, TransientError when others are faster twenty times.
    """
    for _ in range(_TRIES):
        _refuse_gap(ledger, chain, len(held))
        entry = make(held)
        if entry is None:
            return None
        if ledger.store.create(entry_key(ledger.name, chain, entry.number), entry.encode()):
            return entry
        held = read_chain(ledger, chain)
    raise TransientError(
        f"Others were faster {_TRIES} times in writing to chain {chain}; run the same command again."
    )


def unnamed_scores(ledger: Ledger, entries: Iterable[Entry]) -> dict[str, str]:
    """Key → sha256 of the scores that none of `entries` (of all chains) names: the next entry names them."""
    return {key: sha256_bytes(data) for key, data in _unnamed(ledger, entries).items()}


def newest_scores(ledger: Ledger, entries: Iterable[Entry]) -> dict[str, str]:
    """Those of them that no other score names either: the next score does, and a person may note them.

    One, but for scores that two processes wrote at the same time.
    """
    found = _unnamed(ledger, entries)
    scores = (decode(Score, data, f"{ledger.store.uri}/{key}") for key, data in found.items())
    named = {key for score in scores for key in score.scores}
    return {key: sha256_bytes(data) for key, data in found.items() if key not in named}


def _unnamed(ledger: Ledger, entries: Iterable[Entry]) -> dict[str, bytes]:
    named = {key for entry in entries for key in entry.scores}
    keys = [
        key
        for key in ledger.store.keys(f"{scores_prefix(ledger.name)}/")
        if score_place(ledger.name, key) and key not in named
    ]
    return {key: ledger.store.read(key) for key in keys}


def chain_ids(ledger: Ledger) -> list[str]:
    """Every chain of the ledger, by listing it."""
    return sorted({chain for chain, _ in _places(ledger)})


def _places(ledger: Ledger) -> Iterator[tuple[str, int]]:
    for key in ledger.store.keys(f"{entries_prefix(ledger.name)}/"):
        place = entry_place(ledger.name, key)
        if place:
            yield place


def _refuse_gap(ledger: Ledger, chain: str, count: int) -> None:
    """Numbers are found by probing; that some lie beyond a gap is seen by listing alone, and nothing may fill it."""
    beyond = [number for name, number in _places(ledger) if name == chain and number > count]
    if beyond and not ledger.store.exists(entry_key(ledger.name, chain, count + 1)):
        raise broken(ledger.name, entry_key(ledger.name, chain, count + 1), "is missing")


def broken(name: str, key: str, fault: str) -> StorageError:
    """The refusal to go on behind a fault."""
    return StorageError(
        f"{key} {fault}, so nothing is written after it; make verify LEDGER={name} shows all of it, and another "
        "ledger begins anew: LEDGER=name."
    )
