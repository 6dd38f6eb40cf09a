"""Any dated number of a symbol, from any endpoint that answers JSON or CSV: sentiment, short interest, web traffic, …

The settings say where a row's day and value stand; nothing else is guessed. A row whose day has no hour can be acted on
from the next session's opening, unless the settings name a field that says when it was published.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field

from fingpt.errors import DataError
from fingpt.reading import RECORD_BYTES, Unreadable, parse_json
from fingpt.record import Frozen
from fingpt.sources import calendar
from fingpt.sources.live.answers import kept, record, where
from fingpt.sources.live.client import Client, Service
from fingpt.sources.live.failures import CSV, LOOSE_JSON, excerpt
from fingpt.sources.live.keys import require_key
from fingpt.sources.live.rate_limit import Clock, Limit, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record


class SignalsSettings(Frozen):
    """One endpoint. In `path` and `parameters`, {symbol}, {from} and {to} (the month's days) are filled in.

    `signal`: what the number is called in a prompt. `rows`: names that lead to the list of rows in JSON, with dots
    between; empty where the answer is the list itself. `day`, `value`: fields of a row; `available`: one that says when
    it was published. `lag_hours` are added to a time that the row states. `key_header`: where FINGPT_SIGNALS_KEY goes,
    after `key_prefix`. `calls_per_minute`: how fast the service may be asked. `terms`: what allows you to use it.
    """

    signal: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_ -]{0,39}$")]
    address: str
    path: Annotated[str, Field(pattern=r"^/")]
    parameters: Mapping[str, str] = {}
    format: Literal["json", "csv"] = "json"
    rows: str = ""
    day: str
    value: str
    available: str = ""
    lag_hours: Annotated[float, Field(ge=0, le=24 * 366)] = 0.0
    key_header: str = ""
    key_prefix: str = ""
    calls_per_minute: Annotated[int, Field(ge=1, le=6000)] = 30
    terms: Annotated[str, Field(min_length=1)]


class Signals:
    """One number of a symbol for each day that the endpoint has."""

    name = "signals"

    def __init__(self, settings: SignalsSettings, clock: Clock | None = None) -> None:
        self._settings, self._clock = settings, clock or SystemClock()
        self._client: Client | None = None
        self.policy = UsagePolicy.allowing(terms=f"{settings.signal}: {settings.terms}")

    def capabilities(self) -> Capabilities:
        """The one signal, of any symbol."""
        return Capabilities(
            kinds=frozenset({Kind.SIGNAL}),
            needs_key=bool(self._settings.key_header),
            rate=self._settings.calls_per_minute / 60,
        )

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer with the month's rows."""
        words = {
            "{symbol}": symbol,
            "{from}": month.first.isoformat(),
            "{to}": month.last.isoformat(),
        }
        path = _filled(self._settings.path, {name: quote(text, "") for name, text in words.items()})
        parameters = {
            name: _filled(text, words) for name, text in self._settings.parameters.items()
        }
        kinds = CSV if self._settings.format == "csv" else LOOSE_JSON
        yield kept(self, kind, symbol, month, self._asking().get(path, parameters, kinds))

    def read(self, answer: Answer) -> Iterator[Record]:
        """One record for each row of the answer's month."""
        for number, row in enumerate(self._rows(answer), start=1):
            place = f"{where(answer)} has in row {number}"
            event, sure = _moment(row, self._settings.day, place)
            if self._settings.available:
                sure, _ = _moment(row, self._settings.available, place)
            if Month.of(event.date()) != answer.month:
                continue
            payload: dict[str, object] = {
                "name": self._settings.signal,
                "value": _number(row, self._settings.value, place),
            }
            sure += timedelta(hours=self._settings.lag_hours)
            if sure < event:
                raise DataError(
                    f"{place} a publication before its own day; correct the settings of signals."
                )
            yield record(answer, event, sure, payload)

    def _rows(self, answer: Answer) -> list[Mapping[str, Any]]:
        try:
            if self._settings.format == "csv":
                table = csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig")), strict=True)
                return list(table)
            value = parse_json(answer.body, RECORD_BYTES)
        except (UnicodeDecodeError, csv.Error, Unreadable) as fault:
            raise DataError(
                f"{where(answer)} is no {self._settings.format.upper()} ({fault}); check format in the settings of "
                "signals."
            ) from None
        for name in filter(None, self._settings.rows.split(".")):
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise DataError(
                f"{where(answer)} has no list of rows at '{self._settings.rows or 'its top'}'; set rows in the "
                "settings of signals to where it stands, such as data.items."
            )
        return value

    def _asking(self) -> Client:
        if self._client is None:
            header, prefix = self._settings.key_header, self._settings.key_prefix
            key = require_key("signals", "header", header, prefix) if header else None
            limits = (Limit(self._settings.calls_per_minute, 60),)
            service = Service(self._settings.signal, self._settings.address, limits, key)
            self._client = Client(service, self._clock)
        return self._client


def _filled(text: str, words: Mapping[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(name, word)
    return text


def _field(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if value is None or isinstance(value, bool | list | dict):
        has = ", ".join(sorted(str(each) for each in row))[:200]
        raise DataError(
            f"{place} nothing usable as '{name}', only {excerpt(has)}; correct the settings of signals."
        )
    return str(value).strip()


def _moment(row: Mapping[str, Any], name: str, place: str) -> tuple[datetime, datetime]:
    """When a row happened and from when it can be acted on: the same for a moment, the next opening for a day."""
    text = _field(row, name, place)
    try:
        if len(text) == 10 and "-" in text:
            day = date.fromisoformat(text)
            return datetime(day.year, day.month, day.day, tzinfo=UTC), calendar.next_open(day)
        moment = (
            datetime.fromtimestamp(float(text), UTC)
            if text.replace(".", "", 1).isdigit()
            else datetime.fromisoformat(text)
        )
        if moment.tzinfo is None:
            raise ValueError(text)
    except (ValueError, OverflowError, OSError):
        raise DataError(
            f"{place} '{excerpt(text)[:40]}' as '{name}', where a day (2026-11-20), a time with its offset "
            "(2026-11-20T16:00:00-05:00) or seconds since 1970 are expected; correct the settings of signals."
        ) from None
    return moment.astimezone(UTC), moment.astimezone(UTC)


def _number(row: Mapping[str, Any], name: str, place: str) -> float:
    text = _field(row, name, place)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{place} '{excerpt(text)[:40]}' as '{name}', where a number is expected.")
    return value
