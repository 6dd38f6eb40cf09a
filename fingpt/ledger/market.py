"""Outcomes from a raw snapshot of prices, by the function that labels training rows: one definition of a return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from fingpt import log
from fingpt.config import local_path
from fingpt.features.config import parse_features
from fingpt.features.label import realised
from fingpt.ledger.records import Outcome, Status
from fingpt.ledger.score import OpenMarket
from fingpt.prompts.examples import plain_label
from fingpt.sources.fetching import Wanted
from fingpt.sources.files import NAME as FILES
from fingpt.sources.folder import look, require_apart
from fingpt.sources.live.catalogue import LIVE
from fingpt.sources.opening import JOINED, Opener
from fingpt.sources.records import Kind
from fingpt.sources.selection import Selection, load_selection
from fingpt.sources.snapshot import Snapshot
from fingpt.storage import ObjectStore

PRICED = frozenset({Kind.PRICE, Kind.ACTION})
"""What a return needs: closes, and the dividends and splits between them."""


class SnapshotMarket:
    """A Market over a snapshot; excess returns are over the mean of `others`. See `fingpt.ledger.score.Market`."""

    def __init__(self, snapshot: Snapshot, others: Sequence[str]) -> None:
        self._snapshot = snapshot
        there = set(snapshot.symbols())
        self._others = tuple(symbol for symbol in others if symbol in there)

    @property
    def digest(self) -> str:
        """sha256 of the raw objects behind the snapshot."""
        return self._snapshot.digest

    @property
    def degraded(self) -> Mapping[str, str]:
        """Parts that failed or look wrong, by "source/symbol/month" → why."""
        return self._snapshot.degraded

    def outcome(self, symbol: str, as_of: datetime, horizon_end: datetime) -> Outcome:
        """The realised return and label of the window, or the reason why there is none."""
        found = realised(self._snapshot, symbol, as_of, horizon_end, self._others)
        if found.realised_return is not None and found.label is not None:
            return Outcome(
                symbol=symbol,
                status=Status.OK,
                realised_return=found.realised_return,
                excess_return=found.excess_return,
                label=plain_label(found.label),
            )
        months = {f"{day:%Y-%m}" for day in (as_of, horizon_end)}
        for part, why in self.degraded.items():
            _, _, place = part.partition("/")
            if place in {f"{symbol}/{month}" for month in months}:
                return Outcome(symbol=symbol, status=Status.SOURCE_DOWN, reason=why[:500])
        return Outcome(symbol=symbol, status=Status(found.status), reason=_last(found.last))


def _last(moment: datetime | None) -> str:
    return f"the last close is of {moment.date()}" if moment else "there is no close"


def market_opener(store: ObjectStore, sources: str, data: str) -> OpenMarket:
    """Opens the prices that SOURCES or DATA name, fetching what the store lacks.

    A source that fails does not end the scoring: what it lacks is said in `degraded`, and scored by a later call.
    At once, also where nothing is to be scored: ConfigError when neither names anything, and what `look` raises, such
    as MissingInputError, for a folder that is not there or holds no prices.
    """
    selection = load_selection(sources, data)
    if FILES in selection.sources:
        folder = local_path(selection.sources[FILES].folder)
        require_apart(store.uri, folder)
        look(folder)
    benchmark = parse_features(selection.features, selection.where).benchmark
    tolerant = selection.model_copy(update={"allow_missing": tuple(PRICED)})
    return partial(_open, store, tolerant, benchmark)


def _open(
    store: ObjectStore,
    selection: Selection,
    benchmark: str,
    symbols: tuple[str, ...],
    first: datetime,
    end: datetime,
) -> SnapshotMarket:
    everybody = tuple(dict.fromkeys([*symbols, *([benchmark] if benchmark else [])]))
    wanted = Wanted(PRICED, everybody, first.date(), end.date())
    snapshot = Opener(store, LIVE).open(selection, wanted, JOINED)
    for part, why in list(snapshot.degraded.items())[:10]:
        log.warning(f"Prices are degraded: {part}: {why}"[:400])
    return SnapshotMarket(snapshot, [benchmark] if benchmark else symbols)
