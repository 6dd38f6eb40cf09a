"""Yahoo Finance through yfinance: daily prices, splits and dividends. Off unless its terms are accepted; no key.

Not an API that Yahoo offers: it breaks now and then, and refuses who asks too often. yfinance speaks it (cookies,
crumb, chart), so an answer is the table that yfinance returns, as JSON, and not Yahoo's own bytes. Yahoo's prices,
volumes and dividends are adjusted for every later split, also without auto_adjust; the table reaches until today, so
that reading can undo that: what a record says is what was traded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from fingpt import log
from fingpt.errors import DataError, MissingInputError, SetupError, TransientError
from fingpt.record import Frozen, canonical_json
from fingpt.sources import calendar
from fingpt.sources.live.answers import (
    STALE_SESSIONS,
    Shape,
    kept,
    parse,
    record,
    sessions_since,
    wanted_sessions,
    where,
)
from fingpt.sources.live.client import Reply
from fingpt.sources.live.failures import excerpt
from fingpt.sources.live.rate_limit import Clock, Limit, RateLimiter, SystemClock
from fingpt.sources.month import Month
from fingpt.sources.policy import UsagePolicy, Use
from fingpt.sources.protocol import Answer, Capabilities
from fingpt.sources.records import Kind, Record

TERMS = (
    "Yahoo allows personal use only, and bars automated access and redistribution; read its terms before you use this "
    "source"
)
_BLOCK_YEARS = 5
_BLOCKS_KEPT = (
    128  # some 150 kB each; prices and actions of a symbol are asked for one after the other
)
_DECIMALS = 6
# What yfinance raises when Yahoo answers something else than it knows.
_CHANGED = (ValueError, LookupError, TypeError, AttributeError)
_Price = Annotated[float, Field(gt=0)]


class YahooSettings(Frozen):
    """`accept_terms`: you have read the terms, and what you do is allowed to you."""

    accept_terms: Literal[True]


class _Row(Shape):
    day: date
    open: _Price
    high: _Price
    low: _Price
    close: _Price
    volume: Annotated[float, Field(ge=0)] | None
    dividend: Annotated[float, Field(ge=0)]
    split: Annotated[float, Field(ge=0)]


class _Table(Shape):
    currency: Annotated[str, Field(min_length=1)]
    rows: list[_Row]


class _Day(NamedTuple):
    """A session as it was traded. `split`: new shares per old on that day, 0 for none."""

    day: date
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    dividend: float
    split: float


class _Parsed(NamedTuple):
    sha256: str
    currency: str
    days: list[_Day]


_TABLE = TypeAdapter(_Table)


class Yahoo:
    """Prices and actions. `session`: what yfinance asks with, its own where None is given."""

    name = "yahoo"
    policy = UsagePolicy.allowing(
        Use.RESEARCH,
        Use.PRIVATE_DISPLAY,
        prohibited=(Use.COMMERCIAL, Use.PUBLIC_DISPLAY, Use.REDISTRIBUTION),
        terms=TERMS,
    )

    def __init__(
        self, settings: YahooSettings, clock: Clock | None = None, session: object | None = None
    ) -> None:
        self._settings, self._clock, self._session = settings, clock or SystemClock(), session
        self._limiter = RateLimiter("Yahoo", (Limit(30, 60),), self._clock)
        self._library: Any = None
        self._blocks: dict[tuple[str, int], Reply] = {}
        self._parsed = _Parsed("", "", [])

    def capabilities(self) -> Capabilities:
        """Prices and actions of any symbol."""
        return Capabilities(kinds=frozenset({Kind.PRICE, Kind.ACTION}), rate=0.5)

    def fetch(self, kind: Kind, symbol: str, month: Month) -> Iterator[Answer]:
        """One answer, from the beginning of five years until today; DataError when days of the month are missing."""
        answer = kept(self, kind, symbol, month, self._block(symbol, month))
        self._check_whole(answer)
        yield answer

    def read(self, answer: Answer) -> Iterator[Record]:
        """The sessions of the answer's month, or their splits and dividends, as they were traded."""
        parsed = self._days(answer)
        for day in parsed.days:
            if Month.of(day.day) != answer.month:
                continue
            if answer.kind is Kind.PRICE:
                close = calendar.close_of(day.day)
                payload: dict[str, object] = {
                    "open": day.open,
                    "high": day.high,
                    "low": day.low,
                    "close": day.close,
                    "volume": day.volume,
                    "currency": parsed.currency,
                }
                yield record(answer, close, close, payload)
                continue
            opening = calendar.open_of(day.day)
            if day.split:
                yield record(answer, opening, opening, {"type": "split", "ratio": day.split})
            if day.dividend:
                yield record(answer, opening, opening, {"type": "dividend", "amount": day.dividend})

    def _days(self, answer: Answer) -> _Parsed:
        """All days of an answer; the last one's are kept, since its other months are read next."""
        if self._parsed.sha256 != answer.sha256:
            table = parse(_TABLE, answer.body, where(answer))
            # A session that was still open when it was asked for has no close yet.
            last = calendar.session_of(answer.retrieved_at)
            days = _as_traded([row for row in table.rows if row.day <= last])
            self._parsed = _Parsed(answer.sha256, table.currency, days)
        return self._parsed

    def _check_whole(self, answer: Answer) -> None:
        now, symbol, month = self._clock.now(), answer.symbol, answer.month
        days = [day.day for day in self._days(answer).days]
        if not days or month.first > days[-1]:
            raise MissingInputError(
                f"Yahoo has no price of {symbol} {f'after {days[-1]}' if days else 'at all'}, so none in {month}: "
                "delisted, renamed or misspelt."
            )
        wanted = [day for day in wanted_sessions(month, now, days[0]) if day <= days[-1]]
        if missing := sorted(set(wanted) - set(days)):
            raise DataError(
                f"Yahoo has no price of {symbol} for {len(missing)} of the sessions of {month}, first {missing[0]}: "
                "leave the month out, or take its prices from another source."
            )
        age = sessions_since(days[-1], now)
        if month.end > now and age > STALE_SESSIONS:
            raise DataError(
                f"Yahoo's last price of {symbol} is of {days[-1]}, {age} sessions ago: halted, delisted, renamed, or "
                "Yahoo lags. Nothing can be forecast from a stale price."
            )

    def _block(self, symbol: str, month: Month) -> Reply:
        first = month.year - month.year % _BLOCK_YEARS
        key = symbol, first
        if key not in self._blocks:
            end = self._clock.now().date() + timedelta(days=1)  # exclusive
            self._limiter.take()
            body = self._ask(symbol.replace(".", "-"), f"{first}-01-01", end.isoformat())
            request = (
                f"yfinance history {symbol} {first}-01-01 {end} auto_adjust=False actions=True"
            )
            if len(self._blocks) >= _BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[key] = Reply(request, body, self._clock.now())
        return self._blocks[key]

    def _ask(self, symbol: str, start: str, end: str) -> bytes:
        """The table as JSON. Errors of the library become ours; those that it has no name for are its own faults."""
        library = self._asking()
        known = library.exceptions
        try:
            ticker = library.Ticker(symbol, session=self._session)
            frame = ticker.history(
                start=start, end=end, auto_adjust=False, back_adjust=False, actions=True
            )
            return _as_json(frame, ticker.history_metadata)
        except known.YFRateLimitError:
            raise TransientError(
                "Yahoo refuses more requests for now (429); in an hour or so the same command goes on from here."
            ) from None
        except known.YFTickerMissingError as error:
            raise _missing(symbol, start, str(error)) from None
        except _CHANGED as error:
            raise DataError(
                f"yfinance cannot read Yahoo's answer on {symbol} ({type(error).__name__}: {excerpt(str(error))[:80]})"
                "; Yahoo may have changed: update yfinance, or take prices from another source."
            ) from None
        except (known.YFException, OSError) as error:  # errors of requests and of curl are OSErrors
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status == 404:
                raise _missing(symbol, start, "404") from None
            said = f"{status}" if status else f"{type(error).__name__}: {excerpt(str(error))[:80]}"
            raise TransientError(
                f"Yahoo cannot be read ({said}); the same command later goes on from here."
            ) from None

    def _asking(self) -> Any:
        if self._library is None:
            try:
                import yfinance
            except ImportError:
                raise SetupError(
                    "The source yahoo needs yfinance, which is in no image: pip install 'fingpt-jobs[yahoo]'."
                ) from None
            log.warning("source.terms", source=self.name, terms=TERMS)
            # Else it logs errors, and returns an empty table.
            yfinance.config.debug.hide_exceptions = False
            self._library = yfinance
        return self._library


def _missing(symbol: str, start: str, said: str) -> MissingInputError:
    return MissingInputError(
        f"Yahoo has no prices of {symbol} since {start} ({excerpt(said)}): delisted, renamed or misspelt."
    )


def _as_json(frame: Any, about: Any) -> bytes:
    """Yfinance's table and its currency as canonical JSON; absent figures are null."""
    fields = {
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "volume": "Volume",
        "dividend": "Dividends",
        "split": "Stock Splits",
    }
    columns = {name: [_plain(value) for value in frame[there]] for name, there in fields.items()}
    rows = [
        {"day": moment.date().isoformat(), **{name: columns[name][at] for name in fields}}
        for at, moment in enumerate(frame.index)
    ]
    return canonical_json({"currency": about["currency"], "rows": rows})


def _plain(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _as_traded(rows: list[_Row]) -> list[_Day]:
    """Rows, ordered, with the splits after each day undone: prices and dividends times them, volumes divided."""
    days, factor = [], 1.0
    for row in sorted(rows, key=lambda each: each.day, reverse=True):
        volume = None if row.volume is None else round(row.volume / factor)
        days.append(
            _Day(
                day=row.day,
                open=round(row.open * factor, _DECIMALS),
                high=round(row.high * factor, _DECIMALS),
                low=round(row.low * factor, _DECIMALS),
                close=round(row.close * factor, _DECIMALS),
                volume=volume,
                dividend=round(row.dividend * factor, _DECIMALS),
                split=row.split,
            )
        )
        factor *= row.split or 1.0
    return days[::-1]
