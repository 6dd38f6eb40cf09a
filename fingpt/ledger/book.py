"""The ledger as rows: each forecast with its timing, its outcome, and whether it counts; nothing is left out.

A forecast counts when it was written before its outcome, was the first of its symbol and week, and its symbol belongs
to the universe: the symbols of the beginning, and those that were added in time to the first week that was written in
time (a job that was killed half-way, a run that answered later).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fingpt.ledger.chains import Ledger, chain_ids, newest_scores, read_chain
from fingpt.ledger.clock import Timing, stored_times, timing
from fingpt.ledger.keys import entry_key
from fingpt.ledger.records import Entry, Forecast, Genesis, Outcome, Score, Status
from fingpt.ledger.score import last_score


@dataclass(frozen=True)
class Row:
    """One forecast. `excluded` says why it does not count, empty where it does (once it has an outcome)."""

    chain: str
    week: str
    as_of: datetime
    horizon_end: datetime
    forecast: Forecast
    outcome: Outcome
    excluded: str = ""

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.forecast.symbol

    @property
    def counts(self) -> bool:
        """Whether it enters the figures."""
        return not self.excluded and self.outcome.status is Status.OK


@dataclass(frozen=True)
class ChainRows:
    """One chain: what its first entry says of the run, its rows in order, its head."""

    chain: str
    run: str
    model: str
    adapter_sha256: str
    verdict: str
    entries: int
    head: str
    rows: tuple[Row, ...]

    @property
    def counted(self) -> tuple[Row, ...]:
        """Rows that enter the figures."""
        return tuple(row for row in self.rows if row.counts)


@dataclass(frozen=True)
class Book:
    """A ledger as it stands: the champion's chain first, then the challengers in the order of their first week.

    `newest_scores`: key → sha256 of those that no entry and no other score names.
    """

    genesis: Genesis
    universe: tuple[str, ...]
    chains: tuple[ChainRows, ...]
    newest_scores: Mapping[str, str]

    @property
    def weeks(self) -> tuple[str, ...]:
        """The day of each close that was forecast, in order."""
        return tuple(sorted({row.week for chain in self.chains for row in chain.rows}))


def read_book(ledger: Ledger) -> Book:
    """All rows of a ledger; StorageError on a broken chain, and what the store raises."""
    stored = stored_times(ledger.store, ledger.name)
    whole = [read_chain(ledger, chain) for chain in chain_ids(ledger)]
    every = [entry for entries in whole for entry in entries]
    universe = universe_of(ledger, every, stored)
    chains = [_chain_rows(ledger, entries, stored, universe) for entries in whole]
    runs = ledger.genesis.runs

    def order(one: ChainRows) -> tuple[int, str, str]:
        place = runs.index(one.run) if one.run in runs else len(runs)
        return place, one.rows[0].week if one.rows else "", one.chain

    ordered = tuple(sorted(chains, key=order))
    return Book(ledger.genesis, universe, ordered, newest_scores(ledger, every))


def universe_of(
    ledger: Ledger, entries: Sequence[Entry], stored: Mapping[str, datetime]
) -> tuple[str, ...]:
    """The symbols that count; see above. `stored`: key → when the store wrote the entry, as far as that is known."""
    in_time = [entry for entry in entries if _timing(ledger, entry, stored) is Timing.IN_TIME]
    first = min((entry.as_of for entry in in_time), default=None)
    added = {f.symbol for entry in in_time if entry.as_of == first for f in entry.forecasts}
    return tuple(sorted({*ledger.genesis.universe, *added}))


def _timing(ledger: Ledger, entry: Entry, stored: Mapping[str, datetime]) -> Timing:
    return timing(entry, stored.get(entry_key(ledger.name, entry.chain, entry.number)))


def _chain_rows(
    ledger: Ledger,
    entries: tuple[Entry, ...],
    stored: Mapping[str, datetime],
    universe: tuple[str, ...],
) -> ChainRows:
    rows: list[Row] = []
    stated: set[tuple[str, str]] = set()
    for entry in entries:
        when = _timing(ledger, entry, stored)
        score = last_score(ledger.store, entry)
        week = entry.as_of.date().isoformat()
        for forecast in entry.forecasts:
            again = (week, forecast.symbol) in stated
            stated.add((week, forecast.symbol))
            rows.append(
                Row(
                    chain=entry.chain,
                    week=week,
                    as_of=entry.as_of,
                    horizon_end=entry.horizon_end,
                    forecast=forecast,
                    outcome=_outcome(forecast.symbol, score),
                    excluded=_excluded(universe, forecast, when, again=again),
                )
            )
    first, last = entries[0], entries[-1]
    return ChainRows(
        chain=first.chain,
        run=first.run,
        model=first.model,
        adapter_sha256=first.adapter_sha256,
        verdict=last.verdict,
        entries=len(entries),
        head=last.sha256,
        rows=tuple(rows),
    )


def _outcome(symbol: str, score: Score | None) -> Outcome:
    known = {one.symbol: one for one in score.outcomes} if score else {}
    return known.get(symbol) or Outcome(symbol=symbol, status=Status.WAITING)


def _excluded(universe: tuple[str, ...], forecast: Forecast, when: Timing, *, again: bool) -> str:
    if when is not Timing.IN_TIME:
        return str(when)
    if forecast.late:
        return str(Timing.LATE)
    if again:
        return "stated again"
    return "" if forecast.symbol in universe else "outside the universe"


def outcomes(chains: Iterable[ChainRows]) -> dict[tuple[str, str], Row]:
    """(week, symbol) → a row that has a return, late ones too: what happened does not depend on who forecast it."""
    return {
        (row.week, row.symbol): row
        for chain in chains
        for row in chain.rows
        if row.outcome.status is Status.OK
    }
