"""Scoring: what came of each entry whose week is over, from a raw snapshot of prices, as a new create-only object.

Every forecast gets a status, none vanishes. Where something may still be found (a source was down, a price is missing,
a stock is halted) the score is not final, and a later call tries again; it writes only what it did not know before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from fingpt import log
from fingpt.errors import StorageError
from fingpt.ledger.chains import Ledger, chain_ids, newest_scores, read_chain
from fingpt.ledger.keys import score_key
from fingpt.ledger.records import Entry, Outcome, Score, Status, decode
from fingpt.record import sha256_bytes
from fingpt.runs.run import last_number
from fingpt.storage import ObjectStore

PATIENCE = timedelta(days=28)
"""So long after its last news a forecast without a return is tried again; one whose source is down always is."""


class Market(Protocol):
    """Prices as far as they are known: what came of a symbol between two closes."""

    @property
    def digest(self) -> str:
        """sha256 of the raw objects that the answers rest on."""

    @property
    def degraded(self) -> Mapping[str, str]:
        """Parts that could not be had → why."""

    def outcome(self, symbol: str, as_of: datetime, horizon_end: datetime) -> Outcome:
        """Total and excess return of (as_of, horizon_end], or the status that says why there is none."""


@dataclass(frozen=True)
class Scored:
    """What one call did: the scores that it wrote, and how many entries were waiting or final before."""

    scores: tuple[Score, ...]
    waiting: int
    final: int

    @property
    def degraded(self) -> int:
        """How many of the new scores are to be made again."""
        return sum(not score.final for score in self.scores)


OpenMarket = Callable[[tuple[str, ...], datetime, datetime], Market]
"""Opens the prices of some symbols from one close to another."""


def score(ledger: Ledger, open_market: OpenMarket, now: datetime) -> Scored:
    """Score every entry whose week is over and whose last score is not final.

    Prices are opened once, and only when something is to be scored. Raises StorageError on a broken chain, and what the
    store or the prices raise.
    """
    entries = [entry for chain in chain_ids(ledger) for entry in read_chain(ledger, chain)]
    over = [entry for entry in entries if entry.horizon_end <= now]
    scores = [(entry, last_score(ledger.store, entry)) for entry in over]
    todo = [(entry, last) for entry, last in scores if last is None or not last.final]
    written: list[Score] = []
    if todo:
        symbols = {f.symbol for entry, _ in todo for f in entry.forecasts}
        first, end = (min(e.as_of for e, _ in todo), max(e.horizon_end for e, _ in todo))
        market = open_market(tuple(sorted({*symbols, *ledger.genesis.universe})), first, end)
        newest = newest_scores(ledger, entries)
        for entry, last in todo:
            new = _score(entry, last, market, now).model_copy(update={"scores": newest})
            if last is None or _differs(new, last):
                key, data = score_key(new.ledger, new.chain, new.number, new.attempt), new.encode()
                if ledger.store.create(key, data):
                    newest = {key: sha256_bytes(data)}
                    written.append(new)
                else:  # another process was faster with this attempt, and its score stands
                    newest = {**newest, key: sha256_bytes(ledger.store.read(key))}
    return Scored(tuple(written), len(entries) - len(over), len(over) - len(todo))


def last_score(store: ObjectStore, entry: Entry) -> Score | None:
    """The newest score of an entry, None without any; StorageError when it is damaged or was made of other bytes."""

    def key(attempt: int) -> str:
        return score_key(entry.ledger, entry.chain, entry.number, attempt)

    attempt = last_number(store.exists, key)
    if not attempt:
        return None
    where = f"{store.uri}/{key(attempt)}"
    found = decode(Score, store.read(key(attempt)), where)
    if found.entry_sha256 != entry.sha256:
        raise StorageError(
            f"{where} scores other bytes than entry {entry.number} of {entry.chain} has: one was changed, and "
            f"make verify LEDGER={entry.ledger} shows which."
        )
    return found


def _score(entry: Entry, last: Score | None, market: Market, now: datetime) -> Score:
    """What is known now; what an earlier attempt found stays as it is."""
    known = {one.symbol: one for one in last.outcomes if one.status is Status.OK} if last else {}
    symbols = dict.fromkeys(forecast.symbol for forecast in entry.forecasts)
    outcomes = tuple(
        known.get(symbol) or market.outcome(symbol, entry.as_of, entry.horizon_end)
        for symbol in symbols
    )
    open_ones = [one for one in outcomes if one.status.may_change]
    return Score(
        ledger=entry.ledger,
        chain=entry.chain,
        number=entry.number,
        attempt=last.attempt + 1 if last else 1,
        entry_sha256=entry.sha256,
        scored_at=now.replace(microsecond=0),
        snapshot_sha256=market.digest,
        degraded=dict(market.degraded) if open_ones else {},
        final=not open_ones or _given_up(open_ones, last, now),
        outcomes=outcomes,
    )


def _given_up(open_ones: Sequence[Outcome], last: Score | None, now: datetime) -> bool:
    """Whether what is missing now will hardly come: nothing new since four weeks, and not for want of an answer."""
    down = any(one.status is Status.SOURCE_DOWN for one in open_ones)
    return last is not None and not down and now >= last.scored_at + PATIENCE


def _differs(new: Score, last: Score) -> bool:
    """Whether a new attempt says anything that the last one did not."""
    return (new.outcomes, new.final) != (last.outcomes, last.final)


def tell(new: Score) -> None:
    """Log a score that was written, and which forecasts have no return."""
    missing = [f"{one.symbol} {one.status}" for one in new.outcomes if one.status is not Status.OK]
    log.event(
        "ledger entry scored",
        chain=new.chain,
        number=new.number,
        ok=len(new.outcomes) - len(missing),
        without=len(missing),
    )
    if missing:
        again = "" if new.final else "; it will be scored again"
        reasons = "; ".join(f"{part}: {why}" for part, why in new.degraded.items())[:300]
        log.warning(
            f"Entry {new.number} of {new.chain} has no return for {', '.join(missing[:10])}{again}.",
            **({"degraded": reasons} if reasons else {}),
        )
