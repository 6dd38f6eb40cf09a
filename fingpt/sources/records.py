"""What every source yields: one record of one kind, with when it happened and when it could first be known.

Payloads by kind (absent figures are None, never 0; prices are what was traded, unadjusted):

    price         open, high, low, close, volume, currency         one session; event_time is its close
    action        type "split" and ratio (new shares per old), or type "dividend" and amount per share; event_time is
                  the opening of the ex-date's session
    news          headline, summary, url, publisher                event_time is the publication
    fundamentals  period_end "YYYY-MM-DD", form, metrics {name: number}   event_time is the end of the period
    profile       name, asset "stock" | "cryptocurrency" | "fund", exchange, industry, country
    macro         series, value, unit, period                      of no symbol
    signal        name, value                                      any dated number of a symbol
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from fingpt.record import Frozen, Moment


class Kind(StrEnum):
    """What a record speaks of."""

    PRICE = "price"
    ACTION = "action"
    NEWS = "news"
    FUNDAMENTALS = "fundamentals"
    PROFILE = "profile"
    MACRO = "macro"
    SIGNAL = "signal"


class Record(Frozen):
    """One dated fact of one symbol; `payload` is as the table above says for its kind."""

    symbol: str
    """As the exchange writes it; empty for macro figures."""
    event_time: Moment
    """When it happened: close of the session, publication, end of the period."""
    available_at: Moment
    """When it could be known first; a builder sees only what is earlier than its as_of."""
    kind: Kind
    payload: Mapping[str, JsonValue]
    source: str
    """The name of the source: files, edgar, …"""
    retrieved_at: Moment
    sha256: str
    """Of the raw bytes that it was read from."""

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        """What records are sorted by, so that equal raw bytes give equal orders."""
        return self.event_time, self.available_at, self.sha256
