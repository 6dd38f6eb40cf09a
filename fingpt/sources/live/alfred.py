"""ALFRED, the vintages of FRED: what a figure was before it was revised. Needs a key, and its terms accepted.

GET /fred/series/observations with realtime_start and realtime_end answers each observation once for every value that it
had in that time, with the days on which the value held, in pages (limit, offset, count). Its key goes into the query,
and nowhere else. A value is known from the day after its vintage: vintages have a date and no hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter

from fingpt import log
from fingpt.errors import DataError, FingptError, PermissionDeniedError
from fingpt.record import Frozen
from fingpt.sources.live.answers import Shape, kept, parse, record, where
from fingpt.sources.live.client import Client, Service
from fingpt.sources.live.failures import JSON, excerpt
from fingpt.sources.live.keys import require_key, variable_of
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

_NEW_YORK = ZoneInfo("America/New_York")
_PAGE_ROWS = 10_000

TERMS = (
    "FRED's API terms bar storing and archiving its data, and developing or training machine-learning models with it, "
    "without permission; read them before you use this source"
)


_SERIES = {
    "CPIAUCSL": "index, 1982-84 = 100, seasonally adjusted",
    "UNRATE": "percent, seasonally adjusted",
    "PAYEMS": "thousands of persons, seasonally adjusted",
}


class AlfredSettings(Frozen):
    """`accept_terms`: you have read the terms, and what you do is allowed to you. `series`: id -> unit, for people.
    `months_back`: how many months before the month of a vintage its observations may begin.
    """

    accept_terms: Literal[True]
    address: str = "https://api.stlouisfed.org"
    series: Annotated[dict[str, str], Field(min_length=1, default_factory=lambda: _SERIES)]
    months_back: Annotated[int, Field(ge=1, le=600)] = 15


class _Observation(Shape):
    realtime_start: date
    realtime_end: date
    date: date
    value: str


class _Page(Shape):
    count: int
    offset: int
    limit: int
    observations: list[_Observation]


_PAGE = TypeAdapter(_Page)


class Alfred:
    """Macro figures as they were known on each day."""

    name = "alfred"
    policy = UsagePolicy.allowing(
        Use.RESEARCH,
        Use.PRIVATE_DISPLAY,
        prohibited=(
            Use.LOCAL_CACHE,
            Use.PERSISTENT_STORAGE,
            Use.REDISTRIBUTION,
            Use.MODEL_PROCESSING,
        ),
        terms=TERMS,
    )

    def __init__(self, settings: AlfredSettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._client: Client | None = None

    def capabilities(self) -> Capabilities:
        """The series of the settings; of no symbol."""
        return Capabilities(
            kinds=frozenset({Kind.MACRO}), symbols=frozenset({""}), needs_key=True, rate=2.0
        )

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """Every page of every series: the values that held in the month."""
        last = min(month.last, self._clock.now().astimezone(_NEW_YORK).date())
        if last < month.first:
            return
        for series in sorted(self._settings.series):
            offset, total = 0, 1
            while offset < total:
                wanted = {
                    "series_id": series,
                    "file_type": "json",
                    "realtime_start": month.first.isoformat(),
                    "realtime_end": last.isoformat(),
                    "observation_start": _months_before(
                        month, self._settings.months_back
                    ).isoformat(),
                    "limit": str(_PAGE_ROWS),
                    "offset": str(offset),
                }
                reply = self._asking().get("/fred/series/observations", wanted, JSON)
                answer = kept(self, kind, symbol, month, reply)
                page = parse(_PAGE, answer.body, where(answer))
                if page.offset != offset or (not page.observations and page.count > offset):
                    raise DataError(
                        f"{where(answer)} is not the page that was asked for ({page.offset} of {page.count}); ask "
                        "again, or leave alfred out."
                    )
                yield answer
                offset, total = offset + len(page.observations), page.count

    def read(self, answer: Answer) -> Iterator[Record]:
        """Each value from the day after it was first known in that month."""
        series = _series_of(answer)
        for seen in parse(_PAGE, answer.body, where(answer)).observations:
            if seen.value.strip() == ".":  # FRED's word for none
                continue
            payload: dict[str, object] = {
                "series": series,
                "value": _number(seen.value, answer),
                "unit": self._settings.series.get(series, ""),
                "period": seen.date.isoformat(),
            }
            known = _midnight(max(seen.realtime_start, answer.month.first) + timedelta(days=1))
            yield record(answer, min(_midnight(seen.date), known), known, payload)

    def _asking(self) -> Client:
        if self._client is None:
            log.warning("source.terms", source=self.name, terms=TERMS)
            key = require_key("alfred", "query", "api_key")
            limits = (Limit(100, 60),)
            service = Service("ALFRED", self._settings.address, limits, key, explain=_explain)
            self._client = Client(service, self._clock)
        return self._client


def _explain(status: int, text: str) -> FingptError | None:
    """Its 400, which stands for a wrong key as well as for a series that does not exist."""
    if status != 400:
        return None
    if "api_key" in text:
        return PermissionDeniedError(
            f"ALFRED refuses the key ('{excerpt(text)}'); put a valid one into {variable_of('alfred')}, or into the "
            f"Secret or file that {variable_of('alfred')}_FILE names."
        )
    if "does not exist" in text:
        return DataError(
            f"ALFRED has no such series, or none at that time ('{excerpt(text)}'); correct the settings of alfred."
        )
    return None


def _series_of(answer: Answer) -> str:
    """The answers do not name their series; the request does."""
    name = answer.request.partition("series_id=")[2].partition("&")[0]
    if not name:
        raise DataError(f"{where(answer)} belongs to no series; the raw store is damaged.")
    return name


def _number(text: str, answer: Answer) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{where(answer)} has '{excerpt(text)}' where a number is expected; leave the series out."
        )
    return value


def _months_before(month: Month, count: int) -> date:
    index = month.year * 12 + month.number - 1 - count
    return date(index // 12, index % 12 + 1, 1)


def _midnight(day: date) -> datetime:
    """The beginning of a day in New York, UTC."""
    return datetime.combine(day, time(), _NEW_YORK).astimezone(UTC)
