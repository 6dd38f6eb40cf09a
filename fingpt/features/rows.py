"""Rows of a data set: one symbol, one week, one question with its answer and its outcome. Pure.

A row is made for the last session of each calendar week whose forecast week lies within the days asked for as a whole.
What gives no row is yielded with its reason, for counting. Rows come in the order of week and symbol, which knows no
outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta

from fingpt.errors import DataError
from fingpt.features.config import FeatureConfig
from fingpt.features.facts import facts
from fingpt.features.label import Outcome, outcomes
from fingpt.features.model import Facts, NoFacts
from fingpt.features.question import prompt
from fingpt.record import canonical_json, sha256_bytes
from fingpt.sources import calendar
from fingpt.sources.snapshot import Snapshot

_FRIDAY = 4


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


def week_rows(
    snapshot: Snapshot,
    symbols: Sequence[str],
    as_of: datetime,
    config: FeatureConfig,
    answer: Answer,
) -> Iterator[Row | Left]:
    """The rows of one week, and what gives none."""
    end = calendar.horizon_end(as_of, config.horizon_days, config.calendar)
    universe = [config.benchmark] if config.benchmark else symbols
    became = outcomes(snapshot, symbols, as_of, end, universe)
    threads = config.answers.parallel if config.answers.mode == "teacher" else 1
    known = [_known(snapshot, symbol, as_of, config, became[symbol]) for symbol in symbols]
    with ThreadPoolExecutor(threads) as pool:
        asked = [
            None
            if isinstance(one, Left)
            else pool.submit(answer, one, label_in(became[one.symbol]))
            for one in known
        ]
        for one, said in zip(known, asked, strict=True):
            if isinstance(one, Left):
                yield one
            elif said is not None:
                yield _row(one, became[one.symbol], config, said)


def _known(
    snapshot: Snapshot, symbol: str, as_of: datetime, config: FeatureConfig, outcome: Outcome
) -> Facts | Left:
    """The facts of a row that has an outcome, or why there is no row."""
    day = calendar.session_of(as_of, config.calendar)
    try:
        known = facts(snapshot, symbol, as_of, config)
    except NoFacts as lack:
        return Left(symbol, day, lack.reason, str(lack))
    if outcome.status != "ok":
        detail = f"the price at the end is {outcome.status}"
        return Left(symbol, day, f"outcome: {outcome.status}", detail)
    if known.available_at_max > known.as_of:
        raise DataError(
            f"A prompt of {known.symbol} for {known.day} rests on something that was known at "
            f"{known.available_at_max} only; this is a fault of the features, please report it."
        )
    return known


def label_in(outcome: Outcome) -> str:
    """The label of an outcome that has one."""
    assert outcome.label is not None
    return outcome.label


def _row(known: Facts, outcome: Outcome, config: FeatureConfig, said: Future[str]) -> Row | Left:
    try:
        answer = said.result()
    except Rejected as refusal:
        detail = f"the answer was rejected ({refusal})"
        return Left(known.symbol, known.day, f"answer: {refusal}", detail)
    assert outcome.realised_return is not None
    row = Row(
        prompt=prompt(known),
        answer=answer,
        period=known.period,
        label=label_in(outcome),
        symbol=known.symbol,
        as_of=known.as_of.isoformat(),
        horizon_days=config.horizon_days,
        facts=canonical_json(known).decode(),
        realised_return=outcome.realised_return,
        excess_return=outcome.excess_return,
        available_at_max=known.available_at_max.isoformat(),
        sources=known.sources,
    )
    return hashed(row)


def hashed(row: Row) -> Row:
    """`row` with its hash."""
    values = {name: getattr(row, name) for name in COLUMNS if name != "row_sha256"}
    return replace(row, row_sha256=sha256_bytes(canonical_json(values)))


COLUMNS = tuple(field.name for field in fields(Row))
"""In the order of the file."""
