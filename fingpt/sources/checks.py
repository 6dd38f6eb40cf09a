"""What is wrong with a series although each of its rows is right: the silent failures of price files.

Prices adjusted twice are an error, since every return over the split would be wrong. All else can be true (a halt, a
crash, a delisting) and is named: a row is built on such a part only where its configuration allows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, pairwise

from fingpt.errors import DataError
from fingpt.sources.calendar import Exchange
from fingpt.sources.grouped import Place, Series
from fingpt.sources.month import Month
from fingpt.sources.records import Kind
from fingpt.sources.schema import Entry

STALE_SESSIONS = 5
"""So many sessions with the same close are named: of a traded stock that happens by chance hardly ever."""

ENDS_EARLY_SESSIONS = 5
"""So many sessions before the last of all symbols prices may end without being named."""

JUMP = 1.9
"""An overnight factor from which a split is presumed where none is named."""

_SPLIT = 1.4  # smaller ones cannot be told from a day's move

_CLOSE, _OPEN = 3, 0  # places in a price's values

Note = tuple[str, Month, str]
"""(symbol, month, what looks wrong)"""


def price_notes(prices: Series, actions: Series, exchange: Exchange) -> Iterator[Note]:
    """What looks wrong with each symbol's prices."""
    last = max(series[-1].event_time for series in prices.values())
    end = exchange.closing(last)
    for symbol, series in prices.items():
        places = [exchange.closing(entry.event_time) for entry in series]
        splits = {
            entry.event_time for entry in actions.get(symbol, []) if entry.values[0] == "split"
        }
        yield from _gaps(symbol, places, exchange)
        yield from _stale(symbol, series, places, exchange)
        yield from _jumps(symbol, series, places, exchange, splits)
        if end - places[-1] > ENDS_EARLY_SESSIONS:
            day, others = exchange.days[places[-1]], exchange.days[end]
            why = f"prices end on {day} and those of others on {others}: delisted, renamed, halted, or left behind"
            yield symbol, Month.of(day), why


def _gaps(symbol: str, places: Sequence[int], exchange: Exchange) -> Iterator[Note]:
    missing = [
        exchange.days[place] for one, two in pairwise(places) for place in range(one + 1, two)
    ]
    for month, days in groupby(missing, key=Month.of):
        several = list(days)
        yield symbol, month, f"{len(several)} sessions have no price, the first is {several[0]}"


def _stale(
    symbol: str, series: Sequence[Entry], places: Sequence[int], exchange: Exchange
) -> Iterator[Note]:
    at = 0
    for close, run in groupby(series, key=lambda entry: entry.values[_CLOSE]):
        count = len(list(run))
        at += count
        if count >= STALE_SESSIONS:
            day = exchange.days[places[at - 1]]
            why = f"the close is {close:g} in {count} sessions up to {day}: halted, or filled with an old price"
            yield symbol, Month.of(day), why


def _jumps(
    symbol: str,
    series: Sequence[Entry],
    places: Sequence[int],
    exchange: Exchange,
    splits: Sequence[datetime],
) -> Iterator[Note]:
    for (before, after), place in zip(pairwise(series), places[1:], strict=True):
        factor = before.values[_CLOSE] / after.values[_OPEN]
        named = any(before.event_time < split < after.event_time for split in splits)
        if max(factor, 1 / factor) >= JUMP and not named:
            day = exchange.days[place]
            why = f"the price changed by a factor of {1 / factor:.3g} overnight on {day}, and no split is named there"
            yield symbol, Month.of(day), why


def refuse_adjusted(prices: Series, actions: Series, place: Place) -> None:
    """DataError when a split is named where the price did not jump: those prices are adjusted for it already."""
    for symbol, several in actions.items():
        closes = prices.get(symbol, [])
        for action in several:
            ratio = action.values[1]
            if action.values[0] != "split" or max(ratio, 1 / ratio) < _SPLIT:
                continue
            before = [entry for entry in closes if entry.event_time < action.event_time]
            after = [entry for entry in closes if entry.event_time > action.event_time]
            if not before or not after:
                continue
            old, new = before[-1].values[_CLOSE], after[0].values[_OPEN]
            jump = math.log(old / new)
            if abs(jump) < abs(jump - math.log(ratio)):
                raise DataError(
                    f"{place(action)} names a split of {symbol}, {ratio:g} for 1, but the price went from {old:g} to "
                    f"{new:g} over it ({place(after[0])}): these prices are adjusted already; bring them as they were "
                    "traded, or leave out the split if its ratio is wrong."
                )


def unpriced_notes(prices: Series, others: Mapping[Kind, Series]) -> Iterator[Note]:
    """Symbols that other tables speak of and that have no prices: renamed, or forgotten."""
    for kind, series in others.items():
        for symbol, several in series.items():
            if symbol and symbol not in prices and kind is not Kind.PROFILE:
                first = several[0]
                why = f"there is {kind} but no price at all: renamed, delisted, or its prices were left out"
                yield symbol, Month.of(first.event_time.date()), why


def by_part(source: str, notes: Iterator[Note]) -> dict[str, str]:
    """Notes by "source/symbol/month", several of one part as one text."""
    found: dict[str, list[str]] = {}
    for symbol, month, why in notes:
        found.setdefault(f"{source}/{symbol}/{month}", []).append(why)
    return {part: "; ".join(several) for part, several in sorted(found.items())}
