"""The US Treasury: daily par yields. Needs no key.

GET …/interest-rates/pages/xml answers one month (field_tdr_date_value_month) as Atom entries with OData properties, all
on one page. The rates of a day are published by 18:00 in New York, after the exchange's close. The same table is there
as CSV, a year at once: its days are month/day/year and its columns' names have changed, so it is not asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from typing import Annotated, NamedTuple
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

from pydantic import Field

from fingpt.errors import DataError
from fingpt.record import Frozen
from fingpt.sources.live.answers import (
    STALE_SESSIONS,
    kept,
    record,
    sessions_since,
    wanted_sessions,
    where,
)
from fingpt.sources.live.client import Client, Service
from fingpt.sources.live.failures import XML
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

_PATH = "/resource-center/data-chart-center/interest-rates/pages/xml"
_DATA = "{http://schemas.microsoft.com/ado/2007/08/dataservices}"
_META = "{http://schemas.microsoft.com/ado/2007/08/dataservices/metadata}"
_NEW_YORK, _PUBLISHED = ZoneInfo("America/New_York"), time(18)


class TreasurySettings(Frozen):
    """`rates`: which maturities, as the Treasury names them (BC_1MONTH … BC_30YEAR)."""

    address: str = "https://home.treasury.gov"
    rates: Annotated[
        tuple[Annotated[str, Field(pattern=r"^BC_[0-9_]+(MONTH|YEAR)$")], ...], Field(min_length=1)
    ] = ("BC_3MONTH", "BC_2YEAR", "BC_10YEAR")


class _Rates(NamedTuple):
    day: date
    percent: dict[str, float]


class Treasury:
    """Yields in percent, of each business day."""

    name = "treasury"
    policy = UsagePolicy.allowing(
        *Use, terms="rates of the US Treasury are works of the US government, in the public domain"
    )

    def __init__(self, settings: TreasurySettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._client: Client | None = None

    def capabilities(self) -> Capabilities:
        """Rates since 1990; of no symbol."""
        return Capabilities(
            kinds=frozenset({Kind.MACRO}),
            symbols=frozenset({""}),
            earliest=date(1990, 1, 2),
            rate=2.0,
        )

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer with the month's days; DataError for a month without any, or one that stops too early."""
        if self._client is None:
            service = Service("Treasury", self._settings.address, (Limit(20, 10),))
            self._client = Client(service, self._clock)
        wanted = {
            "data": "daily_treasury_yield_curve",
            "field_tdr_date_value_month": f"{month.year}{month.number:02d}",
        }
        answer = kept(self, kind, symbol, month, self._client.get(_PATH, wanted, XML))
        self._check_newest(answer)
        yield answer

    def read(self, answer: Answer) -> Iterator[Record]:
        """The chosen rates of each day, known from 18:00 in New York on."""
        for day, percent in self._days(answer):
            moment = datetime.combine(day, _PUBLISHED, _NEW_YORK).astimezone(UTC)
            for series, value in percent.items():
                payload: dict[str, object] = {
                    "series": series,
                    "value": value,
                    "unit": "percent",
                    "period": day.isoformat(),
                }
                yield record(answer, moment, moment, payload)

    def _days(self, answer: Answer) -> list[_Rates]:
        days = [self._rates(answer, each) for each in _root(answer).iter(f"{_META}properties")]
        if len({each.day for each in days}) < len(days):
            raise DataError(
                f"{where(answer)} has a day twice; leave treasury out until it is clear which is right."
            )
        return sorted(days)

    def _rates(self, answer: Answer, entry: ElementTree.Element) -> _Rates:
        try:
            day = date.fromisoformat((entry.findtext(f"{_DATA}NEW_DATE") or "")[:10])
            texts = {name: entry.findtext(f"{_DATA}{name}") or "" for name in self._settings.rates}
            # A maturity that was not issued then is there, and empty.
            percent = {name: float(text) for name, text in texts.items() if text.strip()}
        except ValueError:
            percent, day = {"": math.nan}, answer.month.first
        if (
            not all(math.isfinite(value) for value in percent.values())
            or Month.of(day) != answer.month
        ):
            raise DataError(
                f"{where(answer)} has an entry whose NEW_DATE or rates are not as documented, or of another month; the "
                "service may have changed: look at what it answers, or leave treasury out."
            )
        return _Rates(day, percent)

    def _check_newest(self, answer: Answer) -> None:
        """DataError when the last rates are too old for the month; bond holidays are not the exchange's."""
        now, days = self._clock.now(), self._days(answer)
        wanted = wanted_sessions(answer.month, now)
        last = days[-1].day if days else None
        late = sum(1 for day in wanted if last is None or day > last)
        if late > STALE_SESSIONS or (
            wanted and not days and sessions_since(wanted[0], now) > STALE_SESSIONS
        ):
            raise DataError(
                f"Treasury's last rates in {answer.month} are of {last or 'no day'}, {late} sessions before the last "
                "one; the service lags, or has changed: ask again later, or leave treasury out."
            )


def _root(answer: Answer) -> ElementTree.Element:
    """The document; DataError for what is no XML, and for one that declares entities, which may grow without end."""
    text = answer.body.decode("utf-8", "replace")
    try:
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ElementTree.ParseError("it declares a document type")
        return ElementTree.fromstring(text)  # noqa: S314 (no declarations, so no entities)
    except ElementTree.ParseError as fault:
        raise DataError(
            f"{where(answer)} is no XML of rates ({fault}); the service may have changed: leave treasury out."
        ) from None
