"""Make a request: for each symbol what was known at one close, as a question, or why it cannot be asked. Pure.

What was known is decided by whoever gives a `View`; here it is checked that there is enough of it, and that it ends
where it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from fingpt.config import local_path, split_words
from fingpt.errors import ConfigError, DataError, FingptError, MissingInputError
from fingpt.forecast.record import ForecastRequest, Question
from fingpt.reading import RECORD_BYTES
from fingpt.sources.symbols import checked_symbols, no_prices

HISTORY = timedelta(days=7)
"""The least of prices before a close: a question tells at least one whole week."""


class Exchange(Protocol):
    """When the exchange trades; moments are UTC."""

    def close_on_or_before(self, day: date) -> datetime:
        """The close of the last session on or before `day`."""

    def horizon_end(self, as_of: datetime) -> datetime:
        """The close that ends the week after `as_of`."""

    def due(self, as_of: datetime) -> datetime:
        """The opening of the first session after `as_of`: from then on something of the outcome can be known."""

    def sessions_between(self, start: datetime, end: datetime) -> int:
        """How many sessions closed in (start, end]."""


class View(Protocol):
    """What could be known at a close."""

    def symbols(self) -> tuple[str, ...]:
        """Every symbol that there are data of."""

    def price_span(self, symbol: str, as_of: datetime) -> tuple[datetime, datetime] | None:
        """Closes of the oldest and the newest session whose price could be known; None without any."""

    def question(self, symbol: str, as_of: datetime) -> Question:
        """The question, as training rows put it; FingptError where it cannot be put."""


def named_symbols(symbol: str, symbols: str, watchlist: str) -> list[str]:
    """The symbols that SYMBOL, SYMBOLS or WATCHLIST name, in their order; ConfigError unless just one of them does."""
    given = [name for name, text in _texts(symbol, symbols, watchlist).items() if text.strip()]
    if len(given) != 1:
        raise ConfigError(
            f"{' and '.join(given) or 'None of SYMBOL, SYMBOLS and WATCHLIST'} "
            f"{'say' if given else 'says'} what to forecast; give one of them: make forecast RUN=id SYMBOL=AAPL "
            "DATE=2026-11-20 DATA=folder."
        )
    words = _watched(watchlist) if watchlist.strip() else split_words(symbol or symbols, given[0])
    if symbol.strip() and len(words) > 1:
        raise ConfigError(
            f'SYMBOL names {len(words)} symbols; several are SYMBOLS="{" ".join(words[:9])}".'
        )
    where = given[0] if given[0] != "WATCHLIST" else f"WATCHLIST={watchlist.strip()}"
    return checked_symbols(words, where)


def chosen_close(text: str, exchange: Exchange, now: datetime) -> datetime:
    """The close that DATE means, where it is blank the last before `now`; ConfigError for no date or a future one."""
    if not text.strip():
        last = exchange.close_on_or_before(now.date())
        return last if last <= now else exchange.close_on_or_before(now.date() - timedelta(days=1))
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"DATE={text.strip()[:40]!r} is no date; write it as 2026-11-20."
        ) from None
    try:
        close = exchange.close_on_or_before(day)
    except DataError as fault:
        raise ConfigError(f"DATE={day} cannot be forecast: {fault}") from None
    if day > now.date() or close > now:
        newest = chosen_close("", exchange, now)
        raise ConfigError(
            f"DATE={day} has not closed yet, so what was known then cannot be known; the newest close is that of "
            f"{newest.date()}."
        )
    return close


def make_request(
    view: View, exchange: Exchange, symbols: Sequence[str], as_of: datetime
) -> ForecastRequest:
    """The request for `symbols` at the close `as_of`; one that cannot be asked stands in it with the reason.

    Where none can be asked, the error of the first is raised.
    """
    questions: list[Question] = []
    refused: dict[str, FingptError] = {}
    for symbol in symbols:
        try:
            questions.append(_ask(view, exchange, symbol, as_of))
        except FingptError as fault:
            refused[symbol] = fault
    if not questions:
        raise next(iter(refused.values()))
    return ForecastRequest(
        as_of=as_of,
        horizon_end=exchange.horizon_end(as_of),
        due=exchange.due(as_of),
        questions=tuple(questions),
        refused={symbol: str(fault) for symbol, fault in refused.items()},
    )


def _ask(view: View, exchange: Exchange, symbol: str, as_of: datetime) -> Question:
    known = view.symbols()
    if symbol not in known:
        raise no_prices([symbol], known)
    span = view.price_span(symbol, as_of)
    if span is None:
        raise DataError(
            f"No price of {symbol} was known at the close of {as_of.date()}; its data have to begin before that day."
        )
    oldest, newest = span
    if oldest > as_of - HISTORY:
        raise DataError(
            f"Prices of {symbol} begin on {oldest.date()}, and a forecast at the close of {as_of.date()} needs at "
            f"least the {HISTORY.days} days before it; add older prices, or ask for a later DATE."
        )
    # The close's own price may count as known a moment later.
    missed = exchange.sessions_between(newest, as_of)
    if missed > 1:
        raise DataError(
            f"The newest price of {symbol} at the close of {as_of.date()} is of {newest.date()}, {missed} sessions "
            "earlier: stale, halted or delisted; bring newer prices, or ask for an earlier DATE."
        )
    question = view.question(symbol, as_of)
    newest_fact = question.available_at_max
    if newest_fact is not None and newest_fact > as_of:
        raise DataError(
            f"The question on {symbol} tells something that was known only at {newest_fact:%Y-%m-%d %H:%M} UTC, after "
            f"the close {as_of:%Y-%m-%d %H:%M}; this is a fault of its features, and nothing is forecast."
        )
    return question


def _texts(symbol: str, symbols: str, watchlist: str) -> dict[str, str]:
    return {"SYMBOL": symbol, "SYMBOLS": symbols, "WATCHLIST": watchlist}


def _watched(text: str) -> list[str]:
    """The symbols of a file, one a line; what follows a # is a remark."""
    path: Path = local_path(text.strip())
    try:
        with path.open("rb") as file:
            lines = file.read(RECORD_BYTES).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise MissingInputError(
            f"WATCHLIST={text.strip()} is no file; write one with a symbol a line."
        ) from None
    except UnicodeDecodeError:
        raise DataError(
            f"WATCHLIST={text.strip()} is no text in UTF-8; write a symbol a line."
        ) from None
    found = (line.partition("#")[0].strip() for line in lines)
    return [line for line in found if line]
