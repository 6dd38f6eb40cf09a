"""The US Bureau of Labor Statistics: consumer prices and unemployment. Works without a key (v1), or with one (v2).

POST /publicAPI/v<n>/timeseries/data/ with series and years answers whole years, newest first, without pages. Refusals
come as 200 with a status of their own. It does not tell when a figure was published, so each series has a lag after
its period that covers the latest publication known, the government's shutdown of 2025 included; a figure that we
have seen was public when we saw it. Series that are revised later count from when they were retrieved, because what it
answers today was not known then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from fingpt.errors import (
    DataError,
    FingptError,
    PermissionDeniedError,
    TransientError,
)
from fingpt.record import Frozen
from fingpt.sources.live.answers import Shape, in_month, kept, parse, record, where
from fingpt.sources.live.client import Client, Reply, Service
from fingpt.sources.live.failures import JSON, excerpt
from fingpt.sources.live.keys import find_key, variable_of
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

_BLOCK_YEARS = 10


class BlsSeries(Frozen):
    """`unit`: for people. `lag_days`: from the end of a period until its figure is public for certain; None for a
    series that is revised after it was published.
    """

    unit: str
    lag_days: Annotated[int, Field(ge=1, le=400)] | None


_SERIES = {
    "CUUR0000SA0": BlsSeries(unit="index, 1982-84 = 100", lag_days=31),
    "LNU04000000": BlsSeries(unit="percent", lag_days=52),
}


class BlsSettings(Frozen):
    """`series`: by their ids; of the defaults neither is revised: they are not seasonally adjusted."""

    address: str = "https://api.bls.gov"
    series: Annotated[
        dict[str, BlsSeries], Field(min_length=1, max_length=25, default_factory=lambda: _SERIES)
    ]


class _Figure(Shape):
    year: Annotated[str, Field(pattern=r"^\d{4}$")]
    period: Annotated[str, Field(pattern=r"^[MQSA]\d\d$")]
    value: str


class _Series(Shape):
    seriesID: str  # noqa: N815 (the service's name for it)
    data: list[_Figure]


class _Results(Shape):
    series: list[_Series]


class _Body(Shape):
    status: Literal["REQUEST_SUCCEEDED"]
    Results: _Results


class _Period(NamedTuple):
    name: str
    end: datetime


_BODY = TypeAdapter(_Body)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Bls:
    """Macro figures by the end of their period."""

    name = "bls"
    policy = UsagePolicy.allowing(
        *Use, terms="BLS figures are works of the US government, in the public domain"
    )

    def __init__(self, settings: BlsSettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._client: Client | None = None
        self._version = 1
        self._block: tuple[int, Reply] | None = None

    def capabilities(self) -> Capabilities:
        """The series of the settings; of no symbol."""
        return Capabilities(kinds=frozenset({Kind.MACRO}), symbols=frozenset({""}), rate=1.0)

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer, with the ten years that the month lies in: 25 calls a day are few."""
        first = month.year - month.year % _BLOCK_YEARS
        if self._block is None or self._block[0] != first:
            client = self._asking()
            end = min(first + _BLOCK_YEARS - 1, self._clock.now().year)
            wanted = {
                "seriesid": sorted(self._settings.series),
                "startyear": str(first),
                "endyear": str(end),
            }
            path = f"/publicAPI/v{self._version}/timeseries/data/"
            reply = client.post(path, json.dumps(wanted).encode(), JSON)
            self._block = first, reply
        answer = kept(self, kind, symbol, month, self._block[1])
        self._check_known(answer)
        yield answer

    def read(self, answer: Answer) -> Iterator[Record]:
        """The figures whose period ends with the answer's month."""
        yield from in_month(self._records(answer), answer.month)

    def _records(self, answer: Answer) -> Iterator[Record]:
        for series in parse(_BODY, answer.body, where(answer)).Results.series:
            about = self._settings.series.get(series.seriesID)
            if about is None:
                continue
            for figure in series.data:
                period = _period(figure)
                # "-" is a figure that was never made, such as those of October 2025.
                if period is None or figure.value.strip() in ("", "-"):
                    continue
                text = figure.value.replace(",", "")
                if not _NUMBER.fullmatch(text):
                    raise DataError(
                        f"{where(answer)} has '{excerpt(figure.value)}' as {series.seriesID} of {period.name}, where a "
                        "number is expected; leave the series out."
                    )
                seen = answer.retrieved_at
                sure = period.end + timedelta(days=about.lag_days) if about.lag_days else seen
                payload: dict[str, object] = {
                    "series": series.seriesID,
                    "value": float(text),
                    "unit": about.unit,
                    "period": period.name,
                }
                yield record(answer, period.end - timedelta(seconds=1), min(sure, seen), payload)

    def _check_known(self, answer: Answer) -> None:
        """DataError for a series of which there is nothing at all in ten years: it is misspelt or ended."""
        found = parse(_BODY, answer.body, where(answer)).Results.series
        empty = set(self._settings.series) - {each.seriesID for each in found if each.data}
        if empty:
            raise DataError(
                f"BLS has no figure of {', '.join(sorted(empty))} in the years around {answer.month}; the id is "
                "misspelt, or the series has ended: correct it in the settings of bls, or take it out."
            )

    def _asking(self) -> Client:
        if self._client is None:
            key = find_key("bls", "json", "registrationkey")
            self._version = 2 if key else 1
            service = Service(
                "BLS", self._settings.address, (Limit(10, 10),), key, explain=_explain
            )
            self._client = Client(service, self._clock)
        return self._client


def _explain(status: int, text: str) -> FingptError | None:
    """What it says by its own status in a 200: quota, key, or a request that it does not take."""
    if status != 200 or '"status"' not in text or '"REQUEST_SUCCEEDED"' in text:
        return None
    said = excerpt(text)
    if "threshold" in text or "exceeded" in text or "OVER_CAPACITY" in text:
        return TransientError(
            f"BLS takes no more requests today ('{said}'); 25 a day go without a key, 500 with one in "
            f"{variable_of('bls')}. Tomorrow the same command goes on from here."
        )
    if "key" in text and "invalid" in text:
        return PermissionDeniedError(
            f"BLS refuses the key ('{said}'); put a valid one into {variable_of('bls')}, or into the Secret or file "
            f"that {variable_of('bls')}_FILE names, or unset it: 25 requests a day go without."
        )
    return DataError(f"BLS does not take the request ('{said}'); check the settings of bls.")


def _period(figure: _Figure) -> _Period | None:
    """The period of a figure; None for averages (M13, Q05, S03), which stand beside what they are made of."""
    letter, number = figure.period[0], int(figure.period[1:])
    months_each = {"M": 1, "Q": 3, "S": 6, "A": 12}[letter]
    if not 1 <= number <= 12 // months_each:
        return None
    month = Month.of(date(int(figure.year), number * months_each, 1))
    name = {"M": str(month), "A": figure.year}.get(letter, f"{figure.year}-{figure.period}")
    return _Period(name, month.end)
