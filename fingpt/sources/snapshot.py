"""What a builder may see: records that were available before a moment, from raw bytes that do not change any more.

A Snapshot is pure and works offline. Whoever keeps records (files.py, stored.py) says how the series of one kind and
symbol is loaded; it is loaded when it is asked for, and the least used are forgotten, so that memory does not grow
with the number of symbols.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from fingpt.record import canonical_json, sha256_bytes, tree_sha256
from fingpt.sources.policy import UsagePolicy, restrict
from fingpt.sources.records import Kind, Record

RECORDS_KEPT = 500_000
"""So many records stay loaded: ten years of prices of 200 symbols, in half a gigabyte."""


@dataclass(frozen=True, slots=True)
class _Series:
    """Records of one kind and symbol in order, with the keys that they are cut by."""

    records: Sequence[Record]
    event_times: Sequence[datetime]
    available: Sequence[datetime]
    is_ordered: bool
    """Whether records also became available in that order, as prices do."""

    @classmethod
    def of(cls, records: Iterable[Record]) -> _Series:
        ordered = sorted(records, key=lambda record: record.order)
        available = [record.available_at for record in ordered]
        return cls(
            ordered,
            [record.event_time for record in ordered],
            available,
            all(one <= two for one, two in pairwise(available)),
        )

    def cut(self, before: datetime, since: datetime | None) -> list[Record]:
        first = bisect_left(self.event_times, since) if since else 0
        if self.is_ordered:
            return list(self.records[first : max(first, bisect_left(self.available, before))])
        return [record for record in self.records[first:] if record.available_at < before]


class Snapshot(ABC):
    """Frozen records; `records` is the only way to them, and it asks for a moment.

    `degraded` names parts that failed or look wrong, by "source/symbol/month", with the reason; `dropped` counts what
    was left out, by reason.
    """

    digest: str
    """Of the raw objects it rests on: equal digests give equal records."""
    policy: UsagePolicy
    """The most restrictive of its sources."""
    degraded: Mapping[str, str]
    dropped: Mapping[str, int]

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[Kind, str], _Series] = OrderedDict()
        self._count = 0

    @abstractmethod
    def symbols(self) -> tuple[str, ...]:
        """Symbols of which it has prices, sorted."""

    @abstractmethod
    def load(self, kind: Kind, symbol: str) -> Iterable[Record]:
        """All records of one kind and symbol, in any order; for subclasses, callers use `records`."""

    def records(
        self, kind: Kind, symbol: str, *, before: datetime, since: datetime | None = None
    ) -> list[Record]:
        """Those with available_at < `before` (and event_time >= `since`), sorted by (event_time, available_at, sha256).

        `symbol` is empty for macro figures. Both moments are aware; none is there: an empty list.
        """
        series = self._loaded.get((kind, symbol))
        if series is None:
            series = _Series.of(self.load(kind, symbol))
            self._loaded[kind, symbol] = series
            self._count += len(series.records)
            while self._count > RECORDS_KEPT and len(self._loaded) > 1:
                self._count -= len(self._loaded.popitem(last=False)[1].records)
        else:
            self._loaded.move_to_end((kind, symbol))
        return series.cut(before, since)

    def forget(self, symbol: str) -> None:
        """Give back the memory of a symbol's records; whoever asks for them again loads them again."""
        for key in [key for key in self._loaded if key[1] == symbol]:
            self._count -= len(self._loaded.pop(key).records)


class MemorySnapshot(Snapshot):
    """A snapshot of records that are at hand: for tests and for doors that make them in memory."""

    def __init__(
        self,
        records: Iterable[Record],
        policy: UsagePolicy | None = None,
        degraded: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._records: dict[tuple[Kind, str], list[Record]] = {}
        for record in records:
            self._records.setdefault((record.kind, record.symbol), []).append(record)
        self.policy = policy or UsagePolicy()
        self.degraded = dict(degraded or {})
        self.dropped = {}

    @cached_property
    def digest(self) -> str:  # type: ignore[override]
        """Hash of the records themselves, whatever order they came in."""
        each = (record for records in self._records.values() for record in records)
        return sha256_bytes(canonical_json(sorted(record.model_dump_json() for record in each)))

    def symbols(self) -> tuple[str, ...]:
        """Symbols of which it has prices, sorted."""
        return tuple(sorted(symbol for kind, symbol in self._records if kind is Kind.PRICE))

    def load(self, kind: Kind, symbol: str) -> Iterable[Record]:
        """All records of one kind and symbol."""
        return self._records.get((kind, symbol), [])


class JoinedSnapshot(Snapshot):
    """Several snapshots as one: each gives the kinds that it was chosen for."""

    def __init__(self, parts: Sequence[tuple[Snapshot, frozenset[Kind]]]) -> None:
        super().__init__()
        self._parts = parts
        self.digest = tree_sha256(
            (",".join(sorted(kinds)), part.digest) for part, kinds in self._parts
        )
        self.policy = restrict(part.policy for part, _ in parts)
        self.degraded = {key: why for part, _ in parts for key, why in part.degraded.items()}
        self.dropped = {key: count for part, _ in parts for key, count in part.dropped.items()}

    def symbols(self) -> tuple[str, ...]:
        """Symbols of which it has prices, sorted."""
        pricing = (part for part, kinds in self._parts if Kind.PRICE in kinds)
        return tuple(sorted({symbol for part in pricing for symbol in part.symbols()}))

    def load(self, kind: Kind, symbol: str) -> Iterable[Record]:
        """All records of one kind and symbol, from every part that was chosen for the kind."""
        for part, kinds in self._parts:
            if kind in kinds:
                yield from part.load(kind, symbol)
