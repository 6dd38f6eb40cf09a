"""What happened: the total return of a symbol from one close to another, its published label, its excess. Pure.

Total return = (close + dividends with an ex-date in the week) / first close − 1, all in shares of the last day; it is
what the price heads and dividend sentences of later prompts tell. Labels are bins of one percentage point, upper edges
included (`up by 1-2%` is above 1 and up to 2), computed in decimals; exactly 0 is `up by 0-1%`, as FinGPT-Forecaster
counts it among the rises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from fingpt.features.prices import Prices, prices
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
    everybody = list(dict.fromkeys([*symbols, *universe]))
    seen = {symbol: _prices(snapshot, symbol, as_of, horizon_end) for symbol in everybody}
    changes = {symbol: _change(found, as_of, horizon_end) for symbol, found in seen.items()}
    known = {name: float(change) for name in universe if (change := changes[name]) is not None}
    mean = math.fsum(known.values()) / max(1, len(known))
    others_traded = any(found.close_at(horizon_end) is not None for found in seen.values())
    result = {}
    for symbol in symbols:
        change = changes[symbol]
        if change is None:
            result[symbol] = _failed(snapshot, symbol, seen[symbol], horizon_end, others_traded)
            continue
        # Over a mean of itself alone nothing would be left.
        excess = float(change) - mean if set(known) - {symbol} else None
        result[symbol] = Outcome("ok", float(change), excess, label_of(change))
    return result


def _prices(snapshot: Snapshot, symbol: str, as_of: datetime, horizon_end: datetime) -> Prices:
    return prices(snapshot, symbol, horizon_end, as_of - _SLACK, known=EVER)


def _change(found: Prices, as_of: datetime, horizon_end: datetime) -> Decimal | None:
    before, after = found.close_at(as_of), found.close_at(horizon_end)
    if before is None or after is None:
        return None
    # Shortest decimals: 101 over 100 is 1 %, not a little more.
    start, end, paid = (
        Decimal(repr(each)) for each in (before, after, found.paid(as_of, horizon_end))
    )
    return (end + paid) / start - 1


def _failed(
    snapshot: Snapshot, symbol: str, found: Prices, horizon_end: datetime, others_traded: bool
) -> Outcome:
    last = found.moments[-1] if found.moments else None
    if found.close_at(horizon_end) is not None or last is None:
        return Outcome("missing", last=last)
    later = snapshot.records(Kind.PRICE, symbol, before=EVER, since=horizon_end)
    if later:
        return Outcome("halted", last=last)
    return Outcome("delisted" if others_traded else "missing", last=last)
