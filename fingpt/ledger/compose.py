"""Book → LedgerPage: who stands how, against whom, and what may be said. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from fingpt.ledger.book import Book, ChainRows, Row, outcomes
from fingpt.ledger.contests import (
    DIRECTION,
    PROBABILITY,
    Windows,
    against_all,
    contest,
    on_same_rows,
    reach,
)
from fingpt.ledger.document import Contest, LedgerPage, Role, RunningPoint, Standing
from fingpt.ledger.figures import (
    Arrays,
    arrays,
    as_forecast_by,
    figures,
    reliability_bins,
)
from fingpt.ledger.headline import headline
from fingpt.ledger.outlook import Outlook, outlook
from fingpt.ledger.records import Status
from fingpt.ledger.tables import week_tables
from fingpt.ledger.trivial import Past, Trivial, trivial_forecasts
from fingpt.ledger.words import words
from fingpt.record import canonical_json, sha256_bytes
from fingpt.sources.calendar import sessions


@dataclass(frozen=True)
class _Side:
    """A chain with the title that the page gives it, its rows that count, and the trivial forecasts of these rows."""

    title: str
    chain: ChainRows
    own: Arrays
    trivial: tuple[Trivial, ...]


def compose(book: Book, now: datetime, notice: str = "") -> LedgerPage:
    """The page on a ledger as it stands; it gets its id here."""
    past = Past(list(outcomes(book.chains).values()))
    windows = _windows(book)
    sides = [_side(book, chain, past) for chain in book.chains]
    contests = tuple(_against_trivial(sides, windows)) + tuple(_against_champion(sides, windows))
    trivial = {each.title for side in sides for each in side.trivial}
    beaten = {
        side.title: found
        for side in sides
        if (
            found := against_all(
                [c for c in contests if c.model == side.title and c.rival in trivial]
            )
        )
    }
    standings = _standings(book, sides, windows)
    ahead = _outlook(book, sides)
    page = LedgerPage(
        made_at=now.isoformat(timespec="seconds"),
        notice=notice,
        name=book.genesis.name,
        genesis_sha256=sha256_bytes(book.genesis.encode()),
        title=f"Ledger “{book.genesis.name}”: what was forecast, and what happened",
        began_at=book.genesis.created_at.isoformat(),
        horizon_days=book.genesis.horizon_days,
        universe=book.universe,
        headline=headline(standings, contests, beaten, ahead),
        weeks=week_tables(book, [side.title for side in sides]),
        standings=standings,
        contests=contests,
        against_all=beaten,
        running=_running(sides),
        reliability={
            side.title: bins
            for side in sides
            if (bins := reliability_bins(side.own, reach(windows)))
        },
        outlook=ahead,
        newest_scores=dict(book.newest_scores),
        method=words().method,
        disclaimer=words().disclaimer,
    )
    content = canonical_json(page.model_copy(update={"made_at": ""}))
    return page.model_copy(update={"id": sha256_bytes(content)[:16]})


def _windows(book: Book) -> Windows:
    """Week → its window; where runs differ, from the earliest close to the latest."""
    found: dict[str, tuple[datetime, datetime]] = {}
    for chain in book.chains:
        for row in chain.rows:
            start, end = found.get(row.week, (row.as_of, row.horizon_end))
            found[row.week] = min(start, row.as_of), max(end, row.horizon_end)
    return found


def _side(book: Book, chain: ChainRows, past: Past) -> _Side:
    runs = Counter(one.run for one in book.chains)
    title = (
        chain.run if runs[chain.run] == 1 else f"{chain.run} (adapter {chain.adapter_sha256[:8]})"
    )
    rows = chain.counted
    return _Side(title, chain, arrays(rows), trivial_forecasts(rows, past))


def _against_trivial(sides: Sequence[_Side], windows: Windows) -> list[Contest]:
    found = []
    for side in sides:
        for rival in side.trivial:
            measure = DIRECTION if rival.probabilities is None else PROBABILITY
            other = as_forecast_by(side.own, rival)
            found.append(contest((side.title, rival.title), side.own, other, measure, windows))
    return [one for one in found if one]


def _against_champion(sides: Sequence[_Side], windows: Windows) -> list[Contest]:
    """Each challenger against the champion and the other way round: either may be the one that is ahead."""
    found = []
    for side in sides[1:]:
        champion, challenger = on_same_rows(sides[0].own, side.own)
        for one, two, titles in (
            (challenger, champion, (side.title, sides[0].title)),
            (champion, challenger, (sides[0].title, side.title)),
        ):
            found.append(contest(titles, one, two, PROBABILITY, windows))
    return [one for one in found if one]


def _standings(book: Book, sides: Sequence[_Side], windows: Windows) -> tuple[Standing, ...]:
    found = []
    for side in sides:
        first = side.chain.run == book.genesis.runs[0] and side is sides[0]
        found.append(
            Standing(
                title=side.title,
                role=Role.CHAMPION if first else Role.CHALLENGER,
                run=side.chain.run,
                model=side.chain.model,
                adapter_sha256=side.chain.adapter_sha256,
                verdict=side.chain.verdict,
                entries=side.chain.entries,
                head=side.chain.head,
                forecasts=len(side.chain.rows),
                left_out=_left_out(side.chain.rows),
                missed=missed(side.chain, book.genesis.horizon_days),
                figures=figures(side.own, reach(windows)),
            )
        )
    if sides:
        for rival in sides[0].trivial:
            other = as_forecast_by(sides[0].own, rival)
            scored = figures(other, reach(windows))
            found.append(
                Standing(title=rival.title, role=Role.TRIVIAL, forecasts=other.n, figures=scored)
            )
    return tuple(found)


def _left_out(rows: Sequence[Row]) -> dict[str, int]:
    """Why rows are in no figure → how many; the commonest first."""
    reasons = Counter(row.excluded or str(row.outcome.status) for row in rows if not row.counts)
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def missed(chain: ChainRows, days: int) -> tuple[str, ...]:
    """The last sessions of the calendar weeks without a forecast, between a chain's first and its last one.

    A horizon of `days` that spans several weeks leaves out the weeks that it spans.
    """
    held = sorted(date.fromisoformat(week) for week in {row.week for row in chain.rows})
    if not held:
        return ()
    weeks = {day.isocalendar()[:2]: day for day in sessions(held[0], held[-1])}
    there = {day.isocalendar()[:2] for day in held}
    spanned, gap = max(1, round(days / 7)), 0
    found: list[str] = []
    for week, close in weeks.items():
        gap = 0 if week in there else gap + 1
        found += [close.isoformat()] if gap and not gap % spanned else []
    return tuple(found)


def _running(sides: Sequence[_Side]) -> tuple[RunningPoint, ...]:
    """Shares of right directions so far, week by week; trivial forecasts on the champion's rows."""
    forecasters: dict[str, Arrays] = {side.title: side.own for side in sides}
    for rival in sides[0].trivial if sides else ():
        forecasters[rival.title] = as_forecast_by(sides[0].own, rival)
    return tuple(point for title, own in forecasters.items() for point in _cumulative(title, own))


def _cumulative(title: str, own: Arrays) -> list[RunningPoint]:
    weeks, code = np.unique(np.asarray(own.week, dtype=str), return_inverse=True)
    right = np.bincount(code, weights=own.right, minlength=len(weeks)).cumsum()
    count = np.bincount(code, minlength=len(weeks)).cumsum()
    return [
        RunningPoint(forecaster=title, week=str(week), accuracy=float(r / n), n=int(n))
        for week, r, n in zip(weeks, right, count, strict=True)
    ]


def _outlook(book: Book, sides: Sequence[_Side]) -> Outlook | None:
    """Of the champion against the trivial direction that is hardest to beat so far; None before the first entry."""
    if not sides or not book.weeks:
        return None
    own = sides[0].own
    if not own.n:
        per_week: Mapping[str, int] = Counter(
            row.week for row in sides[0].chain.rows if not row.excluded
        )
        usual = float(np.median(list(per_week.values()))) if per_week else 0.0
        return outlook(book.weeks[0], usual, None, None) if usual else None
    rivals = [as_forecast_by(own, rival) for rival in sides[0].trivial]
    hardest = max(rivals, key=lambda rival: float(rival.right.mean()))
    usual = float(np.median(list(Counter(own.week).values())))
    return outlook(own.week[0], usual, own, hardest)


def waiting(book: Book) -> int:
    """How many forecasts have no outcome yet and would count."""
    return sum(
        not row.excluded and row.outcome.status is Status.WAITING
        for chain in book.chains
        for row in chain.rows
    )
