"""From a reply to an answer that may be kept, and from its bytes to values of the shape that the source documents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fingpt.errors import DataError
from fingpt.reading import RECORD_BYTES, Unreadable, first_fault, parse_json
from fingpt.sources import calendar
from fingpt.sources.live.client import Reply
from fingpt.sources.month import Month
from fingpt.sources.protocol import Answer, Source
from fingpt.sources.records import Kind, Record

T = TypeVar("T")

STALE_SESSIONS = 3
"""A newest figure older than so many sessions is stale: vendors publish in the evening, or on the next morning."""


class Shape(BaseModel):
    """Base of what services send: fields that we do not know are theirs, those that we know must be right."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def kept(source: Source, kind: Kind, symbol: str, month: Month, reply: Reply) -> Answer:
    """The reply as an answer, after it was read once: what cannot be read is never kept. DataError otherwise."""
    answer = Answer(
        source=source.name,
        kind=kind,
        symbol=symbol,
        month=month,
        request=reply.request,
        retrieved_at=reply.retrieved_at,
        body=reply.body,
    )
    for _ in source.read(answer):
        pass
    return answer


def parse(shape: TypeAdapter[T], body: bytes, where: str) -> T:
    """The value of `shape` in a JSON body; DataError naming `where` and the first field that is not as documented."""
    try:
        return shape.validate_python(parse_json(body, RECORD_BYTES))
    except ValidationError as fault:
        reason = f"is not as its documentation says ({first_fault(fault)})"
    except Unreadable as fault:
        reason = str(fault)
    raise DataError(
        f"{where} {reason}; the service may have changed: look at what it answers, or leave this part out."
    )


def where(answer: Answer) -> str:
    """An answer in messages."""
    return f"The answer of {answer.source} to {answer.request[:200]}"


def record(
    answer: Answer, event_time: datetime, available_at: datetime, payload: dict[str, object]
) -> Record:
    """A record of the answer's own kind and symbol."""
    return Record.model_validate(
        {
            "symbol": answer.symbol,
            "event_time": event_time,
            "available_at": available_at,
            "kind": answer.kind,
            "payload": payload,
            "source": answer.source,
            "retrieved_at": answer.retrieved_at,
            "sha256": answer.sha256,
        }
    )


def wanted_sessions(month: Month, now: datetime, first: date | None = None) -> list[date]:
    """The sessions of a month that had closed at `now`, from `first` on where that is later."""
    start = max(month.first, first) if first else month.first
    return calendar.sessions(start, min(month.last, calendar.session_of(now)))


def sessions_since(day: date, now: datetime) -> int:
    """How many sessions have closed after `day` until `now`."""
    return sum(1 for session in calendar.sessions(day, calendar.session_of(now)) if session > day)


def in_month(records: Iterator[Record], month: Month) -> Iterator[Record]:
    """Those whose event lies in the month, UTC."""
    return (each for each in records if Month.of(each.event_time.date()) == month)
