"""What is wrong with a series although each of its rows is right: the silent failures of price sources.

Prices that a named split does not show are an error, since every return over it would be wrong. All else can be true (a
halt, a crash, a delisting) and is named: a row is built on such a part only where its configuration allows it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby, pairwise
from typing import NamedTuple

from fingpt.sources.calendar import Exchange
from fingpt.sources.month import Month

STALE_SESSIONS = 5
"""So many sessions with the same close are named: of a traded stock that happens by chance hardly ever."""

ENDS_EARLY_SESSIONS = 5
"""So many sessions before the last of all symbols prices may end without being named."""

JUMP = 1.9
"""An overnight factor from which a split is presumed where none is named."""

LARGE_DIVIDEND = 0.5
"""The share of the last close from which a dividend is named: paid once in a company's life, or mistyped."""

_SPLIT = 1.4  # the shift of a smaller split cannot be told from a day's move


class Bar(NamedTuple):
    """One session's unadjusted prices, as far as they are checked."""

    at: datetime
    """Its close, UTC."""
    open: float
    close: float


class Split(NamedTuple):
    """New shares per old one from the opening of a session on."""

    at: datetime
    ratio: float


class Dividend(NamedTuple):
    """Money per share, from the opening of a session on."""

    at: datetime
    amount: float


class Note(NamedTuple):
    """What looks wrong with a symbol, and in which month."""

    symbol: str
    month: Month
    why: str


def price_notes(
    symbol: str,
    bars: Sequence[Bar],
    splits: Sequence[Split],
    exchange: Exchange,
    last: datetime | None = None,
    dividends: Sequence[Dividend] = (),
) -> Iterator[Note]:
    """What looks wrong with the prices of one symbol, in order; `last` is the newest close of all symbols.

    DataError when a bar is at no session's close.
    """
    places = [exchange.closing(bar.at) for bar in bars]
    for day, why in [
        *_gaps(places, exchange),
        *_stale(bars, places, exchange),
        *_jumps(bars, splits, places, exchange),
        *_large_dividends(bars, splits, dividends, exchange),
        *_end(places, exchange, last),
    ]:
        yield Note(symbol, Month.of(exchange.days[day]), why)


_Found = Iterator[tuple[int, str]]


def _gaps(places: Sequence[int], exchange: Exchange) -> _Found:
    missing = (place for one, two in pairwise(places) for place in range(one + 1, two))
    for _, several in groupby(missing, key=lambda place: Month.of(exchange.days[place])):
        days = list(several)
        count = "1 session has" if len(days) == 1 else f"{len(days)} sessions have"
        yield days[0], f"{count} no price, the first is {exchange.days[days[0]]}"


def _stale(bars: Sequence[Bar], places: Sequence[int], exchange: Exchange) -> _Found:
    at = 0
    for close, run in groupby(bars, key=lambda bar: bar.close):
        count = len(list(run))
        at += count
        if count >= STALE_SESSIONS:
            day = exchange.days[places[at - 1]]
            why = f"the close is {close:g} in {count} sessions up to {day}: halted, or an old price repeated"
            yield places[at - 1], why


def _jumps(
    bars: Sequence[Bar], splits: Sequence[Split], places: Sequence[int], exchange: Exchange
) -> _Found:
    for (before, after), place in zip(pairwise(bars), places[1:], strict=True):
        factor = after.open / before.close
        if max(factor, 1 / factor) < JUMP:
            continue
        if not any(before.at < split.at < after.at for split in splits):
            day = exchange.days[place]
            why = f"the price changed by a factor of {factor:.3g} overnight to {day}, and no split is named there"
            yield place, why


def _large_dividends(
    bars: Sequence[Bar],
    splits: Sequence[Split],
    dividends: Sequence[Dividend],
    exchange: Exchange,
) -> _Found:
    for dividend, number in _before(bars, dividends):
        close = _worth(bars[number], splits, dividend)
        if dividend.amount >= LARGE_DIVIDEND * close:
            place = min(bisect_left(exchange.opens, dividend.at), len(exchange.days) - 1)
            day = exchange.days[place]
            why = f"a dividend of {dividend.amount:g} on {day} after a close of {close:g}: mistyped, or a rare one"
            yield place, why


def _before(bars: Sequence[Bar], dividends: Sequence[Dividend]) -> Iterator[tuple[Dividend, int]]:
    """Each dividend with the place of the last bar before it; without one it cannot be judged."""
    for dividend in dividends:
        number = bisect_left(bars, dividend.at, key=lambda bar: bar.at) - 1
        if number >= 0:
            yield dividend, number


def _worth(bar: Bar, splits: Sequence[Split], dividend: Dividend) -> float:
    """The last close of one share; where a split lies between, of the share that is worth more: it may be meant."""
    ratio = math.prod(split.ratio for split in splits if bar.at < split.at <= dividend.at)
    return max(bar.close, bar.close / ratio)


def impossible_dividend(
    bars: Sequence[Bar], splits: Sequence[Split], dividends: Sequence[Dividend]
) -> tuple[Dividend, float] | None:
    """The first dividend that is not less than the last close before it, and that close; None when there is none."""
    for dividend, number in _before(bars, dividends):
        close = _worth(bars[number], splits, dividend)
        if dividend.amount >= close:
            return dividend, close
    return None


def _end(places: Sequence[int], exchange: Exchange, last: datetime | None) -> _Found:
    if last is None or not places:
        return
    newest = exchange.closing(last)
    if newest - places[-1] > ENDS_EARLY_SESSIONS:
        here, there = exchange.days[places[-1]], exchange.days[newest]
        why = f"prices end on {here}, those of others on {there}: delisted, renamed, halted, or left behind"
        yield places[-1], why


def unseen_split(bars: Sequence[Bar], splits: Sequence[Split]) -> tuple[Split, Bar, Bar] | None:
    """The first split over which the price did not jump, with the bars around it; None when all did.

    Such prices are adjusted for the split already (or its ratio is wrong): the jump is nearer to none at all than to
    the ratio, on a logarithmic scale.
    """
    for split in splits:
        before = [bar for bar in bars if bar.at < split.at][-1:]
        after = [bar for bar in bars if bar.at > split.at][:1]
        if not (before and after) or max(split.ratio, 1 / split.ratio) < _SPLIT:
            continue
        jump = math.log(before[0].close / after[0].open)
        if abs(jump) < abs(jump - math.log(split.ratio)):
            return split, before[0], after[0]
    return None


def by_part(source: str, notes: Iterable[Note]) -> dict[str, str]:
    """Notes by "source/symbol/month", several of one part as one text."""
    found: dict[str, list[str]] = {}
    for symbol, month, why in notes:
        found.setdefault(f"{source}/{symbol}/{month}", []).append(why)
    return {part: "; ".join(several) for part, several in sorted(found.items())}


def merged(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Several tables of notes as one: what two say of one part becomes one text."""
    found: dict[str, str] = {}
    for part in parts:
        for key, why in part.items():
            found[key] = f"{found[key]}; {why}" if key in found else why
    return dict(sorted(found.items()))
