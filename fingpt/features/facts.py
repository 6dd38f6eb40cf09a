"""Everything a prompt says of one symbol at one close, point in time. Pure: the same snapshot gives the same facts.

A record counts when it was available before `as_of` and had happened by then, whatever a source says of it; only the
close of `as_of` itself is known at that very moment, since it is what `as_of` means. Nothing of a profile is taken
that changes from day to day (market capitalisation, number of shares).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from fingpt.features.config import Family, FeatureConfig
from fingpt.features.model import (
    Company,
    Facts,
    Figure,
    Fundamentals,
    NewsItem,
    NoFacts,
    PastWeek,
)
from fingpt.features.news import WeekOfNews, choose_news, headline_of, summary_of
from fingpt.features.prices import Prices, prices
from fingpt.features.readings import HISTORY, readings
from fingpt.features.text import line_start, one_line, price, rounded
from fingpt.sources import calendar
from fingpt.sources.month import months
from fingpt.sources.records import Kind, Record
from fingpt.sources.snapshot import Snapshot

MAX_FIGURES = 40
"""Of each of fundamentals, macro figures and signals; the published prompts have 34 fundamentals on average."""

_HISTORY_DAYS = timedelta(days=HISTORY * 3 // 2)
_SIGNAL_DAYS = timedelta(days=35)
"""A signal that is older says nothing of now."""
_FILING_DAYS, _MACRO_DAYS = timedelta(days=400), timedelta(days=400)


def facts(snapshot: Snapshot, symbol: str, as_of: datetime, config: FeatureConfig) -> Facts:
    """The facts of `symbol` at `as_of`, the close of a session.

    Raises NoFacts, with a reason for counting, where the symbol did not trade in that session or not a whole week
    before; DataError where `as_of` is no close.
    """
    calendar.exchange(config.calendar).closing(as_of)
    ends = week_ends(as_of, config)
    degraded = _degraded(snapshot, symbol, (ends[0], as_of), config.has(Family.MACRO))
    if degraded and not config.allow_degraded:
        part, why = next(iter(degraded.items()))
        raise NoFacts(
            "degraded",
            f"A part of what {symbol} rests on failed or looks wrong ({part}: {why}); mend it, or allow such parts by "
            "`allow_degraded: true` under `features:` in the SOURCES file.",
        )
    seen = _Seen(snapshot, symbol, as_of)
    known = prices(snapshot, symbol, as_of, min(ends[0], as_of - _HISTORY_DAYS))
    weeks = _weeks(known, ends, symbol, config)
    seen.use(known.records)
    chosen = (
        choose_news(
            seen.all(Kind.NEWS, since=weeks[0][0] - timedelta(days=30)),
            [weeks[0][0], *(end for _, end in weeks)],
            config.news_per_week,
            f"{config.seed}/{symbol}",
        )
        if config.has(Family.NEWS)
        else []
    )
    seen.use(record for week in chosen for record in week.chosen)
    company = _company(seen)
    return Facts(
        symbol=symbol,
        as_of=as_of,
        day=calendar.session_of(as_of, config.calendar),
        horizon_days=config.horizon_days,
        horizon_end=calendar.session_of(
            calendar.horizon_end(as_of, config.horizon_days, config.calendar), config.calendar
        ),
        company=company,
        weeks=tuple(
            _past_week(known, span, chosen[place] if chosen else None, config.calendar)
            for place, span in enumerate(weeks)
        ),
        indicators=readings(known.closes) if config.has(Family.INDICATORS) else None,
        fundamentals=_fundamentals(seen) if config.has(Family.FUNDAMENTALS) else None,
        macro=_macro(seen) if config.has(Family.MACRO) else None,
        signals=_signals(seen) if config.has(Family.SIGNALS) else None,
        has_news=config.has(Family.NEWS),
        has_fundamentals=config.has(Family.FUNDAMENTALS),
        available_at_max=min(seen.newest, as_of),
        sources=tuple(sorted(seen.sources)),
        degraded=degraded,
    )


def week_ends(as_of: datetime, config: FeatureConfig) -> list[datetime]:
    """The closes between which the past weeks lie, the oldest first and `as_of` last: the last session of every seventh
    day back, so that weeks join without a gap and a holiday makes one shorter.
    """
    day = calendar.session_of(as_of, config.calendar)
    return [
        calendar.as_of(day - timedelta(weeks=back), config.calendar)
        for back in range(config.weeks, -1, -1)
    ]


class _Seen:
    """The records that are known at `as_of`, and a note of which were used."""

    def __init__(self, snapshot: Snapshot, symbol: str, as_of: datetime) -> None:
        self._snapshot, self.symbol, self.as_of = snapshot, symbol, as_of
        self.newest = datetime.min.replace(tzinfo=as_of.tzinfo)
        self.sources: set[str] = set()

    def all(self, kind: Kind, since: datetime | None = None) -> list[Record]:
        """Known records of the symbol (or of none, of macro figures), by when they happened, then were available."""
        symbol = "" if kind is Kind.MACRO else self.symbol
        found = self._snapshot.records(kind, symbol, before=self.as_of, since=since)
        return [record for record in found if record.event_time < self.as_of]

    def use(self, records: Iterable[Record]) -> None:
        """Note that a prompt rests on `records`."""
        used = list(records)
        self.newest = max([self.newest, *(record.available_at for record in used)])
        self.sources.update({record.source for record in used})


def _weeks(
    known: Prices, ends: Sequence[datetime], symbol: str, config: FeatureConfig
) -> list[tuple[datetime, datetime]]:
    """The whole past weeks for which there are prices at both ends, the oldest first."""
    day = calendar.session_of(ends[-1], config.calendar)
    if not known.moments:
        raise NoFacts("no-prices", f"There are no prices of {symbol} before the close of {day}.")
    if known.close_at(ends[-1]) is None:
        last = calendar.session_of(known.moments[-1], config.calendar)
        raise NoFacts(
            "no-close",
            f"{symbol} has no close of {day}, its last is of {last}; a forecast needs the price it starts from.",
        )
    whole: list[tuple[datetime, datetime]] = []
    for start, end in zip(ends[-2::-1], ends[:0:-1], strict=True):
        before = known.last_at(start)
        if before is None or before[0] <= start - timedelta(days=7):
            break
        whole.insert(0, (start, end))
    if not whole:
        raise NoFacts(
            "short-history",
            f"{symbol} has no price a week before {day}; a prompt needs at least one whole past week.",
        )
    return whole


def _past_week(
    known: Prices, span: tuple[datetime, datetime], news: WeekOfNews | None, name: str
) -> PastWeek:
    start, end = span
    before, after = known.last_at(start), known.last_at(end)
    assert before is not None
    assert after is not None
    return PastWeek(
        start=calendar.session_of(start, name),
        end=calendar.session_of(end, name),
        price_start=float(price(before[1])),
        price_end=float(price(after[1])),
        dividend=rounded(known.paid(start, end)),
        news=tuple(
            NewsItem(
                published_at=record.available_at,
                headline=headline_of(record),
                summary=summary_of(record),
                source=record.source,
            )
            for record in (news.chosen if news else ())
        ),
        found=news.found if news else 0,
        reprints=news.reprints if news else 0,
    )


def _company(seen: _Seen) -> Company | None:
    """The newest profile that was known; only what does not change from week to week."""
    profiles = seen.all(Kind.PROFILE)
    if not profiles:
        return None
    newest = max(profiles, key=lambda record: (record.available_at, record.sha256))
    seen.use([newest])

    def text(name: str) -> str:
        value = newest.payload.get(name)
        return line_start(value) if isinstance(value, str) else ""

    return Company(
        name=text("name") or seen.symbol,
        asset=text("asset"),
        exchange=text("exchange"),
        industry=text("industry"),
        country=text("country"),
    )


def _fundamentals(seen: _Seen) -> Fundamentals | None:
    """Figures of the newest period that had been filed; an amendment replaces what it restates."""
    filings = [
        record
        for record in seen.all(Kind.FUNDAMENTALS, since=seen.as_of - _FILING_DAYS)
        if isinstance(record.payload.get("metrics"), dict)
    ]
    if not filings:
        return None
    period = max(str(record.payload.get("period_end")) for record in filings)
    of_period = sorted(
        (record for record in filings if record.payload.get("period_end") == period),
        key=lambda record: (record.available_at, record.sha256),
    )
    metrics: dict[str, float] = {}
    for record in of_period:
        stated = record.payload["metrics"]
        for name, value in stated.items() if isinstance(stated, dict) else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                metrics[line_start(name) or "unnamed"] = rounded(float(value))
    seen.use(of_period)
    shown = sorted(metrics)[:MAX_FIGURES]
    return Fundamentals(
        period_end=period,
        filed=of_period[-1].available_at.date(),
        form=one_line(str(of_period[-1].payload.get("form")), 20),
        metrics={name: metrics[name] for name in shown},
    )


def _macro(seen: _Seen) -> tuple[Figure, ...]:
    """The newest value of the newest period of each series, as it was then: later revisions are not known yet."""
    newest: dict[str, Record] = {}
    for record in seen.all(Kind.MACRO, since=seen.as_of - _MACRO_DAYS):
        newest[line_start(str(record.payload.get("series"))) or "unnamed"] = record
    return _figures(seen, newest, "period")


def _signals(seen: _Seen) -> tuple[Figure, ...]:
    newest: dict[str, Record] = {}
    for record in seen.all(Kind.SIGNAL, since=seen.as_of - _SIGNAL_DAYS):
        newest[line_start(str(record.payload.get("name"))) or "unnamed"] = record
    return _figures(seen, newest, "")


def _figures(seen: _Seen, newest: dict[str, Record], period: str) -> tuple[Figure, ...]:
    found = []
    for name in sorted(newest)[:MAX_FIGURES]:
        record = newest[name]
        value = record.payload.get("value")
        if isinstance(value, int | float) and not isinstance(value, bool):
            seen.use([record])
            unit, of = record.payload.get("unit"), record.payload.get(period) if period else None
            found.append(
                Figure(
                    name=name,
                    value=rounded(float(value)),
                    unit=one_line(unit, 20) if isinstance(unit, str) else "",
                    period=one_line(of, 20) if isinstance(of, str) else "",
                )
            )
    return tuple(found)


def _degraded(
    snapshot: Snapshot, symbol: str, span: tuple[datetime, datetime], with_macro: bool
) -> dict[str, str]:
    """The parts of the snapshot, by "source/symbol/month", that would have spoken of this symbol in these weeks."""
    spoken = {str(month) for month in months(span[0].date(), span[1].date())}
    concerned = {symbol, "" if with_macro else symbol}
    parts = ((part.split("/"), part, why) for part, why in snapshot.degraded.items())
    return {
        part: why
        for words, part, why in parts
        if words[-1] in spoken and not concerned.isdisjoint(words[1:2])
    }


def kinds_of(config: FeatureConfig) -> frozenset[Kind]:
    """The kinds of records that facts of `config` are made of."""
    by_family = {
        Family.MACRO: Kind.MACRO,
        Family.FUNDAMENTALS: Kind.FUNDAMENTALS,
        Family.NEWS: Kind.NEWS,
        Family.SIGNALS: Kind.SIGNAL,
    }
    chosen = {kind for family, kind in by_family.items() if config.has(family)}
    return frozenset({Kind.PRICE, Kind.ACTION, Kind.PROFILE} | chosen)
