"""Verify a ledger: every entry hashed anew and held against the one after it, its scores, its forecasts and its times.

Reads and lists only. A cut tail leaves no trace in a chain; what names it is its score, its forecasts' objects, or the
head (number and sha256) that a page or somebody's notebook kept, so heads are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fingpt.errors import MissingInputError, StorageError
from fingpt.ledger.chains import Ledger, chain_ids, newest_scores, open_ledger, read_chain
from fingpt.ledger.clock import (
    Timing,
    clock_note,
    is_backdated,
    late_forecasts,
    stored_times,
    timing,
)
from fingpt.ledger.keys import (
    entry_key,
    entry_place,
    genesis_key,
    ledger_prefix,
    score_key,
    score_place,
)
from fingpt.ledger.records import Entry, Score, decode
from fingpt.ledger.rescore import score_faults
from fingpt.record import sha256_bytes
from fingpt.runs.links import Link, LinkStatus
from fingpt.storage import ObjectStore

_HOW = "find out who wrote it"


@dataclass
class _Audit:
    """What is known so far; `hashes`: sha256 of the bytes under each entry's key, `named`: what others say it is.

    `unscored`: entries whose week is over and that have no score.
    """

    ledger: Ledger
    on_link: Callable[[Link], None]
    links: list[Link] = field(default_factory=list)
    entries: dict[tuple[str, int], Entry] = field(default_factory=dict)
    hashes: dict[tuple[str, int], str] = field(default_factory=dict)
    named: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    unscored: set[tuple[str, int]] = field(default_factory=set)

    def add(self, key: str, status: LinkStatus = LinkStatus.OK, message: str = "") -> None:
        link = Link(key, status, message)
        self.links.append(link)
        self.on_link(link)

    def name(self, place: tuple[str, int], sha256: str, by: str) -> None:
        """`by` says that the entry at `place` has that hash."""
        self.named.setdefault(place, {})[by] = sha256


def verify_ledger(
    store: ObjectStore,
    name: str,
    on_link: Callable[[Link], None] = lambda _: None,
    now: datetime | None = None,
    *,
    anew: bool = True,
) -> tuple[Link, ...]:
    """A link for the genesis, each entry, each score and each forecast that it names; `on_link` gets each at once.

    Changed, inserted, reordered and backdated objects are `damaged`, missing ones `missing`; an entry that says itself
    that it is late is `skipped`, since it counts for nothing. An entry whose week is over at `now` (by default this
    machine's clock) and that has no score is told as such: nothing else shows that its only score was deleted. Without
    `anew`, which costs most, returns are not computed again from their prices. Raises
    MissingInputError when there is no such ledger, and StorageError when its genesis cannot be read.
    """
    audit = _Audit(open_ledger(store, name), on_link)
    _genesis(audit)
    keys = list(store.keys(f"{ledger_prefix(name)}/"))
    entries = {place for key in keys if (place := entry_place(name, key))}
    scores = {where for key in keys if (where := score_place(name, key))}
    for place in sorted(entries):
        _read_entry(audit, place)
    read = [score for where in sorted(scores) if (score := _read_score(audit, *where))]
    stored = stored_times(store, name)
    audit.unscored = {
        place
        for place, entry in audit.entries.items()
        if entry.horizon_end <= (now or datetime.now(UTC))
    } - {(chain, number) for chain, number, _ in scores}
    for chain in sorted({chain for chain, _ in {*entries, *audit.named}}):
        _check_chain(audit, chain, stored)
    _check_scores(audit, read, scores, anew=anew)
    for key in keys:
        if key != genesis_key(name) and not entry_place(name, key) and not score_place(name, key):
            audit.add(key, LinkStatus.DAMAGED, f"no ledger keeps an object there; {_HOW}")
    return tuple(audit.links)


def require_sound_ledger(name: str, links: Iterable[Link]) -> str:
    """The number of links of each status, as text; StorageError when one is damaged, MissingInputError when missing."""
    found = [link.status for link in links]
    counts = ", ".join(f"{found.count(each)} {each}" for each in LinkStatus if each in found)
    if LinkStatus.DAMAGED in found:
        raise StorageError(
            f"Ledger {name} does not verify: {counts}; the damaged objects are named above."
        )
    if LinkStatus.MISSING in found:
        raise MissingInputError(
            f"Ledger {name} is incomplete: {counts}; what is missing is named above."
        )
    return counts


def heads(store: ObjectStore, name: str) -> str:
    """`chain entry n sha256` of the last entry of each chain, then key and sha256 of the newest score.

    Whoever notes them elsewhere sees when a tail is cut. StorageError on a broken chain or score.
    """
    ledger = open_ledger(store, name)
    chains = {chain: read_chain(ledger, chain) for chain in chain_ids(ledger)}
    ends = [f"{chain} entry {each[-1].number} {each[-1].sha256}" for chain, each in chains.items()]
    newest = newest_scores(ledger, [entry for each in chains.values() for entry in each])
    return "; ".join([*ends, *(f"{key} {sha256}" for key, sha256 in newest.items())])


def _genesis(audit: _Audit) -> None:
    """Its bytes are whole, since it could be opened; the first entry of each chain says whether they are the same."""
    key = genesis_key(audit.ledger.name)
    if audit.ledger.genesis.name == key.split("/")[1]:
        audit.add(key)
    else:
        audit.add(key, LinkStatus.DAMAGED, "it is the beginning of another ledger")


def _read_entry(audit: _Audit, place: tuple[str, int]) -> None:
    """Keep an entry and its hash, and what it says of the one before it."""
    store, key = audit.ledger.store, entry_key(audit.ledger.name, *place)
    data = store.read(key)
    audit.hashes[place] = sha256_bytes(data)
    try:
        entry = decode(Entry, data, key)
    except StorageError:
        return  # what is wrong with it is said with its place in the chain
    audit.entries[place] = entry
    if (entry.chain, entry.number) == place and entry.number > 1:
        audit.name((entry.chain, entry.number - 1), entry.previous, f"entry {entry.number}")


def _check_scores(
    audit: _Audit, read: Iterable[Score], there: set[tuple[str, int, int]], *, anew: bool
) -> None:
    """What a score says, its bytes as an entry names them, and scores that an entry or a later attempt rests on."""
    name = audit.ledger.name
    scores = list(read)
    named = _named_scores(audit, scores, there)
    kept = {score_key(name, *where) for where in there}
    for key in sorted(named.keys() - kept):
        audit.add(key, LinkStatus.MISSING, f"{next(iter(named[key]))} rests on it")
    found = {}
    for score, status, fault in score_faults(audit.ledger.store, scores, audit.entries, anew=anew):
        key = score_key(name, score.chain, score.number, score.attempt)
        own = {"", sha256_bytes(score.encode())}
        wrong = [by for by, sha256 in named.get(key, {}).items() if sha256 not in own]
        if status is LinkStatus.OK and wrong:
            status, fault = LinkStatus.DAMAGED, f"changed: {wrong[0]} rests on other bytes"  # noqa: PLW2901
        found[key] = status, fault
    for key, (status, fault) in sorted(found.items()):
        audit.add(key, status, fault)


def _named_scores(
    audit: _Audit, scores: Iterable[Score], there: set[tuple[str, int, int]]
) -> dict[str, dict[str, str]]:
    """Key of a score → who rests on it → the sha256 that it says, empty for an earlier attempt's."""
    named: dict[str, dict[str, str]] = {}
    for (chain, number), entry in sorted(audit.entries.items()):
        for key, sha256 in entry.scores.items():
            named.setdefault(key, {})[f"entry {number} of {chain}"] = sha256
    for score in scores:
        by = f"score {score.attempt} of entry {score.number} of {score.chain}"
        for key, sha256 in score.scores.items():
            named.setdefault(key, {})[by] = sha256
    for chain, number, attempt in sorted(there):
        for earlier in range(1, attempt):
            key = score_key(audit.ledger.name, chain, number, earlier)
            named.setdefault(key, {})[f"attempt {attempt}"] = ""
    return named


def _read_score(audit: _Audit, chain: str, number: int, attempt: int) -> Score | None:
    """A score that is whole; what is wrong with it becomes a link at once."""
    store, key = audit.ledger.store, score_key(audit.ledger.name, chain, number, attempt)
    data = store.read(key)
    try:
        score = decode(Score, data, "it")  # its key stands before
    except StorageError as fault:
        audit.add(key, LinkStatus.DAMAGED, str(fault))
        return None
    place = (score.ledger, score.chain, score.number, score.attempt)
    if place != (audit.ledger.name, chain, number, attempt):
        audit.add(key, LinkStatus.DAMAGED, "it is the score of another place")
        return None
    audit.name((chain, number), score.entry_sha256, f"score {attempt}")
    return score


def _check_chain(audit: _Audit, chain: str, stored: dict[str, datetime]) -> None:
    name = audit.ledger.name
    places = {*audit.hashes, *audit.named}
    last = max(number for one, number in places if one == chain)
    for number in range(1, last + 1):
        key, place = entry_key(name, chain, number), (chain, number)
        if place not in audit.hashes:
            by = list(audit.named.get(place, {})) or ["a later entry"]
            told = f"entry {number} is not there, and {_rest(by)} on it"
            audit.add(key, LinkStatus.MISSING, told)
            continue
        fault = _fault(audit, place)
        if fault:
            audit.add(key, LinkStatus.DAMAGED, fault)
            continue
        _check_times(audit, key, audit.entries[place], stored.get(key))
        _check_forecasts(audit, audit.entries[place])


def _fault(audit: _Audit, place: tuple[str, int]) -> str:
    """What is wrong with an entry by itself and as others know it; empty for nothing."""
    chain, number = place
    entry = audit.entries.get(place)
    if entry is None:
        return "changed: its bytes are not those that an entry has"
    if (entry.ledger, entry.chain) != (audit.ledger.name, chain):
        return f"inserted: it says it belongs to chain {entry.chain[:60]} of ledger {entry.ledger[:40]}"
    if entry.number != number:
        return f"reordered: it says it is entry {entry.number}"
    others = audit.named.get(place, {})
    wrong = [by for by, sha256 in others.items() if sha256 != audit.hashes[place]]
    before = audit.hashes.get((chain, number - 1)) if number > 1 else audit.ledger.sha256
    follows = before is None or entry.previous == before
    if wrong and not follows:
        return f"inserted: neither does it follow from what is before it, nor does {wrong[0]} rest on it"
    if wrong:
        return f"changed: {_rest(wrong)} on other bytes ({others[wrong[0]][:12]}…)"
    if not follows and number == 1:
        return "does not follow from genesis.json: one of the two was changed"
    return ""


def _rest(several: list[str]) -> str:
    """Who rests on something, with the verb."""
    return f"{' and '.join(several)} {'rests' if len(several) == 1 else 'rest'}"


def _check_times(audit: _Audit, key: str, entry: Entry, stored: datetime | None) -> None:
    if is_backdated(entry, stored):
        audit.add(
            key,
            LinkStatus.DAMAGED,
            f"late: it says it was written {entry.created_at:%Y-%m-%d %H:%M}, before its outcome, but the store has it "
            f"since {stored:%Y-%m-%d %H:%M} (a copied bucket has the times of the copy)",
        )
        return
    found, note = timing(entry, stored), clock_note(entry, stored)
    late, all_of_them = late_forecasts(entry, stored), len(entry.forecasts)
    what = ""
    if found is Timing.EARLY:
        what = (
            f"early: written before the close of {entry.as_of.date()} that it rests on, so it is "
            "not counted"
        )
    elif late:
        why = (
            f"written after the outcome of {entry.horizon_end.date()}"
            if found is Timing.LATE
            else "made after the next session had opened"
        )
        what = f"late: {why}, so {late} of its {all_of_them} forecasts do not count"
    unscored = (
        f"its week was over on {entry.horizon_end.date()}, and it has no score: nobody scored it, or its score was "
        "deleted"
        if (entry.chain, entry.number) in audit.unscored
        else ""
    )
    is_counted = found is Timing.IN_TIME and late < all_of_them
    audit.add(
        key,
        LinkStatus.OK if is_counted else LinkStatus.SKIPPED,
        "; ".join(text for text in (what, note, unscored) if text),
    )


def _check_forecasts(audit: _Audit, entry: Entry) -> None:
    """The records that the entry was made from must still be there, with the same bytes."""
    for forecast in entry.forecasts:
        try:
            data = audit.ledger.store.read(forecast.key)
        except MissingInputError:
            audit.add(
                forecast.key,
                LinkStatus.MISSING,
                f"entry {entry.number} of {entry.chain} rests on it",
            )
            continue
        if sha256_bytes(data) != forecast.sha256:
            audit.add(
                forecast.key,
                LinkStatus.DAMAGED,
                f"changed: entry {entry.number} of {entry.chain} rests on other bytes",
            )
        else:
            audit.add(forecast.key)
