"""Whether a score says what its entry, its own numbers and its prices say. Reads only.

A label must be the bin of its return, and all returns of a week are the same mean above their excess returns. Where the
prices were frozen in this bucket they are opened again, and each return and label is computed anew; another bucket's,
or an invented market's, are not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.features.label import label_of, realised
from fingpt.ledger.records import Entry, Outcome, Score, Status
from fingpt.runs.links import LinkStatus
from fingpt.sources.live.catalogue import LIVE
from fingpt.sources.opening import Opener, frozen_key
from fingpt.sources.snapshot import Snapshot
from fingpt.storage import ObjectStore

_SAME = 1e-9
_EDGE = Decimal("1e-12")
"""A return is kept as a float, its label comes of the exact decimal: at the edge of a bin either label may be right."""
_Fault = tuple[LinkStatus, str]


def score_faults(
    store: ObjectStore,
    scores: Iterable[Score],
    entries: Mapping[tuple[str, int], Entry],
    *,
    anew: bool = True,
) -> Iterator[tuple[Score, LinkStatus, str]]:
    """Each score with its status and what is wrong with it; prices are opened once for all scores of theirs.

    A score whose entry is not in `entries` is held against its own numbers alone, and so are all without `anew`.
    """
    by_place = {(each.chain, each.number, each.attempt): each for each in scores}

    def prices_of(score: Score) -> str:
        return score.snapshot_sha256

    for digest, group in groupby(sorted(by_place.values(), key=prices_of), key=prices_of):
        with TemporaryDirectory(prefix="fingpt-verify-") as scratch:
            snapshot = _prices(store, digest, Path(scratch)) if anew else None
            for score in group:
                if isinstance(snapshot, tuple):
                    yield score, *snapshot
                    continue
                before = by_place.get((score.chain, score.number, score.attempt - 1))
                fault = _fault(score, entries.get((score.chain, score.number)), before, snapshot)
                yield score, LinkStatus.DAMAGED if fault else LinkStatus.OK, fault


def _prices(store: ObjectStore, digest: str, scratch: Path) -> Snapshot | _Fault | None:
    """The prices of a score; None where this bucket does not have them, a fault where it has them no longer whole."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        return LinkStatus.DAMAGED, "changed: what it names as its prices is no sha256"
    if not store.exists(frozen_key(digest)):
        return None
    try:
        return Opener(store, LIVE).open_frozen(digest, scratch)
    except MissingInputError as fault:
        return LinkStatus.MISSING, f"the prices that it rests on are incomplete: {fault}"
    except (StorageError, DataError) as fault:
        return LinkStatus.DAMAGED, f"the prices that it rests on were changed: {fault}"


def _fault(score: Score, entry: Entry | None, before: Score | None, prices: Snapshot | None) -> str:
    known = (
        {one.symbol: one for one in before.outcomes if one.status is Status.OK} if before else {}
    )
    found = {one.symbol: one for one in score.outcomes}
    if entry and set(found) != {forecast.symbol for forecast in entry.forecasts}:
        return "changed: its symbols are not those of its entry"
    for symbol, one in known.items():
        if found.get(symbol) != one:
            return f"changed: {symbol} has another outcome than attempt {score.attempt - 1} found"
    fresh = [one for symbol, one in found.items() if symbol not in known]
    for one in fresh:
        fault = _own(one) or (_anew(one, entry, prices) if entry and prices else "")
        if fault:
            return f"changed: {fault}"
    means = [
        one.realised_return - one.excess_return
        for one in fresh
        if one.realised_return is not None and one.excess_return is not None
    ]
    if means and max(means) - min(means) > _SAME:
        return "changed: its excess returns are not over one mean"
    return ""


def _own(one: Outcome) -> str:
    """A label that is not the bin of its return."""
    if one.realised_return is None:
        return ""
    exact = Decimal(repr(one.realised_return))
    if one.label in {label_of(exact + step) for step in (-_EDGE, Decimal(0), _EDGE)}:
        return ""
    return f"{one.symbol} has a return of {one.realised_return:+.4f} and the label “{one.label}”"


def _anew(one: Outcome, entry: Entry, prices: Snapshot) -> str:
    """Another return or label than the prices give."""
    there = realised(prices, one.symbol, entry.as_of, entry.horizon_end, ())
    if (there.realised_return, there.label) == (one.realised_return, one.label):
        return ""
    said, is_so = (
        "no return" if value is None else f"a return of {value:+.4f}"
        for value in (one.realised_return, there.realised_return)
    )
    return f"{one.symbol} has {said}, and its prices give {is_so}"
