"""Fetching: every part (kind, symbol, month) of a source that the raw store lacks, one after the other.

A part is stored whole or not at all, so the same command goes on where the last one stopped. A part that a source
cannot deliver is recorded with the reason; whether rows may be built without it is the caller's decision
(`require`). Pace, retries and Retry-After are the source's own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

from fingpt import log
from fingpt.errors import (
    DataError,
    FingptError,
    MissingInputError,
    PermissionDeniedError,
    TransientError,
)
from fingpt.sources.month import Month, months
from fingpt.sources.protocol import Source
from fingpt.sources.raw_store import Kept, Part, RawStore
from fingpt.sources.records import Kind

_LOOKERS = 8  # latency, not the processor, is what looking into a bucket waits for
_GIVE_UP_AFTER = 3
"""So many parts in a row that fail for now, and the source is not asked for more: each was retried already."""

_FAILURES = (DataError, MissingInputError, PermissionDeniedError, TransientError)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a build needs: which kinds of which symbols, from the month of `start` to the month of `end`."""

    kinds: frozenset[Kind]
    symbols: tuple[str, ...]
    start: date
    end: date


@dataclass(slots=True)
class Fetched:
    """What there is now of what was wanted."""

    kept: list[Kept] = field(default_factory=list)
    failed: dict[Part, FingptError] = field(default_factory=dict)

    @property
    def reasons(self) -> dict[str, str]:
        """The failed parts by "source/symbol/month", with kinds and reasons."""
        found: dict[str, list[str]] = {}
        for part, error in self.failed.items():
            found.setdefault(part.name, []).append(f"{part.kind}: {error}")
        return {name: " ".join(sorted(several)) for name, several in sorted(found.items())}


def fetch(
    raw: RawStore, source: Source, wanted: Wanted, clock: Callable[[], datetime] | None = None
) -> Fetched:
    """Bring what the raw store lacks of `wanted` from `source`, with progress and the time left.

    A month is complete when it was fetched after its end; one that was not is fetched again unless that was after the
    last day of `wanted`. Months to come are not asked for. What the store raises, and signals, end it; what is stored
    stays.
    """
    now = clock or (lambda: datetime.now(UTC))
    fetched = Fetched()
    past = replace(wanted, end=min(wanted.end, now().date()))
    there = _look(raw, list(_parts(source, past, fetched)))
    until = datetime.combine(wanted.end, datetime.max.time(), UTC)
    lacking = []
    for part, (count, kept) in there.items():
        if kept and kept.retrieval.covers(min(until, now())):
            fetched.kept.append(kept)
        else:
            lacking.append((part, count + 1))
    log.event("raw answers", source=source.name, there=len(fetched.kept), to_fetch=len(lacking))
    if lacking:
        _fetch_all(raw, source, lacking, fetched, now)
    return fetched


def require(fetched: Fetched, allowed: Collection[Kind]) -> None:
    """Raise the first failure of a kind that may not be missing, as the error it was, with how many more there are."""
    fatal = {part: error for part, error in fetched.failed.items() if part.kind not in allowed}
    for part, error in fatal.items():
        more = f" So did {len(fatal) - 1} more parts." if len(fatal) > 1 else ""
        of = f" of {part.symbol}" if part.symbol else ""
        raise type(error)(
            f"{part.source} did not deliver {part.kind}{of} for {part.month}: {error}{more} What was fetched is kept; "
            f"the same command goes on. `allow_missing: [{part.kind}]` in SOURCES builds without it."
        )


def _parts(source: Source, wanted: Wanted, fetched: Fetched) -> Iterator[Part]:
    """The parts that the source can be asked for; those that it says it has not are failures."""
    able = source.capabilities()
    for kind in sorted(wanted.kinds & able.kinds):
        for symbol in wanted.symbols if kind is not Kind.MACRO else ("",):
            for month in months(wanted.start, wanted.end):
                part = Part(source=source.name, kind=kind, symbol=symbol, month=str(month))
                if symbol and able.symbols is not None and symbol not in able.symbols:
                    fetched.failed[part] = MissingInputError(
                        f"{source.name} does not have {symbol}."
                    )
                elif able.earliest and month.last < able.earliest:
                    fetched.failed[part] = MissingInputError(
                        f"{source.name} begins on {able.earliest}."
                    )
                else:
                    yield part


def _look(raw: RawStore, parts: Sequence[Part]) -> Mapping[Part, tuple[int, Kept | None]]:
    with ThreadPoolExecutor(_LOOKERS, "look") as pool:
        return dict(zip(parts, pool.map(raw.newest, parts), strict=True))


def _fetch_all(
    raw: RawStore,
    source: Source,
    lacking: Sequence[tuple[Part, int]],
    fetched: Fetched,
    now: Callable[[], datetime],
) -> None:
    refused: dict[tuple[Kind, str], FingptError] = {}
    in_a_row = 0
    with log.progress(f"fetch {source.name}", len(lacking)) as meter:
        for part, number in lacking:
            before = refused.get((part.kind, "")) or refused.get((part.kind, part.symbol))
            if before is None:
                outcome = _fetch_one(raw, source, part, number, now)
            else:
                outcome = type(before)(f"not asked for, since before: {before}")
            if isinstance(outcome, Kept):
                fetched.kept.append(outcome)
            else:
                fetched.failed[part] = outcome
            if before is None and not isinstance(outcome, Kept):
                in_a_row = in_a_row + 1 if isinstance(outcome, TransientError) else 0
                refused.update(_refusal(part, outcome, in_a_row))
            elif before is None:
                in_a_row = 0
            meter.advance(1, part=part.name, failed=len(fetched.failed))


def _refusal(part: Part, error: FingptError, in_a_row: int) -> dict[tuple[Kind, str], FingptError]:
    """What need not be asked for any more after `error`: a kind as a whole (no symbol), or a symbol of a kind."""
    log.warning("part not fetched", part=part.name, kind=str(part.kind), reason=str(error))
    if isinstance(error, PermissionDeniedError) or in_a_row >= _GIVE_UP_AFTER:
        return {(part.kind, ""): error}
    return {(part.kind, part.symbol): error} if isinstance(error, MissingInputError) else {}


def _fetch_one(
    raw: RawStore, source: Source, part: Part, number: int, now: Callable[[], datetime]
) -> Kept | FingptError:
    """Ask for one part and store it whole, or the error that the source answered with."""
    asked = now()
    try:
        answers = list(source.fetch(part.kind, part.symbol, Month.parse(part.month)))
        for answer in answers:
            list(source.read(answer))  # what cannot be read is not kept as if it could
    except _FAILURES as error:
        return error
    return raw.keep(part, answers, asked, number)
