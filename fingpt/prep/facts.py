"""What a published prompt states: company figures, past weeks with their prices, news, fundamentals. Pure.

The linter rests on these facts. Text that does not follow the published form gives fewer facts, never an error.
"""

from __future__ import annotations

import math
import re
import struct
import sys
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from fingpt.prompts.examples import Example

_WEEK = re.compile(
    r"^From (\d{4}-\d\d-\d\d) to (\d{4}-\d\d-\d\d), ([^\n]{1,60}?)'s (?:stock|fund|cryptocurrency) price "
    r"(increased|decreased) from (\d{1,9}(?:\.\d{1,9})?) to (\d{1,9}(?:\.\d{1,9})?)\."
    r"(?: A dividend of (\d{1,9}(?:\.\d{1,9})?) per share)?",
    re.MULTILINE,
)
_COMPANY = re.compile(
    r"market capitalization of (\d{1,15}(?:\.\d{1,9})?) in [A-Z]{3}, with (\d{1,15}(?:\.\d{1,9})?) shares"
)
_REPORTED = re.compile(
    r"^Some recent basic financials of [^\n]{1,60}?, reported at (\d{4}-\d\d-\d\d)", re.MULTILINE
)
_HEADLINE = re.compile(r"^\[Headline\]:[ \t]*([^\n]*)$", re.MULTILINE)
_ASSET = re.compile(r"prediction of the \S{1,30} (\S{1,30}) price movement")


@dataclass(frozen=True, slots=True)
class PastWeek:
    """One week head: its dates, the prices it went between, and the dividend per share that it names."""

    start: date
    end: date
    price_start: float
    price_end: float
    dividend: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one prompt; None or empty where it states none.

    `market_cap` and `shares` are in millions of the quote currency and of shares, `headlines` counts them, `repeated`
    those that stand there already; `reported` is the fiscal period end that the fundamentals carry, `asset` the word
    before "price movement" in the closing instruction (a stock prompt says `stock`).
    """

    market_cap: float | None
    shares: float | None
    weeks: tuple[PastWeek, ...]
    headlines: int
    repeated: int
    reported: date | None
    asset: str | None

    @property
    def cap_price(self) -> float | None:
        """Market capitalisation per share: the price on the day the prompt was built."""
        return self.market_cap / self.shares if self.market_cap and self.shares else None

    @property
    def last_price(self) -> float | None:
        """Price at the end of the newest past week: the last one that a forecaster may know."""
        return self.weeks[-1].price_end if self.weeks else None


def facts(example: Example) -> Facts:
    """The facts that `example.user` states; kept beside it, for splits and rules ask again and again."""
    known: Facts | None = getattr(example, "stated", None)
    if known is None:
        known = _read(example.user)
        vars(example)["stated"] = known
    return known


def _read(user: str) -> Facts:
    company, reported, asset = _COMPANY.search(user), _REPORTED.search(user), _ASSET.search(user)
    headlines = [match[1].strip() for match in _HEADLINE.finditer(user)]
    weeks = (_past_week(*match.group(1, 2, 5, 6, 7)) for match in _WEEK.finditer(user))
    return Facts(
        market_cap=float(company[1]) if company else None,
        shares=float(company[2]) if company else None,
        weeks=tuple(week for week in weeks if week is not None),
        headlines=len(headlines),
        repeated=len(headlines) - len(set(headlines)),
        reported=_date(reported[1]) if reported else None,
        asset=sys.intern(asset[1].lower()) if asset else None,
    )


_HEAD = struct.Struct("<2d4I")
_PACKED_WEEK = struct.Struct("<3d2I")


def packed(stated: Facts) -> bytes:
    """Facts in a few bytes, for whoever keeps many of them; `unpacked` reads them."""
    known = [math.nan if each is None else each for each in (stated.market_cap, stated.shares)]
    reported = stated.reported.toordinal() if stated.reported else 0
    head = _HEAD.pack(*known, reported, stated.headlines, stated.repeated, len(stated.weeks))
    weeks = (
        _PACKED_WEEK.pack(
            each.price_start,
            each.price_end,
            each.dividend,
            each.start.toordinal(),
            each.end.toordinal(),
        )
        for each in stated.weeks
    )
    return head + b"".join(weeks) + (stated.asset or "").encode()


def unpacked(data: bytes) -> Facts:
    """Inverse of `packed`."""
    market_cap, shares, reported, headlines, repeated, count = _HEAD.unpack_from(data)
    size, end = _PACKED_WEEK.size, _HEAD.size + count * _PACKED_WEEK.size
    return Facts(
        market_cap=None if math.isnan(market_cap) else market_cap,
        shares=None if math.isnan(shares) else shares,
        weeks=tuple(_unpacked_week(data[at : at + size]) for at in range(_HEAD.size, end, size)),
        headlines=headlines,
        repeated=repeated,
        reported=date.fromordinal(reported) if reported else None,
        asset=data[end:].decode() or None,
    )


@lru_cache(maxsize=4096)  # a week stands in the prompts of the next ones
def _unpacked_week(data: bytes) -> PastWeek:
    price_start, price_end, dividend, start, end = _PACKED_WEEK.unpack(data)
    return PastWeek(
        date.fromordinal(start), date.fromordinal(end), price_start, price_end, dividend
    )


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An example with the facts of its prompt."""

    example: Example

    @property
    def facts(self) -> Facts:
        """What the prompt states."""
        return facts(self.example)

    @property
    def name(self) -> str:
        """What a person calls the row."""
        return f"{self.example.symbol} {self.example.period}"

    @property
    def days_since_report(self) -> int | None:
        """Days from the fiscal period's end to the day the forecast was due; negative: it had not even ended."""
        reported = self.facts.reported
        return None if reported is None else (self.example.start - reported).days

    @property
    def cap_says_up(self) -> bool | None:
        """Whether market capitalisation per share lies above the last price; None when the prompt lacks one."""
        cap, last = self.facts.cap_price, self.facts.last_price
        return None if cap is None or last is None else cap > last


def label_of(price_start: float, price_end: float) -> str | None:
    """The label that two prices give: the bin of ⌈|100·r|⌉, upwards when r ≥ 0; None when there is no return."""
    if price_start <= 0:
        return None
    change = 100 * (price_end - price_start) / price_start
    number = max(1, math.ceil(abs(change)))
    size = f"{number - 1}-{number}%" if number <= 5 else "more than 5%"
    return f"{'up' if change >= 0 else 'down'} by {size}"


@lru_cache(
    maxsize=4096
)  # a week stands in the prompts of the next ones: one record for all of them
def _past_week(
    start: str, end: str, price_start: str, price_end: str, dividend: str | None
) -> PastWeek | None:
    first, last = _date(start), _date(end)
    if first is None or last is None:
        return None
    return PastWeek(first, last, float(price_start), float(price_end), float(dividend or 0))


@lru_cache(maxsize=4096)
def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
