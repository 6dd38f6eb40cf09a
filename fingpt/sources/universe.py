"""Which symbols made up the Dow Jones Industrial Average on which day, and what a fixed list hides about the past.

dow30.csv has one row for each membership: from its first session on, until before the session on which it had left,
with the announcement of each end. It begins with the change of 23 September 2013; earlier ones are left out.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from fingpt.errors import DataError
from fingpt.record import Frozen

CHECKED_UNTIL = date(2025, 9, 30)
"""No change later than this was looked for when the table was written."""

_TABLE = Path(__file__).parent / "dow30.csv"
_GRACE = timedelta(days=31)


class Membership(Frozen):
    """One stay of a company in the index, `until` exclusive; None: it is still a member."""

    symbol: str
    name: str
    start: date
    until: date | None
    joined_by: str
    """What announced or caused the change of `start`."""
    left_by: str

    def on(self, day: date) -> bool:
        """Whether it was a member when `day` began to trade."""
        return self.start <= day and (self.until is None or day < self.until)


@cache
def dow30() -> tuple[Membership, ...]:
    """All memberships, by their first day."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Membership(
                symbol=row["symbol"],
                name=row["name"],
                start=date.fromisoformat(row["from"]),
                until=date.fromisoformat(row["until"]) if row["until"] else None,
                joined_by=row["joined_by"],
                left_by=row["left_by"],
            )
            for row in csv.DictReader(file)
        )


def members(day: date) -> tuple[str, ...]:
    """The 30 symbols of `day`, sorted; DataError before the table begins.

    After CHECKED_UNTIL it is the last that is known; `warnings` says so.
    """
    first = dow30()[0].start
    if day < first:
        raise DataError(
            f"The table of the Dow 30 begins on {first}; {day} is earlier. Name the symbols instead."
        )
    return tuple(sorted(each.symbol for each in dow30() if each.on(day)))


def ever(start: date, end: date) -> tuple[str, ...]:
    """Every symbol that was a member on some day from `start` to `end`, sorted."""
    members(start)  # so that a day before the table is refused
    there = (each for each in dow30() if each.start <= end)
    return tuple(sorted({each.symbol for each in there if not each.until or each.until > start}))


def warnings(symbols: Iterable[str], start: date, today: date) -> list[str]:
    """What a reader has to know about results of a fixed list of symbols that is used from `start` on.

    A list that somebody writes today holds what has survived and done well until today; used in the past it knows the
    future. Empty when `start` is less than a month ago.
    """
    if today - start < _GRACE:
        return []
    chosen = set(symbols)
    text = (
        f"Survivorship: the list of symbols ({len(chosen)}) was chosen with what is known on {today} and is used from "
        f"{start} on. Companies that failed, merged or fell out of favour since then are not in it, so results look "
        "better than anybody could have had them."
    )
    of_the_dow = chosen & {each.symbol for each in dow30()}
    if start < dow30()[0].start or len(of_the_dow) <= len(chosen) / 2:
        return [text]
    if joined := _joined_later(chosen, start):
        text += f" Of the Dow 30 in it, {', '.join(joined)} had not joined on {start}."
    if left := sorted(set(members(start)) - set(members(today)) - chosen):
        text += f" Members of that day that have left are not in it: {', '.join(left)}."
    if today <= CHECKED_UNTIL:
        return [text]
    checked = (
        f"The table of the Dow 30 was checked until {CHECKED_UNTIL}; a later change is not in it."
    )
    return [text, checked]


def _joined_later(symbols: Iterable[str], start: date) -> list[str]:
    """Those of `symbols` that were members at some time, but not yet on `start`."""
    then = set(members(start))
    later = {each.symbol for each in dow30() if each.start > start}
    return sorted(symbol for symbol in symbols if symbol in later and symbol not in then)
