"""A calendar month: the unit in which sources are asked, and in which a fetch resumes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from fingpt.errors import ConfigError

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class Month(NamedTuple):
    """A month of UTC; written `2026-11`."""

    year: int
    number: int

    @classmethod
    def of(cls, day: date) -> Month:
        """The month that `day` lies in."""
        return cls(day.year, day.month)

    @classmethod
    def parse(cls, text: str) -> Month:
        """The month written `YYYY-MM`; ConfigError otherwise."""
        match = _MONTH.fullmatch(text)
        if match is None or match[1] == "0000":
            raise ConfigError(f"'{text[:40]}' is no month; write YYYY-MM, such as 2026-11.")
        return cls(int(match[1]), int(match[2]))

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def last(self) -> date:
        """Its last day."""
        return date.fromordinal(self.following.first.toordinal() - 1)

    @property
    def following(self) -> Month:
        """The month after it."""
        return Month(self.year + 1, 1) if self.number == 12 else Month(self.year, self.number + 1)

    @property
    def end(self) -> datetime:
        """The moment at which it is over (exclusive), UTC."""
        after = self.following
        return datetime(after.year, after.number, 1, tzinfo=UTC)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def months(start: date, end: date) -> Iterator[Month]:
    """The months from that of `start` to that of `end`, both included."""
    month, last = Month.of(start), Month.of(end)
    while month <= last:
        yield month
        month = month.following
