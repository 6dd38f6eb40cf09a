"""What happened: the total return of a symbol from one close to another, its published label, its excess. Pure.

Total return = (close + dividends with an ex-date in the week) / first close − 1, all in shares of the last day; it is
what the price heads and dividend sentences of later prompts tell. Labels are bins of one percentage point, upper edges
included (`up by 1-2%` is above 1 and up to 2), computed in decimals; exactly 0 is `up by 0-1%`, as FinGPT-Forecaster
counts it among the rises.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from fingpt.features.prices import prices
from fingpt.sources.records import Kind
from fingpt.sources.snapshot import Snapshot

Status = Literal["ok", "missing", "halted", "delisted"]

EVER = datetime(9999, 1, 1, tzinfo=UTC)
"""Whoever asks what happened may know everything."""

_SLACK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a week; the numbers are None unless `status` is `ok`.

    `missing`: the prices end for everybody, or the symbol has none at the start. `halted`: no close at the end, but
    later ones. `delisted`: no close at the end or later, though other symbols have; the last one is at `last`.
    Returns are fractions (0.01 is one per cent). `excess_return` is over the mean of the universe, or the benchmark;
    None where that is not known.
    """

    status: Status
    realised_return: float | None = None
    excess_return: float | None = None
    label: str | None = None
    last: datetime | None = None


def label_of(change: Decimal) -> str:
    """The published label of a return given as a fraction."""
    number = max(1, math.ceil(abs(change) * 100))
    size = "more than 5%" if number > 5 else f"{number - 1}-{number}%"
    return f"{'up' if change >= 0 else 'down'} by {size}"


def realised(
    snapshot: Snapshot,
    symbol: str,
    as_of: datetime,
    horizon_end: datetime,
    universe: Sequence[str] | None = None,
) -> Outcome:
    """The outcome of `symbol` from the close `as_of` to the close `horizon_end`.

    `universe`: the symbols whose mean return is taken off, a benchmark alone as well; all of the snapshot by default.
    """
    others = snapshot.symbols() if universe is None else universe
    return outcomes(snapshot, [symbol], as_of, horizon_end, others)[symbol]


def outcomes(
    snapshot: Snapshot,
    symbols: Sequence[str],
    as_of: datetime,
    horizon_end: datetime,
    universe: Sequence[str],
) -> dict[str, Outcome]:
    """As `realised`, for many symbols of one week: each return is computed once."""
    everybody = dict.fromkeys([*symbols, *universe])
    became = {symbol: change_of(snapshot, symbol, as_of, horizon_end) for symbol in everybody}
    return compared(became, symbols, universe)


@dataclass(frozen=True, slots=True)
class Change:
    """What a symbol's own prices tell of a week: its total return, None where one of the two closes is missing.

    `traded`: there is a close at the end; `later`: there is one after it, looked for where the return is missing.
    `last`: the newest close up to the end.
    """

    value: Decimal | None
    traded: bool
    later: bool
    last: datetime | None


def change_of(snapshot: Snapshot, symbol: str, as_of: datetime, horizon_end: datetime) -> Change:
    """What became of one symbol, whatever became of others."""
    found = prices(snapshot, symbol, horizon_end, as_of - _SLACK, known=EVER)
    before, after = found.close_at(as_of), found.close_at(horizon_end)
    last = found.moments[-1] if found.moments else None
    if before is None or after is None:
        later = snapshot.records(Kind.PRICE, symbol, before=EVER, since=horizon_end)
        return Change(None, after is not None, bool(later), last)
    # Shortest decimals: 101 over 100 is 1 %, not a little more.
    start, end, paid = (
        Decimal(repr(each)) for each in (before, after, found.paid(as_of, horizon_end))
    )
    return Change((end + paid) / start - 1, True, False, last)


def compared(
    became: Mapping[str, Change], symbols: Sequence[str], universe: Sequence[str]
) -> dict[str, Outcome]:
    """The outcomes of `symbols` in one week; `became` holds the changes of these and of the universe."""
    known = {name: float(value) for name in universe if (value := became[name].value) is not None}
    mean = math.fsum(known.values()) / max(1, len(known))
    others_traded = any(change.traded for change in became.values())
    result = {}
    for symbol in symbols:
        value = became[symbol].value
        if value is None:
            result[symbol] = _failed(became[symbol], others_traded)
            continue
        # Over a mean of itself alone nothing would be left.
        excess = float(value) - mean if set(known) - {symbol} else None
        result[symbol] = Outcome("ok", float(value), excess, label_of(value))
    return result


def _failed(change: Change, others_traded: bool) -> Outcome:
    if change.traded or change.last is None:
        return Outcome("missing", last=change.last)
    if change.later:
        return Outcome("halted", last=change.last)
    return Outcome("delisted" if others_traded else "missing", last=change.last)
