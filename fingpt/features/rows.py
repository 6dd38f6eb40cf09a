"""Rows of a data set: one symbol, one week, one question with its answer and its outcome. Pure.

A row is made for the last session of each calendar week whose forecast week lies within the days asked for as a whole.
What gives no row is yielded with its reason, for counting. Rows come in the order of week and symbol, which knows no
outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from itertools import islice

from fingpt.errors import DataError
from fingpt.features.config import FeatureConfig
from fingpt.features.facts import facts
from fingpt.features.label import Change, Outcome, change_of, compared, label_of
from fingpt.features.model import Facts, NoFacts
from fingpt.features.question import prompt
from fingpt.record import canonical_json, sha256_bytes
from fingpt.sources import calendar
from fingpt.sources.snapshot import Snapshot
from fingpt.storage.tape import Pickles

_FRIDAY = 4
_AT_ONCE = 64  # rows whose facts are in memory, and whose answers are asked for side by side


@dataclass(frozen=True, slots=True)
class Row:
    """One row; the first five columns are the published ones.

    `as_of` and `available_at_max` are UTC, ISO 8601; `facts` is canonical JSON. Returns are fractions; `excess_return`
    is over the mean of the universe or the benchmark. `row_sha256` hashes all other columns.
    """

    prompt: str
    answer: str
    period: str
    label: str
    symbol: str
    as_of: str
    horizon_days: int
    facts: str
    realised_return: float
    excess_return: float | None
    available_at_max: str
    sources: tuple[str, ...]
    row_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A symbol and week without a row: why, in a word for counting and in a sentence."""

    symbol: str
    day: date
    reason: str
    detail: str


class Rejected(Exception):
    """Raised by an Answer that has none for this row; the text is the reason, a short phrase for counting."""


Answer = Callable[[Facts, str], str]
"""(facts, label) → the answer, with the label's own prediction line; raises Rejected."""


def week_closes(first: date, last: date, config: FeatureConfig) -> list[datetime]:
    """The closes at which forecasts are made: the last session of each week whose horizon ends on `last` or before."""
    day = first + timedelta(days=(_FRIDAY - first.weekday()) % 7)
    found = []
    while day <= last:
        close = calendar.as_of(day, config.calendar)
        end = calendar.horizon_end(close, config.horizon_days, config.calendar)
        session = calendar.session_of(close, config.calendar)
        if session >= first and calendar.session_of(end, config.calendar) <= last:
            found.append(close)
        day += timedelta(weeks=1)
    return found


def rows_of(
    snapshot: Snapshot,
    symbols: Sequence[str],
    weeks: Sequence[datetime],
    config: FeatureConfig,
    answer: Answer,
    advance: Callable[[], None] = lambda: None,
) -> Iterator[Row | Left]:
    """The rows of the weeks that begin at these closes, and what gives none, in the order of week and symbol.

    Each symbol's records are read once, for all weeks, and dropped; what is known of its weeks waits in a temporary
    file until the others' is. `advance` is called for each symbol and week that is known.
    """
    universe = [config.benchmark] if config.benchmark else symbols
    everybody = list(dict.fromkeys([*symbols, *universe]))
    ends = [calendar.horizon_end(each, config.horizon_days, config.calendar) for each in weeks]
    threads = config.answers.parallel if config.answers.mode == "teacher" else 1
    kept = Pickles[tuple[Change, Row | Left | None]]()
    stream = _known(
        snapshot, everybody, frozenset(symbols), list(zip(weeks, ends, strict=True)), config
    )
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(stream, _AT_ONCE)):
            asked = [
                pool.submit(answer, known, label_of(change.value))
                if isinstance(known, Facts) and change.value is not None
                else None
                for change, known in some
            ]
            for (change, known), said in zip(some, asked, strict=True):
                if said is None or not isinstance(known, Facts):
                    kept.append((change, known if isinstance(known, Left) else None))
                else:
                    kept.append((change, _row(known, change, config, said)))
                if known is not None:
                    advance()
    for place, week in enumerate(weeks):
        told = [kept[place + number * len(weeks)] for number in range(len(everybody))]
        became = {symbol: change for symbol, (change, _) in zip(everybody, told, strict=True)}
        found = compared(became, symbols, universe)
        for symbol, (_, row) in zip(everybody, told, strict=True):
            if symbol in found:
                yield _judged(symbol, week, row, found[symbol], config)


def _known(
    snapshot: Snapshot,
    everybody: Sequence[str],
    asked: Set[str],
    weeks: Sequence[tuple[datetime, datetime]],
    config: FeatureConfig,
) -> Iterator[tuple[Change, Facts | Left | None]]:
    """What became of each symbol in each week, and the facts of those `asked` for, or why there are none."""
    for symbol in everybody:
        for as_of, end in weeks:
            change = change_of(snapshot, symbol, as_of, end)
            yield change, _facts(snapshot, symbol, as_of, config) if symbol in asked else None
        snapshot.forget(symbol)


def _facts(snapshot: Snapshot, symbol: str, as_of: datetime, config: FeatureConfig) -> Facts | Left:
    try:
        known = facts(snapshot, symbol, as_of, config)
    except NoFacts as lack:
        return Left(symbol, calendar.session_of(as_of, config.calendar), lack.reason, str(lack))
    if known.available_at_max > known.as_of:
        raise DataError(
            f"A prompt of {known.symbol} for {known.day} rests on something that was known at "
            f"{known.available_at_max} only; this is a fault of the features, please report it."
        )
    return known


def _row(known: Facts, change: Change, config: FeatureConfig, said: Future[str]) -> Row | Left:
    """The row but for what needs other symbols: its excess return, and with it its hash."""
    try:
        answer = said.result()
    except Rejected as refusal:
        detail = f"the answer was rejected ({refusal})"
        return Left(known.symbol, known.day, f"answer: {refusal}", detail)
    assert change.value is not None
    return Row(
        prompt=prompt(known),
        answer=answer,
        period=known.period,
        label=label_of(change.value),
        symbol=known.symbol,
        as_of=known.as_of.isoformat(),
        horizon_days=config.horizon_days,
        facts=canonical_json(known).decode(),
        realised_return=float(change.value),
        excess_return=None,
        available_at_max=known.available_at_max.isoformat(),
        sources=known.sources,
    )


def _judged(
    symbol: str, as_of: datetime, row: Row | Left | None, outcome: Outcome, config: FeatureConfig
) -> Row | Left:
    if row is None:
        day, status = calendar.session_of(as_of, config.calendar), outcome.status
        return Left(symbol, day, f"outcome: {status}", f"the price at the end is {status}")
    if isinstance(row, Left):
        return row
    return hashed(replace(row, excess_return=outcome.excess_return))


def hashed(row: Row) -> Row:
    """`row` with its hash."""
    values = {name: getattr(row, name) for name in COLUMNS if name != "row_sha256"}
    return replace(row, row_sha256=sha256_bytes(canonical_json(values)))


COLUMNS = tuple(field.name for field in fields(Row))
"""In the order of the file."""
