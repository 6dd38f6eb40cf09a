"""Writing forecasts into the ledger: each week of each run is one new entry, and a repeated call adds nothing.

What is in the ledger stays. A forecast that comes after its entry (another symbol, another prompt for the same one) is
a new entry behind it; of several forecasts of one symbol and week, the first one written counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fingpt import log
from fingpt.errors import MissingInputError
from fingpt.ledger.book import universe_of
from fingpt.ledger.chains import (
    Ledger,
    append,
    begin_ledger,
    chain_ids,
    open_ledger,
    read_chain,
    unnamed_scores,
)
from fingpt.ledger.clock import late_forecasts
from fingpt.ledger.intake import Intake, forecast_weeks, read_intakes
from fingpt.ledger.keys import FORECASTS, genesis_key
from fingpt.ledger.records import Entry, Genesis
from fingpt.storage import ObjectStore


@dataclass(frozen=True)
class Written:
    """What one call did: the entries that it wrote, and how many weeks of runs were in the ledger already.

    `outside`: symbols of these entries that the ledger's universe does not have.
    """

    ledger: Ledger
    entries: tuple[Entry, ...]
    known: int
    outside: tuple[str, ...] = ()

    @property
    def late(self) -> int:
        """How many forecasts of the new entries are late."""
        return sum(late_forecasts(entry, None) for entry in self.entries)


def write(store: ObjectStore, name: str, runs: Sequence[str], now: datetime) -> Written:
    """Write every forecast of `runs` (of all runs where none are named) that the ledger does not have yet.

    The first call begins the ledger: its runs, champion first, and its universe are those of the oldest close whose
    outcome is not known yet, of the oldest close where all are. Raises MissingInputError when there are no forecasts,
    StorageError on a broken chain, and what the store raises.
    """
    weeks = forecast_weeks(store, runs)
    if not weeks:
        raise MissingInputError(_nothing(store.uri, runs))
    chains = _chains(open_ledger(store, name)) if store.exists(genesis_key(name)) else {}
    held = {f.key for entries in chains.values() for entry in entries for f in entry.forecasts}
    fresh = [[key for key in keys if key not in held] for keys in weeks.values()]
    intakes = [intake for keys in fresh for intake in read_intakes(store, keys)]
    known = sum(not keys for keys in fresh)
    if not intakes:
        return Written(open_ledger(store, name), (), known)
    ledger = begin_ledger(store, _genesis(name, runs, intakes, now))
    scores = unnamed_scores(ledger, [entry for each in chains.values() for entry in each])
    written: list[Entry] = []
    for intake in intakes:
        before = chains.get(intake.chain, ())
        entry = append(ledger, intake.chain, before, partial(_next, ledger, intake, now, scores))
        if entry is None:
            known += 1
            continue
        chains[intake.chain] = (
            read_chain(ledger, intake.chain)
            if entry.number != len(before) + 1
            else (*before, entry)
        )
        written.append(entry)
        scores = {}
    universe = universe_of(ledger, [entry for each in chains.values() for entry in each], {})
    new = {forecast.symbol for entry in written for forecast in entry.forecasts}
    return Written(ledger, tuple(written), known, tuple(sorted(new - set(universe))))


def _chains(ledger: Ledger) -> dict[str, tuple[Entry, ...]]:
    """All that the ledger holds: a weekly job then reads the forecasts of one week, not of all years."""
    return {chain: read_chain(ledger, chain) for chain in chain_ids(ledger)}


def _genesis(name: str, runs: Sequence[str], intakes: Sequence[Intake], now: datetime) -> Genesis:
    """What a ledger that begins now would fix; where it has begun, the bucket's own stands."""
    open_ones = [intake for intake in intakes if intake.horizon_end > now]
    first = min(intake.as_of for intake in open_ones or intakes)
    opening = [intake for intake in intakes if intake.as_of == first]
    days = Counter((intake.horizon_end.date() - intake.as_of.date()).days for intake in intakes)
    return Genesis(
        name=name,
        created_at=now.replace(microsecond=0),
        runs=tuple(runs) or tuple(dict.fromkeys(intake.run for intake in opening)),
        universe=tuple(sorted({f.symbol for intake in opening for f in intake.forecasts})),
        horizon_days=days.most_common(1)[0][0],
    )


def _next(
    ledger: Ledger,
    new: Intake,
    now: datetime,
    scores: dict[str, str],
    held: tuple[Entry, ...],
) -> Entry | None:
    """The entry that takes what the chain does not hold of an intake; None where it holds all of it."""
    week = [entry for entry in held if entry.as_of == new.as_of]
    keys = {forecast.key for entry in week for forecast in entry.forecasts}
    symbols = {forecast.symbol for entry in week for forecast in entry.forecasts}
    fresh = tuple(forecast for forecast in new.forecasts if forecast.key not in keys)
    if not fresh:
        return None
    return Entry(
        ledger=ledger.name,
        chain=new.chain,
        number=len(held) + 1,
        previous=held[-1].sha256 if held else ledger.sha256,
        run=new.run,
        model=new.model,
        adapter_sha256=new.adapter_sha256,
        base_sha256=new.base_sha256,
        code_version=new.code_version,
        verdict=new.verdict,
        as_of=new.as_of,
        horizon_end=new.horizon_end,
        created_at=now.replace(microsecond=0),
        restates=tuple(sorted({f.symbol for f in fresh} & symbols)),
        forecasts=fresh,
        scores=scores,
    )


def tell(entry: Entry) -> None:
    """Log an entry that was written, and what is wrong with it."""
    log.event(
        "ledger entry written",
        ledger=entry.ledger,
        chain=entry.chain,
        number=entry.number,
        as_of=entry.as_of.date().isoformat(),
        forecasts=len(entry.forecasts),
        sha256=entry.sha256[:12],
    )
    if entry.created_at >= entry.horizon_end:
        log.warning(
            f"Entry {entry.number} of {entry.chain} was written after its outcome ({entry.horizon_end.date()}); it is "
            "kept, marked late, and not counted."
        )
    elif late := late_forecasts(entry, None):
        log.warning(
            f"Entry {entry.number} of {entry.chain}: {late} of {len(entry.forecasts)} forecasts were made after the "
            "next session had opened; they are kept, marked late, and not counted."
        )
    if entry.restates:
        log.warning(
            f"Entry {entry.number} of {entry.chain} states {', '.join(entry.restates[:10])} again; the earlier "
            "forecast counts."
        )


def tell_outside(done: Written) -> None:
    """Warn of forecasts that count for nothing because the ledger's universe was fixed without their symbols."""
    if not done.outside:
        return
    shown = ", ".join(done.outside[:10])
    more = f" and {len(done.outside) - 10} more" if len(done.outside) > 10 else ""
    log.warning(
        f"{shown}{more}: outside the universe that ledger {done.ledger.name} fixed with its first week, so their "
        "forecasts are kept and not counted. A new ledger, begun before their outcome, counts them: make ledger "
        f"LEDGER={done.ledger.name[:36]}-new, or any other name."
    )


def _nothing(uri: str, runs: Sequence[str]) -> str:
    of = f" of {', '.join(runs)}" if runs else ""
    return (
        f"There are no forecasts{of} in {uri} (below {FORECASTS}); make one: "
        "make forecast RUN=id SYMBOL=AAPL DATE=2026-11-20, or name another STORE."
    )
