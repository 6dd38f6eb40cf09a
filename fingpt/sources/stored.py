"""A Snapshot over retrievals of one source in the raw store: pure, offline, and the same for the same retrievals.

Prices are looked at once when it is opened, as those of a folder are (checks.py); what looks wrong is in `degraded`
beside what could not be fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from pydantic import JsonValue

from fingpt.errors import DataError
from fingpt.record import canonical_json, sha256_bytes
from fingpt.sources.calendar import Exchange, exchange
from fingpt.sources.checks import (
    Bar,
    Dividend,
    Note,
    Split,
    by_part,
    impossible_dividend,
    merged,
    price_notes,
    unseen_split,
)
from fingpt.sources.protocol import Source
from fingpt.sources.raw_store import Kept, RawStore
from fingpt.sources.records import Kind, Record
from fingpt.sources.snapshot import Snapshot


class StoredSnapshot(Snapshot):
    """What one source said in `kept` retrievals; `failed` are its parts that could not be fetched, with the reason.

    `settings` are those that the source was made with: with others it may read the same answers otherwise.
    """

    def __init__(
        self,
        raw: RawStore,
        source: Source,
        kept: Iterable[Kept],
        failed: Mapping[str, str] | None = None,
        settings: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__()
        self._raw, self._source = raw, source
        self.kept = tuple(sorted(kept, key=lambda each: each.key))
        self.failed = dict(sorted((failed or {}).items()))
        self.digest = sha256_bytes(
            canonical_json(
                [
                    [(one.key, one.sha256) for one in self.kept],
                    self.failed,
                    dict(settings or {}),
                ]
            )
        )
        self.policy = source.policy
        self._parts: dict[tuple[Kind, str], list[Kept]] = {}
        for one in self.kept:
            about = one.retrieval
            self._parts.setdefault((about.kind, about.symbol), []).append(one)
        self.dropped = {}
        self.degraded = merged([self.failed, by_part(source.name, self._notes(exchange()))])

    def symbols(self) -> tuple[str, ...]:
        """Symbols of which it has prices, sorted."""
        found = {
            symbol
            for (kind, symbol), several in self._parts.items()
            if kind is Kind.PRICE and any(one.retrieval.answers for one in several)
        }
        return tuple(sorted(found))

    def load(self, kind: Kind, symbol: str) -> Iterator[Record]:
        """All records of one kind and symbol; what two answers say alike (at the edge of months) is said once.

        DataError when an answer cannot be read, StorageError when it was changed, MissingInputError when it is gone.
        """
        seen = set[bytes]()
        for one in self._parts.get((kind, symbol), []):
            for answer in self._raw.answers(one):
                for record in self._source.read(answer):
                    if record.kind is not kind or record.symbol != symbol:
                        continue
                    same = canonical_json(
                        record.model_dump(mode="json", exclude={"retrieved_at", "sha256"})
                    )
                    if same not in seen:
                        seen.add(same)
                        yield record

    def _notes(self, found: Exchange) -> Iterator[Note]:
        """What looks wrong with the prices of each symbol; DataError when they are not what was traded."""
        every = {symbol: self._bars(symbol, found) for symbol in self.symbols()}
        last = max((bars[-1].at for bars in every.values() if bars), default=None)
        for symbol, bars in every.items():
            actions = list(self.load(Kind.ACTION, symbol))
            splits = sorted(
                Split(record.event_time, float(str(record.payload["ratio"])))
                for record in actions
                if record.payload["type"] == "split"
            )
            dividends = sorted(
                Dividend(record.event_time, float(str(record.payload["amount"])))
                for record in actions
                if record.payload["type"] == "dividend"
            )
            if unseen := unseen_split(bars, splits):
                split, before, after = unseen
                raise DataError(
                    f"{self._source.name} names a split of {symbol}, {split.ratio:g} for 1, on {split.at:%Y-%m-%d}, "
                    f"but its price went from {before.close:g} to {after.open:g} over it: these prices are adjusted "
                    "already, and forecasts need them as they were traded; take another source of prices."
                )
            if impossible := impossible_dividend(bars, splits, dividends):
                dividend, close = impossible
                raise DataError(
                    f"{self._source.name} names a dividend of {dividend.amount:g} for a share of {symbol} on "
                    f"{dividend.at:%Y-%m-%d}, whose last close was {close:g}; take another source of actions."
                )
            yield from price_notes(symbol, bars, splits, found, last, dividends)

    def _bars(self, symbol: str, found: Exchange) -> Sequence[Bar]:
        bars = sorted(_bar(record) for record in self.load(Kind.PRICE, symbol))
        for one, two in pairwise(bars):
            if one.at == two.at:
                raise DataError(
                    f"{self._source.name} has two different prices of {symbol} for {one.at:%Y-%m-%d}; one of them is "
                    "wrong: take another source of prices."
                )
        for bar in bars:
            try:
                found.closing(bar.at)
            except DataError as fault:
                raise DataError(f"{self._source.name} has a price of {symbol} at {fault}") from None
        return bars


def _bar(record: Record) -> Bar:
    """The bar of a price; where no opening price is known the close stands for it."""
    close = record.payload["close"]
    opening = record.payload.get("open")
    return Bar(record.event_time, *(float(str(each)) for each in (opening or close, close)))
