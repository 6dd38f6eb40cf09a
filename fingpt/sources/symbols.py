"""Symbols as a person names them: whether each can be one, and the sentence on those that no source has prices of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from fingpt.errors import ConfigError, MissingInputError

NO_PRICES = "There are no prices of"
"""How the sentence on a symbol that no source knows begins."""

_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9.=^-]{0,19}")
_MOST_SYMBOLS = 1000


def checked_symbols(words: Sequence[str], where: str) -> list[str]:
    """`words` as symbols, each once; ConfigError names the first that is none."""
    for word in words:
        parts = [part for part in re.split(r"[,;]", word) if part]
        if len(parts) > 1 and all(map(_SYMBOL.fullmatch, parts)):
            apart = (
                "write one a line"
                if where.startswith("WATCHLIST")
                else f'blanks separate symbols: SYMBOLS="{" ".join(parts[:9])}"'
            )
            raise ConfigError(f"{where} names {word[:40]!r}, which is no symbol; {apart}.")
        if not _SYMBOL.fullmatch(word):
            raise ConfigError(
                f"{where} names {word[:40]!r}, which is no symbol: letters, digits, '.', '-', '=' and '^', at most 20."
            )
    if not words or len(words) > _MOST_SYMBOLS:
        raise ConfigError(
            f"{where} names {len(words)} symbols; 1 to {_MOST_SYMBOLS} are expected"
            + (", one a line." if where.startswith("WATCHLIST") else ".")
        )
    return list(dict.fromkeys(words))


def no_prices(symbols: Sequence[str], known: Sequence[str]) -> MissingInputError:
    """The error for `symbols` without prices; each with the nearest of `known`, whatever the case of its letters."""
    named = []
    for symbol in symbols[:10]:
        if longer := _with_market(symbol, known):
            named.append(
                f"{symbol} (the data call it {longer}: rename it there to {symbol}, or ask for {longer})"
            )
            continue
        folded = {one.casefold(): one for one in known}
        close = get_close_matches(symbol.casefold(), folded, n=1, cutoff=0.5)
        named.append(f"{symbol} (did you mean {folded[close[0]]}?)" if close else symbol)
    more = f" and {len(symbols) - 10} more" if len(symbols) > 10 else ""
    have = f"known are {', '.join(known[:30])}" if known else "there are none of any symbol"
    others = f" and {len(known) - 30} more" if len(known) > 30 else ""
    return MissingInputError(f"{NO_PRICES} {', '.join(named)}{more}; {have}{others}.")


def _with_market(symbol: str, known: Sequence[str]) -> str:
    """The name among `known` that is `symbol` with a market behind it, as vendors write AAPL.US; empty for none."""
    pattern = re.compile(rf"{re.escape(symbol)}[.:-](?:US|O|N|OQ|Q)", re.IGNORECASE)
    return next((one for one in known if pattern.fullmatch(one)), "")
