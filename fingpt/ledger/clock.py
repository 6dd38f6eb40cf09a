"""Whether an entry was written before its outcome: by the writer's clock and by the store's, whichever is later.

A writer's clock can be wrong or lie; the store's own time of writing can not be chosen by whoever writes to a bucket. A
folder's times can, and those of a bucket that was copied are those of the copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from fingpt.ledger.keys import entries_prefix
from fingpt.ledger.records import Entry
from fingpt.storage import ObjectStore
from fingpt.storage.deleting import open_deleter

SKEW = timedelta(minutes=15)
"""Clocks may differ by so much; S3 itself refuses requests of a clock that is further off."""


class Timing(StrEnum):
    """When an entry was written."""

    IN_TIME = "in time"
    LATE = "late"
    """At or after the close that it forecasts: it may know what happened, so it is kept and not counted."""
    EARLY = "early"
    """Before the close that it rests on: its prices cannot have been whole, so it is kept and not counted."""


def stored_times(store: ObjectStore, name: str) -> dict[str, datetime]:
    """Key → when the store wrote the object, by the store's own clock, for all entries of a ledger."""
    objects = open_deleter(store).objects(f"{entries_prefix(name)}/")
    return {each.key: each.modified for each in objects}


def timing(entry: Entry, stored: datetime | None) -> Timing:
    """In time where neither clock says otherwise; `stored` is None where the store keeps no times."""
    times = [entry.created_at, *([stored] if stored else [])]
    if max(times) >= entry.horizon_end:
        return Timing.LATE
    if min(times) < entry.as_of - SKEW:
        return Timing.EARLY
    return Timing.IN_TIME


def late_forecasts(entry: Entry, stored: datetime | None) -> int:
    """How many forecasts of an entry are late: all where it was written so, else those whose records say it."""
    when = timing(entry, stored)
    if when is Timing.LATE:
        return len(entry.forecasts)
    return sum(each.late for each in entry.forecasts) if when is Timing.IN_TIME else 0


def is_backdated(entry: Entry, stored: datetime | None) -> bool:
    """The entry claims a time before the outcome, and the store wrote it after, by more than clocks may differ."""
    if stored is None:
        return False
    return entry.created_at < entry.horizon_end <= stored and stored - entry.created_at > SKEW


def clock_note(entry: Entry, stored: datetime | None) -> str:
    """A sentence where the two clocks differ by more than they may; else empty."""
    if stored is None or abs(stored - entry.created_at) <= SKEW:
        return ""
    minutes = round((entry.created_at - stored).total_seconds() / 60)
    way = "ahead of" if minutes > 0 else "behind"
    return f"the writer's clock was {abs(minutes)} minutes {way} the store's"


def timings(entries: Mapping[str, Entry], stored: Mapping[str, datetime]) -> dict[str, Timing]:
    """Key → timing of each entry."""
    return {key: timing(entry, stored.get(key)) for key, entry in entries.items()}
